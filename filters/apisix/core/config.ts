/** The filter's configuration: plugins, consumers, and where else plugins may come from. */
import { ConfigError, type ConfigContext, type Json } from 'envoy-ts-filter';
import { Chain, mergeUses, type Meta, Use } from './chain.js';
import { checkExpr } from './expr.js';
import { create as lrucache } from './lrucache.js';
import * as log from './log.js';
import type { Consumer, SchemaType } from './plugin.js';
import type { PluginHold, PluginRegistry } from './registry.js';
import { check } from './schema.js';
import { Scope } from './scope.js';

type JsonObject = { readonly [key: string]: Json };

interface RawConfig {
  readonly plugins?: readonly { readonly name: string; readonly conf?: Json }[];
  readonly consumers?: readonly (Omit<Consumer, 'plugins'> & { readonly plugins?: JsonObject })[];
  readonly plugin_metadata?: JsonObject;
  readonly plugin_attr?: Readonly<Record<string, object>>;
  readonly filter_state?: string;
}

const PLUGINS = {
  type: 'array',
  items: {
    type: 'object',
    properties: { name: { type: 'string' }, conf: {} },
    required: ['name'],
    additionalProperties: false,
  },
};
const ROUTE = {
  type: 'object',
  properties: { plugins: PLUGINS, filter_state: { type: 'string', minLength: 1 } },
  additionalProperties: false,
};
const objects = { type: 'object', additionalProperties: { type: 'object' } };
const FILTER = {
  ...ROUTE,
  properties: {
    ...ROUTE.properties,
    consumers: {
      type: 'array',
      items: {
        type: 'object',
        properties: {
          username: { type: 'string', minLength: 1 },
          group_id: { type: 'string' },
          desc: { type: 'string' },
          labels: { type: 'object', additionalProperties: { type: 'string' } },
          plugins: { type: 'object' },
        },
        required: ['username'],
        additionalProperties: false,
      },
    },
    plugin_metadata: objects,
    plugin_attr: objects,
  },
};
const META = {
  type: 'object',
  properties: {
    disable: { type: 'boolean' },
    priority: { type: 'integer' },
    error_response: { type: ['string', 'object'] },
    filter: { type: 'array' },
  },
  additionalProperties: false,
};

/** Where plugins are looked for when the configuration names none. */
const FILTER_STATE = 'apisix.plugins';

/** A configuration of the filter, or of one route merged into it. */
export class Config {
  readonly chain: Chain;
  /** The filter state that names a stream's own plugins. */
  readonly filterState: string | undefined;
  private readonly states = lrucache({ count: 256, ttl: Infinity });

  constructor(
    readonly uses: readonly Use[],
    readonly scope: Scope,
    private readonly named: { readonly plugins: boolean; readonly filterState: string | undefined },
    private readonly hold: PluginHold,
    private readonly usesOfConsumers: ReadonlyMap<Consumer, readonly Use[]>,
  ) {
    this.chain = new Chain(uses);
    this.filterState = named.filterState ?? (named.plugins ? undefined : FILTER_STATE);
  }

  /** Which plugins a stream has is known before it begins. */
  get isFixed(): boolean {
    return this.filterState === undefined && this.usesOfConsumers.size === 0;
  }

  /** With the plugins that the filter state holds as JSON. Throws what is wrong with them. */
  chainOf(state: string): Chain {
    return this.states(state, undefined, () => {
      const list: unknown = JSON.parse(state);
      const wrong = check(PLUGINS, list);
      if (wrong !== undefined) throw new Error(wrong);
      const uses = readPlugins(list as NonNullable<RawConfig['plugins']>, this.hold, '');
      return new Chain(mergeUses(this.uses, uses));
    });
  }

  /** The plugins that a consumer brings; undefined = none. */
  ofConsumer(consumer: Consumer): readonly Use[] | undefined {
    return this.usesOfConsumers.get(consumer);
  }

  merge(route: Config): Config {
    const named = {
      plugins: this.named.plugins || route.named.plugins,
      filterState: route.named.filterState ?? this.named.filterState,
    };
    return new Config(mergeUses(this.uses, route.uses), this.scope, named, this.hold, this.usesOfConsumers);
  }
}

