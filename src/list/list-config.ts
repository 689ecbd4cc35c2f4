/** The config of `filters: [...]`: one config for each member, under one id. */
import { FilterError } from '../api/errors.js';
import type { Accepted, ConfigRules, IdentifiedConfig, LoadedConfig, StreamConfig } from '../stream/config.js';

/** One filter of a list, as the module names it. */
export interface ListedFilter {
  readonly name: string;
  /** plugin_config as JSON text. */
  readonly config: string | undefined;
}

export class ListConfig implements LoadedConfig {
  readonly id: number;
  /** Envoy's filter_name: the list's label. */
  readonly name: string;
  readonly route = false;
  readonly maxBodyBytes: number;
  /** Ids of the attributes that the module sends, each once. */
  readonly attributes: readonly number[];
  /** Where each member's attributes are among them. */
  readonly places: readonly (readonly number[])[];
  readonly streamWindow: number;
  private readonly members: readonly IdentifiedConfig[];
  private readonly phases: number;

  constructor(
    id: number,
    name: string,
    members: readonly IdentifiedConfig[],
    { streamWindow, maxBodyBytes }: ConfigRules,
  ) {
    this.id = id;
    this.name = name;
    this.members = members;
    this.streamWindow = streamWindow;
    this.maxBodyBytes = maxBodyBytes;
    const attributes = new Set<number>();
    let phases = 0;
    for (const member of members) {
      const verdict = member.verdict();
      for (const one of verdict.attributes) attributes.add(one);
      phases = (phases | verdict.phases) >>> 0;
    }
    this.attributes = [...attributes];
    this.places = members.map((member) => member.verdict().attributes.map((one) => this.attributes.indexOf(one)));
    this.phases = phases;
  }

  /** A member that declares no phases has all bits set, and so has the list then. */
  verdict(): Accepted {
    const stateless = this.members.every((member) => member.verdict().stateless);
    return { accepted: true, phases: this.phases, attributes: [...this.attributes], stateless };
  }

  /**
   * For one more stream, which must release each of them. A route's config is merged into every member that has its
   * filter's name. Throws what mergeConfig throws, and TSF_CONFIG_UNKNOWN when no member has that name.
   */
  forStream(route: IdentifiedConfig | undefined): StreamConfig[] {
    const { members } = this;
    if (route !== undefined && !members.some((member) => member.name === route.name)) {
      throw new FilterError(
        'TSF_CONFIG_UNKNOWN',
        `the route's config is for filter "${route.name}", which is none of the list's: ${members.map(({ name }) => name).join(', ')}`,
      );
    }
    const configs: StreamConfig[] = [];
    try {
      for (const member of members) configs.push(member.forStream(member.name === route?.name ? route : undefined));
    } catch (e) {
      for (const config of configs) config.release();
      throw e;
    }
    return configs;
  }

  /** The module dropped this id. */
  forget(): void {
    for (const member of this.members) member.forget();
  }

  /** A route's config is gone. */
  forgetRoute(id: number): void {
    for (const member of this.members) member.forgetRoute(id);
  }
}
