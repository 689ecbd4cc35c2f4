/** Envoy's configuration for a test: one listener, one upstream, the chain that is asked for. */
import { join } from 'node:path';
import {
  isOurs,
  type AnyFilter,
  type ChainOptions,
  type Config,
  type Edge,
  type FilterSpec,
  type UpstreamPort,
} from './options.js';

/** Nobody listens there. */
export const NO_PORT = 1;
/** Which of a test's requests it is. */
export const TEST_HEADER = 'x-ts-filter-test';
const EDGES: readonly Edge[] = ['first', 'last', 'upstream'];

/** What the configuration needs of where it is used. */
export interface Surroundings {
  readonly upstream: UpstreamPort | undefined;
  /** Of the access log. */
  readonly dir: string;
  readonly socket: string;
  /** A second listener with these filters alone. */
  readonly side: readonly FilterSpec[];
}

export function envoyConfig(options: ChainOptions, at: Surroundings): Config {
  const { clusterFilters = [], clusters = [], listener = {}, filterChain = {}, staticResources = {} } = options;
  const { upstream, socket, side } = at;
  const chain = (http_filters: readonly Config[], more: Config = {}) => [
    { filters: [{ name: 'hcm', typed_config: manager(options, at.dir, http_filters) }], ...more },
  ];
  const sideFilters = () => [...side.map((filter) => filterConfig(filter, socket)), router()];
  return {
    admin: { address: address(0) },
    static_resources: {
      listeners: [
        {
          name: 'main',
          stat_prefix: 'main',
          address: address(0),
          filter_chains: chain(mainFilters(options, socket), filterChain),
          ...listener,
        },
        ...(side.length === 0
          ? []
          : [{ name: 'side', stat_prefix: 'side', address: address(0), filter_chains: chain(sideFilters()) }]),
      ],
      clusters: [
        withFilters(
          cluster('upstream', upstream?.port ?? NO_PORT, upstream?.protocol),
          clusterFilters.map((filter) => filterConfig(filter, socket)),
        ),
        {
          name: 'nobody',
          type: 'STATIC',
          connect_timeout: '1s',
          load_assignment: { cluster_name: 'nobody', endpoints: [] },
        },
        ...clusters,
      ],
      ...staticResources,
    },
  };
}

function manager(options: ChainOptions, dir: string, http_filters: readonly Config[]): Config {
  const { routes = [], route = {}, virtualHost = {}, hcm = {} } = options;
  return {
    '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    stat_prefix: 'main',
    codec_type: 'AUTO',
    stream_idle_timeout: '0s',
    http_protocol_options: { enable_trailers: true },
    upgrade_configs: [{ upgrade_type: 'websocket' }],
    route_config: {
      name: 'local',
      virtual_hosts: [
        {
          name: 'all',
          domains: ['*'],
          routes: [...routes, { match: { prefix: '/' }, route: { cluster: 'upstream', timeout: '0s' }, ...route }],
          ...virtualHost,
        },
      ],
    },
    http_filters,
    access_log: [
      {
        name: 'file',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
          path: join(dir, 'access.log'),
          log_format: {
            json_format: {
              path: '%REQ(:PATH)%',
              method: '%REQ(:METHOD)%',
              code: '%RESPONSE_CODE%',
              details: '%RESPONSE_CODE_DETAILS%',
              flags: '%RESPONSE_FLAGS%',
              ms: '%DURATION%',
              upstream: '%COMMON_DURATION(US_TX_END:US_RX_END:ms)%',
              test: `%REQ(${TEST_HEADER})%`,
            },
          },
        },
      },
    ],
    ...hcm,
  };
}

function mainFilters({ filters = [], edges = false, upstreamFilters = [] }: ChainOptions, socket: string): Config[] {
  const wanted = edges === true ? EDGES : edges === false ? [] : edges;
  const at = (place: Edge): Config[] => (wanted.includes(place) ? [edge(place)] : []);
  return [
    ...at('first'),
    ...filters.map((filter) => filterConfig(filter, socket)),
    ...at('last'),
    router([...upstreamFilters.map((filter) => filterConfig(filter, socket)), ...at('upstream')]),
  ];
}

