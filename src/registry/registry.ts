/** The filters of one worker thread, their configs, and the streams that run them. */
import { ConfigError, describeError, FilterError } from '../api/errors.js';
import { type AnyDefinition, definitionOf } from '../api/filter.js';
import type { Filter } from '../api/types-definition.js';
import type { StreamSink, StreamSource, StreamStart } from '../base/wire.js';
import { ListStream } from '../list/list-stream.js';
import { ListConfig, type ListedFilter } from '../list/list-config.js';
import { type ConfigRules, IdentifiedConfig, ParsedConfig, type Verdict } from '../stream/config.js';
import { type FilledDeps, fillDeps, type StreamDeps } from '../base/deps.js';
import { FailedStream } from './failed.js';
import { Linger } from '../stream/linger.js';
import { HttpStream } from '../stream/stream.js';

export class FilterRegistry {
  private readonly definitions = new Map<string, AnyDefinition>();
  private readonly deps: FilledDeps;
  private readonly linger: Linger;
  private readonly configs = new Map<number, IdentifiedConfig | ListConfig>();
  /** By filter, scope and content: configs with the same bytes are judged once. */
  private readonly parsed = new Map<string, ParsedConfig>();
  /** Ids that are being judged; one that is forgotten meanwhile is taken out. */
  private readonly pending = new Set<number>();

  /** Throws ConfigError when two definitions have one name or a value is not a filter. */
  constructor(definitions: readonly Filter[], deps: StreamDeps) {
    this.deps = fillDeps(deps);
    this.linger = new Linger(this.deps);
    for (const filter of definitions) this.add(filter);
  }

  /** Throws as the constructor. */
  add(filter: Filter): void {
    const definition = definitionOf(filter);
    if (definition === undefined) throw new ConfigError('', 'not a filter: export default defineFilter({ … })');
    if (this.definitions.has(definition.name)) throw new ConfigError(definition.name, 'two filters have this name');
    this.definitions.set(definition.name, definition);
  }

  names(): string[] {
    return [...this.definitions.keys()];
  }

  /** Judges a config. Never rejects. */
  async parse(
    id: number,
    name: string,
    route: boolean,
    json: string | undefined,
    rules: ConfigRules,
  ): Promise<Verdict> {
    const definition = this.definitions.get(name);
    if (definition === undefined) return { accepted: false, message: this.unknown(name) };
    const parsed = this.obtain(definition, route, json);
    this.pending.add(id);
    try {
      const value = await parsed.value;
      if (!this.pending.has(id)) {
        parsed.release();
        return DROPPED;
      }
      const config = new IdentifiedConfig(id, route, parsed, value, rules);
      this.configs.set(id, config);
      return config.verdict();
    } catch (e) {
      parsed.release();
      return { accepted: false, message: `filter "${name}": ${refusal(e)}` };
    } finally {
      this.pending.delete(id);
    }
  }

  /** Judges `filters: [...]`: one config that is as many as it has members. Never rejects. */
  async parseList(id: number, name: string, filters: readonly ListedFilter[], rules: ConfigRules): Promise<Verdict> {
    const definitions: AnyDefinition[] = [];
    for (const [i, filter] of filters.entries()) {
      const definition = this.definitions.get(filter.name);
      if (definition === undefined)
        return { accepted: false, message: `filters[${String(i)}].name: ${this.unknown(filter.name)}` };
      definitions.push(definition);
    }
    const parsed = definitions.map((definition, i) => this.obtain(definition, false, filters[i]!.config));
    this.pending.add(id);
    try {
      const values = await Promise.allSettled(parsed.map((one) => one.value));
      const refused = values.findIndex((one) => one.status === 'rejected');
      if (refused < 0 && this.pending.has(id)) {
        const members = parsed.map(
          (one, i) => new IdentifiedConfig(id, false, one, (values[i] as PromiseFulfilledResult<unknown>).value, rules),
        );
        const config = new ListConfig(id, name, members, rules);
        this.configs.set(id, config);
        return config.verdict();
      }
      for (const one of parsed) one.release();
      if (refused < 0) return DROPPED;
      const why = refusal((values[refused] as PromiseRejectedResult).reason);
      return {
        accepted: false,
        message: `filters[${String(refused)}] "${filters[refused]!.name}": plugin_config: ${why}`,
      };
    } finally {
      this.pending.delete(id);
    }
  }

  /** The module no longer uses this config; destroyConfig runs when no stream uses it either. */
  forget(id: number): void {
    this.pending.delete(id);
    const config = this.configs.get(id);
    if (config === undefined) return;
    this.configs.delete(id);
    if (config.route) for (const other of this.configs.values()) other.forgetRoute(id);
    config.forget();
  }

  /** Never throws. A config id that is not known answers its first headers by sink.fail. */
  createStream(start: StreamStart, sink: StreamSink): StreamSource {
    const { configId, routeConfigId } = start;
    const base = this.configs.get(configId);
    const route = routeConfigId === 0 ? undefined : this.configs.get(routeConfigId);
    if (base === undefined || base.route || (routeConfigId !== 0 && route === undefined)) {
      const id = base === undefined || base.route ? configId : routeConfigId;
      return new FailedStream(sink, `TSF_CONFIG_UNKNOWN: this host has no config ${String(id)}`);
    }
    const { deps, linger } = this;
    try {
      // A list is never a route's config.
      const merged = route as IdentifiedConfig | undefined;
      return base instanceof ListConfig
        ? new ListStream(base, base.forStream(merged), start, sink, deps, linger)
        : new HttpStream(base.forStream(merged), start, sink, deps, linger);
    } catch (e) {
      const text = `${base.name}: mergeConfig: ${describeError(e)}`;
      this.deps.logger.error({ err: e, filter: base.name }, text);
      return new FailedStream(sink, text);
    }
  }

  private unknown(name: string): string {
    const known = this.names();
    const have =
      known.length === 0 ? 'this host has none' : `this host has ${known.map((one) => `"${one}"`).join(', ')}`;
    return `no filter is named "${name}"; ${have}`;
  }

  /** Parsed once per content; whoever obtains it releases it. */
  private obtain(definition: AnyDefinition, route: boolean, json: string | undefined): ParsedConfig {
    const key = `${route ? 'route' : 'filter'}\0${definition.name}\0${json === undefined ? '' : `=${json}`}`;
    let parsed = this.parsed.get(key);
    if (parsed === undefined) {
      const made: ParsedConfig = new ParsedConfig(definition, route, json, this.deps, () => {
        if (this.parsed.get(key) === made) this.parsed.delete(key);
      });
      this.parsed.set(key, (parsed = made));
    }
    return parsed.retain();
  }

  /** Ends every config; streams must have ended. */
  dispose(): void {
    for (const id of [...this.configs.keys()]) this.forget(id);
    this.pending.clear();
    this.linger.dispose();
  }
}

const DROPPED: Verdict = { accepted: false, message: 'the config was dropped before it was judged' };

function refusal(e: unknown): string {
  if (FilterError.is(e) || e instanceof Error) return e.message;
  return describeError(e);
}