/** Throws a ConfigError that names the place. */
export function parseConfig(raw: Json | undefined, cx: ConfigContext, registry: PluginRegistry): Config {
  log.use(cx.log);
  const given = structuredClone(raw ?? {}) as RawConfig;
  const wrong = check(cx.scope === 'route' ? ROUTE : FILTER, given);
  if (wrong !== undefined) throw new ConfigError('', wrong);
  const hold = registry.hold(cx.signal);
  const uses = readPlugins(given.plugins ?? [], hold, 'plugins');
  const metadata: Record<string, object> = {};
  for (const [name, conf] of Object.entries(given.plugin_metadata ?? {})) {
    metadata[name] = readConf(name, conf, 'metadata', hold, `plugin_metadata.${name}`).conf;
  }
  const { consumers, usesOf } = readConsumers(given, hold);
  const named = { plugins: given.plugins !== undefined, filterState: given.filter_state };
  return new Config(uses, new Scope(consumers, metadata, given.plugin_attr ?? {}), named, hold, usesOf);
}

function readConsumers(given: RawConfig, hold: PluginHold) {
  const consumers: Consumer[] = [];
  const usesOf = new Map<Consumer, readonly Use[]>();
  for (const [i, { plugins = {}, ...consumer }] of (given.consumers ?? []).entries()) {
    const confs: Record<string, object> = {};
    const uses: Use[] = [];
    for (const [name, raw] of Object.entries(plugins)) {
      const path = `consumers[${String(i)}].plugins.${name}`;
      if (hold.get(name)?.type === 'auth') confs[name] = readConf(name, raw, 'consumer', hold, path).conf;
      else uses.push(...readUse(name, raw, hold, path));
    }
    const whole = { ...consumer, plugins: confs };
    consumers.push(whole);
    if (uses.length > 0) usesOf.set(whole, uses);
  }
  return { consumers, usesOf };
}

function readPlugins(list: NonNullable<RawConfig['plugins']>, hold: PluginHold, path: string): Use[] {
  const names = new Set<string>();
  return list.flatMap(({ name, conf }, i) => {
    const place = `${path}[${String(i)}]`;
    if (names.has(name)) throw new ConfigError(place, `plugin ${name} is there twice`);
    names.add(name);
    return readUse(name, conf ?? {}, hold, place);
  });
}

/** One use, or none when it is disabled. */
function readUse(name: string, raw: Json, hold: PluginHold, path: string): Use[] {
  const { plugin, conf, meta } = readConf(name, raw, 'route', hold, path);
  return meta.disable === true ? [] : [new Use(plugin, conf, meta)];
}

function readConf(name: string, raw: Json, type: SchemaType, hold: PluginHold, path: string) {
  const plugin = hold.use(name);
  if (plugin === undefined) throw new ConfigError(path, `unknown plugin [${name}]`);
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) {
    throw new ConfigError(path, `invalid plugin conf ${JSON.stringify(raw)} for plugin [${name}]`);
  }
  const refuse = (wrong: string): ConfigError =>
    new ConfigError(path, `failed to check the configuration of plugin ${name} err: ${wrong}`);
  const { _meta: meta = {}, ...conf } = withSecrets(raw, refuse) as { _meta?: Meta };
  const wrong =
    check(META, meta) ??
    (meta.filter === undefined ? undefined : checkExpr(meta.filter)) ??
    (plugin.check_schema === undefined ? checkBySchema(plugin, conf, type) : plugin.check_schema(conf, type));
  if (wrong !== undefined) throw refuse(wrong);
  return { plugin, conf: conf as object, meta };
}

function checkBySchema(plugin: Use['plugin'], conf: object, type: SchemaType): string | undefined {
  const schemas = { route: plugin.schema, consumer: plugin.consumer_schema, metadata: plugin.metadata_schema };
  return check(schemas[type] ?? { type: 'object' }, conf);
}

/** Texts `$env://NAME` and `$env://NAME/key` become what the environment has; one that it lacks is refused. */
function withSecrets(value: Json, refuse: (wrong: string) => Error): Json {
  if (typeof value === 'string') {
    if (value.startsWith('$secret://')) throw refuse(`${value}: secret managers are not supported, use $env://`);
    if (!value.startsWith('$env://')) return value;
    const [name = '', key] = value.slice('$env://'.length).split('/');
    const whole = process.env[name];
    const found: unknown = key === undefined || whole === undefined ? whole : (JSON.parse(whole) as JsonObject)[key];
    if (typeof found !== 'string') throw refuse(`${value} is not set`);
    return found;
  }
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((one: Json) => withSecrets(one, refuse));
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, withSecrets(one as Json, refuse)]));
}
