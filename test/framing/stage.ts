/** One Envoy with a listener for each way to have filters of ours, and two without any. */
import { join } from 'node:path';
import { cluster, dynamicModule, type Config } from '../fixture/envoy.js';
import { root, type EnvoyVersion } from '../fixture/paths.js';
import { TortureStage } from '../support/torture-stage.js';
import { edge } from '../torture/stage.js';
import { TAGS } from './names.js';
import { STAGES, type StageName } from './plan.js';
import { TUNNEL_HOST } from './seen.js';
import type { Upstreams } from './upstreams.js';

const TYPES = 'type.googleapis.com/envoy.extensions';
const BARE = ['bare', 'bare-plain'] as const;
const PLAIN_POOL = 'plain';
const OUR_POOL = 'ours';
type ListenerName = StageName | (typeof BARE)[number];

/** The same exchange, without any filter of ours. */
export const bareOf = (stage: StageName): ListenerName => (stage === 'plain' ? 'bare-plain' : 'bare');

function routes(pool: string): Config[] {
  const to = (target: string): Config => ({
    prefix: '/e/',
    headers: [{ name: 'x-target', string_match: { exact: target } }],
  });
  const upstream = (name: string) => ({ match: to(name), route: { cluster: `${pool}-${name}`, timeout: '0s' } });
  return [
    upstream('http1'),
    upstream('http2'),
    { match: to('direct'), direct_response: { status: 200, body: { inline_string: 'a direct response' } } },
    { match: to('redirect'), redirect: { path_redirect: '/elsewhere' } },
    { match: to('nobody'), route: { cluster: 'nobody' } },
  ];
}

const virtualHosts = (pool: string): Config[] => [
  {
    name: 'tunnel',
    domains: [TUNNEL_HOST],
    routes: [
      {
        match: { connect_matcher: {} },
        route: { cluster: 'tunnel', upgrade_configs: [{ upgrade_type: 'CONNECT', connect_config: {} }] },
      },
    ],
  },
  { name: 'all', domains: ['*'], routes: routes(pool) },
];

function router(edges: boolean): Config {
  const codec = {
    name: 'envoy.filters.http.upstream_codec',
    typed_config: { '@type': `${TYPES}.filters.http.upstream_codec.v3.UpstreamCodec` },
  };
  return {
    name: 'envoy.filters.http.router',
    typed_config: {
      '@type': `${TYPES}.filters.http.router.v3.Router`,
      ...(edges ? { upstream_http_filters: [edge(), codec] } : {}),
    },
  };
}

export class Stage extends TortureStage {
  private constructor(
    version: EnvoyVersion,
    private readonly upstreams: Upstreams,
  ) {
    super({
      version,
      hostPaths: [join(root, 'test', 'framing', 'filters', 'framing.ts')],
      clusters: [
        // what breaks a connection with us is not to reach an exchange without
        ...[PLAIN_POOL, OUR_POOL].flatMap((pool) => [
          cluster(`${pool}-http1`, upstreams.http1),
          cluster(`${pool}-http2`, upstreams.http2, 'http2'),
        ]),
        cluster('tunnel', upstreams.tunnel),
      ],
    });
  }

  static async start(version: EnvoyVersion, upstreams: Upstreams): Promise<Stage> {
    const stage = new Stage(version, upstreams);
    await stage.startAll(true);
    return stage;
  }

  /** The code of each request whose filter has failed, as the host's log has it. */
  failures(): Map<string, string> {
    return new Map(
      this.host.records.flatMap(({ requestId, err }) => {
        const code = (err as { code?: unknown } | undefined)?.code;
        return typeof requestId === 'string' && typeof code === 'string' ? [[requestId, code] as const] : [];
      }),
    );
  }

  port1(name: ListenerName): number {
    return this.ports.get(name)!;
  }

  override config(): Config {
    const config = super.config();
    const [main] = config['static_resources'].listeners as [Config];
    config['static_resources'].listeners = [...STAGES, ...BARE].map((name) => this.listener(name, main));
    return config;
  }

  private listener(name: ListenerName, main: Config): Config {
    const listener = structuredClone(main);
    const manager = listener['filter_chains'][0].filters[0].typed_config as Config;
    manager['stat_prefix'] = name;
    manager['route_config'].virtual_hosts = virtualHosts(name.startsWith('bare') ? PLAIN_POOL : OUR_POOL);
    manager['preserve_external_request_id'] = true;
    // of each connection that Envoy closes; a second by default
    manager['delayed_close_timeout'] = '0.1s';
    manager['upgrade_configs'] = [{ upgrade_type: 'websocket' }, { upgrade_type: 'CONNECT' }];
    manager['http2_protocol_options'] = { allow_connect: true };
    const old = name !== 'plain' && name !== 'bare-plain';
    manager['http_protocol_options'] = {
      enable_trailers: true,
      ...(old ? { accept_http_10: true, default_host_for_http_10: 'test.local' } : {}),
    };
    manager['access_log'][0].typed_config.log_format.json_format = {
      key: '%REQ(X-KEY)%',
      path: '%REQ(:PATH)%',
      method: '%REQ(:METHOD)%',
      code: '%RESPONSE_CODE%',
      details: '%RESPONSE_CODE_DETAILS%',
      flags: '%RESPONSE_FLAGS%',
    };
    manager['http_filters'] = [...this.httpFilters(name), router(name === 'edges')];
    return { ...listener, name, stat_prefix: name };
  }

  private httpFilters(name: ListenerName): Config[] {
    const plugin = (tag: string) => ({ tag, sidePort: this.upstreams.side });
    const [first, second] = TAGS;
    const entry = (filter: string, more: Config = { plugin_config: plugin(first) }): Config => ({
      name: filter,
      typed_config: dynamicModule(filter, { socket: this.socket, host_wait: '5s', message_timeout: '3s', ...more }),
    });
    switch (name) {
      case 'bare':
      case 'bare-plain':
        return [];
      case 'edges':
        return [edge(), entry('framing'), edge()];
      case 'list': {
        const filters = [
          { name: 'framing-a', plugin_config: plugin(first) },
          { name: 'framing-b', plugin_config: plugin(second) },
        ];
        return [entry('framing-list', { filters })];
      }
      case 'two':
        return [entry('framing-a'), entry('framing-b', { plugin_config: plugin(second) })];
      case 'request':
      case 'response':
      case 'both':
        return [entry(`framing-${name}`)];
      default:
        return [entry('framing')];
    }
  }
}
