/** Configs of filters and routes: parsed once per content, merged once per pair, destroyed once. */
import { type Attribute, attributeId } from '../api/attributes.js';
import { ConfigError, describeError, FilterError } from '../api/errors.js';
import { type AnyDefinition, declaredPhases } from '../api/filter.js';
import { HeaderRules } from '../headers/header-rules.js';
import { makeLogger } from './logger.js';
import type { ConfigContext } from '../api/types-definition.js';
import type { Json } from '../api/types-data.js';
import type { MetricKind } from '../base/wire.js';
import type { FilledDeps } from '../base/deps.js';

/** A metric that the operator declared. */
export interface DeclaredMetric {
  readonly name: string;
  readonly kind: MetricKind;
  readonly labels: readonly string[];
}

/** Rules that come with a config (FilterConfig in schema/exchange.fbs). */
export interface ConfigRules {
  /** Lower-case header names that a filter may write; empty = all. */
  readonly allow: readonly string[];
  /** Lower-case header names that it may not write. */
  readonly deny: readonly string[];
  /** Envoy's levels: lines of callbacks.log at or above it also go to Envoy's log. */
  readonly logLevel: number;
  /** Bytes of a streamed reply, or of output, that may be on their way without a credit. */
  readonly streamWindow: number;
  /** For whole bodies that are gathered here. */
  readonly maxBodyBytes: number;
  /** Capability bits: what this Envoy can do. */
  readonly capabilities: number;
  /** The place in the list is the metric's number. */
  readonly metrics: readonly DeclaredMetric[];
}

/** accepted: phase bits (all ones when the definition declares none), ids of the attributes to send, and its word. */
export type Verdict = Accepted | { readonly accepted: false; readonly message: string };
export interface Accepted {
  readonly accepted: true;
  readonly phases: number;
  readonly attributes: number[];
  readonly stateless: boolean;
}

/** One parsed config of one filter, on this worker thread. */
export interface LoadedConfig {
  readonly id: number;
  readonly name: string;
  readonly route: boolean;
}

/** A parsed value, shared by all configs with the same bytes. */
export class ParsedConfig {
  readonly definition: AnyDefinition;
  readonly value: Promise<unknown>;
  private readonly route: boolean;
  private readonly deps: FilledDeps;
  private readonly controller = new AbortController();
  private readonly onUnused: () => void;
  private refs = 0;
  private settled: { value: unknown } | undefined;

  constructor(
    definition: AnyDefinition,
    route: boolean,
    json: string | undefined,
    deps: FilledDeps,
    onUnused: () => void,
  ) {
    this.definition = definition;
    this.route = route;
    this.deps = deps;
    this.onUnused = onUnused;
    this.value = this.parse(json);
    this.value.catch(() => undefined); // whoever asked awaits it too
  }

  retain(): this {
    this.refs++;
    return this;
  }

  release(): void {
    if (--this.refs > 0) return;
    this.onUnused();
    this.controller.abort();
    const { definition, settled } = this;
    // A route's own type of config is the author's to clean up, by cx.signal: destroyConfig takes a C.
    if (settled === undefined || (this.route && definition.parseRouteConfig !== undefined)) return;
    try {
      definition.destroyConfig?.(settled.value);
    } catch (e) {
      this.deps.logger.error({ err: e, filter: definition.name }, `destroyConfig: ${describeError(e)}`);
    }
  }

  private async parse(json: string | undefined): Promise<unknown> {
    const { definition, route, deps } = this;
    const scope = route ? 'route' : 'filter';
    let raw: Json | undefined;
    try {
      raw = json === undefined ? undefined : (JSON.parse(json) as Json);
    } catch (e) {
      throw new ConfigError('', `plugin_config is no JSON: ${(e as Error).message}`);
    }
    const log = makeLogger(() => deps.logger.child({ filter: definition.name, scope }));
    const cx: ConfigContext = { scope, signal: this.controller.signal, log };
    let value: unknown;
    if (route && definition.parseRouteConfig !== undefined) value = await definition.parseRouteConfig(raw, cx);
    else if (definition.parseConfig !== undefined) value = await definition.parseConfig(raw, cx);
    else if (definition.schema !== undefined) value = await bySchema(definition.schema, raw);
    else value = raw;
    this.settled = { value };
    return value;
  }
}

