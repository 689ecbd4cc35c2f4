/** One Envoy with a listener for each chain, and a host with the torture's filters. */
import { join } from 'node:path';
import { cluster, dynamicModule, type Config } from '../fixture/envoy.js';
import { root, type EnvoyVersion } from '../fixture/paths.js';
import { TortureStage } from '../support/torture-stage.js';
import { forwards, isOurs, type Chain, type Entry } from './chain.js';
import { DNS_CACHE, PAUSING, PAUSING_OURS } from './pausing.js';
import type { Peers } from './peers.js';
import type { Receivers } from './receiver.js';

const EDGE = 'ts_filter_edge';
const TYPES = 'type.googleapis.com/envoy.extensions';
/** What a whole body of the torture may grow to. */
const MOST = '48MiB';
const OVERLOAD = { max_connections: 20_000, max_pending_requests: 20_000, max_requests: 20_000, max_retries: 10 };

export interface StageOptions {
  readonly version: EnvoyVersion;
  readonly chains: readonly Chain[];
  readonly edges: boolean;
  readonly ownNames: boolean;
  readonly peers: Peers;
  readonly receivers: Receivers;
}

/** The companion entry, as it is to stand in a configuration. */
export const edge = (): Config => ({
  name: EDGE,
  typed_config: {
    '@type': `${TYPES}.filters.http.dynamic_modules.v3.DynamicModuleFilter`,
    dynamic_module_config: { name: 'ts_filter', do_not_close: true },
    filter_name: EDGE,
  },
});

/** `cluster` as the dynamic forward proxy's cluster type. */
function forwarding(name: string, protocol: 'http1' | 'http2'): Config {
  const { type: _type, load_assignment: _hosts, ...rest } = cluster(name, 0, protocol);
  const config = {
    '@type': `${TYPES}.clusters.dynamic_forward_proxy.v3.ClusterConfig`,
    dns_cache_config: DNS_CACHE,
    allow_insecure_cluster_options: true,
  };
  return {
    ...rest,
    lb_policy: 'CLUSTER_PROVIDED',
    cluster_type: { name: 'envoy.clusters.dynamic_forward_proxy', typed_config: config },
  };
}

function routes(chain: Chain): Config[] {
  const prefix = forwards(chain) ? 'forward' : 'upstream';
  return ['http1', 'http2'].map((protocol) => ({
    match: { prefix: '/', headers: [{ name: 'x-upstream', string_match: { exact: protocol } }] },
    route: {
      cluster: `${prefix}-${protocol}`,
      timeout: '0s',
      rate_limits: [{ actions: [{ generic_key: { descriptor_value: 'torture' } }] }],
    },
  }));
}

function router(edges: boolean): Config {
  const codec = { '@type': `${TYPES}.filters.http.upstream_codec.v3.UpstreamCodec` };
  return {
    name: 'envoy.filters.http.router',
    typed_config: {
      '@type': `${TYPES}.filters.http.router.v3.Router`,
      ...(edges
        ? { upstream_http_filters: [edge(), { name: 'envoy.filters.http.upstream_codec', typed_config: codec }] }
        : {}),
    },
  };
}

/** Of a chain's listener. */
const nameOf = (chain: number): string => `c${chain}`;

/** As Envoy's documentation calls a filter of that type. */
const usualName = (config: Config): string =>
  `envoy.filters.http.${/filters\.http\.(\w+)\./.exec(config['@type'] as string)![1]}`;

const needsHost = ({ entries }: Chain): boolean =>
  entries.some((entry) => isOurs(entry) || entry.pausing === PAUSING_OURS);

export class Stage extends TortureStage {
  private constructor(private readonly torture: StageOptions) {
    super({
      version: torture.version,
      hostPaths: [join(root, 'test', 'torture', 'filters', 'torture.ts')],
      clusters: [
        cluster('upstream-http1', torture.receivers.http1),
        cluster('upstream-http2', torture.receivers.http2, 'http2'),
        forwarding('forward-http1', 'http1'),
        forwarding('forward-http2', 'http2'),
        cluster('peers', torture.peers.httpPort),
        cluster('grpc-peers', torture.peers.grpcPort, 'http2'),
      ],
    });
  }

  static async start(options: StageOptions): Promise<Stage> {
    const stage = new Stage(options);
    await stage.startAll(options.chains.some(needsHost));
    return stage;
  }

  portOf(chain: number): number {
    return this.ports.get(nameOf(chain))!;
  }

  override config(): Config {
    const config = super.config();
    const [main] = config['static_resources'].listeners as [Config];
    config['static_resources'].listeners = this.torture.chains.map((chain) => this.listener(chain, main));
    for (const one of config['static_resources'].clusters as Config[])
      one['circuit_breakers'] = { thresholds: [OVERLOAD] };
    return config;
  }

  private listener(chain: Chain, main: Config): Config {
    const listener = structuredClone(main);
    const name = nameOf(chain.number);
    const manager = listener['filter_chains'][0].filters[0].typed_config as Config;
    manager['stat_prefix'] = name;
    manager['route_config'].virtual_hosts[0].routes = routes(chain);
    manager['http_filters'] = this.httpFilters(chain);
    const limit = chain.bufferLimit === undefined ? {} : { per_connection_buffer_limit_bytes: chain.bufferLimit };
    return { ...listener, ...limit, name, stat_prefix: name };
  }

  private httpFilters(chain: Chain): Config[] {
    const { edges } = this.torture;
    const entries = chain.entries.map((entry, place) => this.entry(entry, chain.number, place));
    return [...(edges ? [edge()] : []), ...entries, ...(edges ? [edge()] : []), router(edges)];
  }

  private entry(entry: Entry, chain: number, place: number): Config {
    const name = `t${chain}-${place}`;
    if (!isOurs(entry) && entry.pausing !== PAUSING_OURS) {
      const typed_config = PAUSING[entry.pausing]!.config(entry.ms);
      return { name: this.torture.ownNames ? name : usualName(typed_config), typed_config };
    }
    const headers = { tag: 'P', request: 'none', response: 'none', bodyMs: 0 };
    const plugin_config = isOurs(entry) ? entry.ours : { ...headers, headersMs: Math.max(2, entry.ms) };
    const value = { socket: this.socket, host_wait: '5s', max_body_bytes: MOST, message_timeout: '14s', plugin_config };
    return { name, typed_config: dynamicModule(name, value) };
  }
}
