/** What `startEnvoy` is asked for. Public. */
import type { Upstream } from '../types.js';

/** Envoy's configuration is written as JSON; it is not modelled here. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- any is what JSON for another program is
export type Config = { [key: string]: any };

/** One of your filters in Envoy's chain. */
export interface FilterSpec {
  /** The filter's registered name. */
  readonly name: string;
  /** Its plugin_config. */
  readonly config?: unknown;
  /** Several of yours in one crossing, instead of `name` alone. */
  readonly filters?: readonly { readonly name: string; readonly plugin_config?: unknown }[];
  /** Name in the chain, for per-route configs; default `name`. */
  readonly instance?: string;
  /** Other keys of the module's configuration: failure_mode, message_timeout … */
  readonly options?: Config;
  /** The module's whole configuration, for configs that are wrong on purpose. */
  readonly value?: Config | string;
}
/** One of yours, or an Envoy filter as it stands in Envoy's configuration. */
export type AnyFilter =
  | FilterSpec
  | { readonly name: string; readonly typed_config: Config }
  | { readonly name: string; readonly config_discovery: Config };

export const isOurs = (filter: AnyFilter): filter is FilterSpec =>
  !('typed_config' in filter || 'config_discovery' in filter);

/** A place of the companion entry `ts_filter_edge`: around all filters, and in the router's own chain. */
export type Edge = 'first' | 'last' | 'upstream';

/** Where the default route leads. */
export interface UpstreamPort {
  readonly port: number;
  readonly protocol?: 'http1' | 'http2';
}

/** The chain, and what stands around it in Envoy's configuration. */
export interface ChainOptions {
  readonly filters?: readonly AnyFilter[];
  /** Companion entries around `filters`; true: all three. Default: none. */
  readonly edges?: boolean | readonly Edge[];
  /** The router's `upstream_http_filters`, without edge and codec. */
  readonly upstreamFilters?: readonly AnyFilter[];
  /** The `http_filters` of the default cluster, without codec. */
  readonly clusterFilters?: readonly AnyFilter[];
  /** Routes before the default one, as in Envoy's configuration. */
  readonly routes?: readonly Config[];
  /** Merged over the default route. */
  readonly route?: Config;
  /** Merged over the virtual host. */
  readonly virtualHost?: Config;
  readonly clusters?: readonly Config[];
  /** Merged over the connection manager. */
  readonly hcm?: Config;
  readonly listener?: Config;
  /** Merged over the filter chain of the listener: its name, its transport socket. */
  readonly filterChain?: Config;
  /** Merged over `static_resources`, for instance its secrets. */
  readonly staticResources?: Config;
}

/** The processes: an Envoy, and a `ts-filter-host`. */
export interface ProcessOptions {
  /** Envoy's binary. Default: `$ENVOY`, else `envoy` on the PATH. */
  readonly envoy?: string;
  /** The folder of `libts_filter.so`. Default: this package's. */
  readonly moduleDir?: string;
  /** Envoy workers, default 1. */
  readonly concurrency?: number;
  readonly envoyArgs?: readonly string[];
  readonly envoyEnv?: Readonly<Record<string, string>>;
  /** False: Envoy starts without a host. Default: with one where the chain has a filter of yours. */
  readonly host?: boolean;
  /** Filter files and folders, as `ts-filter-host` takes them. */
  readonly hostPaths?: readonly string[];
  /** `ts-filter-host --workers`, default 1. */
  readonly hostWorkers?: number;
  readonly hostArgs?: readonly string[];
  /** The host has its parent; default: it is alone, and its pid is that of the process that serves. */
  readonly supervise?: boolean;
  readonly hostEnv?: Readonly<Record<string, string>>;
  /** Envoy's, default `info`. */
  readonly logLevel?: string;
}

export interface EnvoyOptions extends ChainOptions, ProcessOptions {
  /** A port of 127.0.0.1, or what `testFilter` takes. Default: 200 without a body. */
  readonly upstream?: UpstreamPort | Upstream;
}