async function bySchema(schema: NonNullable<AnyDefinition['schema']>, raw: Json | undefined): Promise<unknown> {
  type Issue = {
    readonly message: string;
    readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
  };
  const result = (await schema['~standard'].validate(raw)) as {
    readonly value?: unknown;
    readonly issues?: readonly Issue[];
  };
  const issue = result.issues?.[0];
  if (issue === undefined) return result.value;
  let path = '';
  for (const part of issue.path ?? []) {
    const key = typeof part === 'object' ? part.key : part;
    path += typeof key === 'number' ? `[${String(key)}]` : path === '' ? String(key) : `.${String(key)}`;
  }
  const more = result.issues!.length - 1;
  throw new ConfigError(path, more > 0 ? `${issue.message} (and ${String(more)} more)` : issue.message);
}

/** What a stream runs with: a filter's config, alone or merged with a route's. */
export interface StreamConfig {
  readonly definition: AnyDefinition;
  readonly value: unknown;
  readonly rules: HeaderRules;
  readonly logLevel: number;
  readonly streamWindow: number;
  readonly maxBodyBytes: number;
  readonly capabilities: number;
  readonly metrics: readonly DeclaredMetric[];
  /** Declared phase bits, all ones when none are. */
  readonly declared: number;
  readonly attributes: readonly Attribute[];
  /** What the first instance was found to be; instances of one config are alike. */
  checked: boolean;
  release(): void;
}

/** A config under the module's id for it. */
export class IdentifiedConfig implements LoadedConfig {
  readonly id: number;
  readonly route: boolean;
  private readonly parsed: ParsedConfig;
  private readonly value: unknown;
  private readonly rules: HeaderRules;
  private readonly given: ConfigRules;
  private readonly declared: number;
  /** By the route config's id; 0 is this config alone. */
  private readonly effective = new Map<number, StreamConfig>();
  private streams = 0;
  private forgotten = false;

  constructor(id: number, route: boolean, parsed: ParsedConfig, value: unknown, given: ConfigRules) {
    this.id = id;
    this.route = route;
    this.parsed = parsed;
    this.value = value;
    this.given = given;
    this.rules = new HeaderRules(given.allow, given.deny);
    this.declared = declaredPhases(parsed.definition.phases);
  }

  get name(): string {
    return this.parsed.definition.name;
  }

  get streamWindow(): number {
    return this.given.streamWindow;
  }

  verdict(): Accepted {
    const { attributes: names = [], stateless = false } = this.parsed.definition;
    return { accepted: true, phases: this.declared, attributes: names.map((name) => attributeId(name)!), stateless };
  }

  /** For one more stream, which must release it. Throws what mergeConfig throws. */
  forStream(route: IdentifiedConfig | undefined): StreamConfig {
    const key = route?.id ?? 0;
    let config = this.effective.get(key);
    if (config === undefined) this.effective.set(key, (config = this.make(route)));
    this.streams++;
    if (route !== undefined) route.streams++;
    return config;
  }

  /** The module dropped this id. */
  forget(): void {
    this.forgotten = true;
    this.maybeRelease();
  }

  /** A route's config is gone: its merged results are not needed any more. */
  forgetRoute(id: number): void {
    this.effective.delete(id);
  }

  private make(route: IdentifiedConfig | undefined): StreamConfig {
    const { definition } = this.parsed;
    let { value } = this;
    if (route !== undefined) {
      if (route.name !== this.name) {
        throw new FilterError(
          'TSF_CONFIG_UNKNOWN',
          `the route's config is for filter "${route.name}", not "${this.name}"`,
        );
      }
      value = definition.mergeConfig === undefined ? route.value : definition.mergeConfig(value, route.value);
    }
    return {
      definition,
      value,
      rules: this.rules,
      logLevel: this.given.logLevel,
      streamWindow: this.given.streamWindow,
      maxBodyBytes: this.given.maxBodyBytes,
      capabilities: this.given.capabilities,
      metrics: this.given.metrics,
      declared: this.declared,
      attributes: definition.attributes ?? [],
      checked: false,
      release: () => {
        this.streamEnded();
        route?.streamEnded();
      },
    };
  }

  private streamEnded(): void {
    this.streams--;
    this.maybeRelease();
  }

  private maybeRelease(): void {
    if (!this.forgotten || this.streams > 0) return;
    this.forgotten = false; // once
    this.parsed.release();
  }
}