function filterConfig(filter: AnyFilter, socket: string): Config {
  if (!isOurs(filter)) return filter;
  const { name, config, filters, instance = name, options = {}, value } = filter;
  const body = value ?? {
    socket,
    // the host is up before Envoy; the wait covers the moment of the connection
    host_wait: '5s',
    ...(filters === undefined ? {} : { filters }),
    ...(config === undefined ? {} : { plugin_config: config }),
    ...options,
  };
  return { name: instance, typed_config: dynamicModule(name, typeof body === 'string' ? body : { socket, ...body }) };
}

const address = (port: number): Config => ({ socket_address: { address: '127.0.0.1', port_value: port } });

export function cluster(name: string, port: number, protocol: 'http1' | 'http2' = 'http1'): Config {
  return {
    name,
    type: 'STATIC',
    connect_timeout: '1s',
    circuit_breakers: { thresholds: [{ max_connections: 20_000, max_pending_requests: 20_000, max_requests: 20_000 }] },
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        explicit_http_config:
          protocol === 'http2' ? { http2_protocol_options: {} } : { http_protocol_options: { enable_trailers: true } },
      },
    },
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }] },
  };
}

const CODEC: Config = {
  name: 'envoy.filters.http.upstream_codec',
  typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec' },
};

/** The same cluster with upstream HTTP filters of its own. */
function withFilters(of: Config, filters: readonly Config[]): Config {
  if (filters.length === 0) return of;
  const key = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
  const options = { ...of['typed_extension_protocol_options'][key], http_filters: [...filters, CODEC] };
  return { ...of, typed_extension_protocol_options: { [key]: options } };
}

function router(upstreamFilters: readonly Config[] = []): Config {
  return {
    name: 'envoy.filters.http.router',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router',
      ...(upstreamFilters.length === 0 ? {} : { upstream_http_filters: [...upstreamFilters, CODEC] }),
    },
  };
}

const edge = (place: Edge): Config => ({
  name: `ts_filter_edge_${place}`,
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter',
    dynamic_module_config: { name: 'ts_filter', do_not_close: true },
    filter_name: 'ts_filter_edge',
  },
});

/** The module's filter as it stands in Envoy's configuration; a string travels as StringValue. */
export function dynamicModule(name: string, value: Config | string): Config {
  return {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter',
    dynamic_module_config: { name: 'ts_filter', do_not_close: true },
    filter_name: name,
    filter_config:
      typeof value === 'string'
        ? { '@type': 'type.googleapis.com/google.protobuf.StringValue', value }
        : { '@type': 'type.googleapis.com/google.protobuf.Struct', value },
  };
}

/** The part of a connection manager that lets the log hooks of our filters run; `change` is merged over the logger. */
export function accessLogger(options: { readonly interval: string; readonly change?: Config }): Config {
  return {
    access_log: [
      {
        name: 'envoy.access_loggers.dynamic_modules',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.access_loggers.dynamic_modules.v3.DynamicModuleAccessLog',
          dynamic_module_config: { name: 'ts_filter', do_not_close: true },
          logger_name: 'ts_filter',
          ...options.change,
        },
      },
    ],
    access_log_options: { flush_access_log_on_new_request: true, access_log_flush_interval: options.interval },
  };
}

/** The module's per-route config. Envoy 1.38 takes a Struct there as raw bytes, so it travels as JSON text. */
export function dynamicModulePerRoute(name: string, value: Config): Config {
  return {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilterPerRoute',
    dynamic_module_config: { name: 'ts_filter', do_not_close: true },
    per_route_config_name: name,
    filter_config: { '@type': 'type.googleapis.com/google.protobuf.StringValue', value: JSON.stringify(value) },
  };
}
