// The cases: what is in Envoy's filter chain, and which process runs beside it.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const type = (name) => `type.googleapis.com/${name}`;

const dynamicModule = (name, filterName, config) => ({
  name,
  typed_config: {
    '@type': type('envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter'),
    dynamic_module_config: { name: 'ts_filter', do_not_close: true },
    filter_name: filterName,
    ...(config && { filter_config: { '@type': type('google.protobuf.Struct'), value: config } }),
  },
});

const ours = (filterName, source, pluginConfig = () => ({})) => ({
  sidecar: ({ socket }) => [
    at('../bin/ts-filter-host.js'),
    at(source),
    '--socket',
    socket,
    '--workers',
    '1',
    '--log-level',
    'warn',
    '--no-supervise',
  ],
  filter: (context) =>
    dynamicModule('ts_filter', filterName, {
      socket: context.socket,
      host_wait: '5s',
      plugin_config: pluginConfig(context),
    }),
});

const edge = (place) => dynamicModule(`ts_filter_edge_${place}`, 'ts_filter_edge');
const codec = {
  name: 'envoy.filters.http.upstream_codec',
  typed_config: { '@type': type('envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec') },
};
/** The chain that the README advises for filters which stream. */
const edges = { first: [edge('first')], last: [edge('last')], upstream: [edge('upstream'), codec] };

const goServer = at('../build/bench/ext_proc_go');
const inNode = { sidecar: ({ socket }) => [at('peers/ext_proc/server.js'), socket] };
const inGo = { sidecar: ({ socket }) => [socket], program: goServer };

const extProc = (server, processingMode) => ({
  ...server,
  filter: () => ({
    name: 'ext_proc',
    typed_config: {
      '@type': type('envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor'),
      grpc_service: { envoy_grpc: { cluster_name: 'sidecar' } },
      message_timeout: '5s',
      processing_mode: { request_trailer_mode: 'SKIP', response_trailer_mode: 'SKIP', ...processingMode },
    },
  }),
  clusters: ({ socket }) => [
    {
      ...cluster('sidecar', { pipe: { path: socket } }),
      typed_extension_protocol_options: {
        'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
          '@type': type('envoy.extensions.upstreams.http.v3.HttpProtocolOptions'),
          explicit_http_config: { http2_protocol_options: {} },
        },
      },
    },
  ],
  // Without this Envoy resets the gRPC call of every request. Node's HTTP/2 server takes so many resets for an attack
  // and closes the connection after 1000 of them, which fails every request that is on its way.
  runtime: { 'envoy.reloadable_features.ext_proc_graceful_grpc_close': true },
});

const LUA = `
function envoy_on_request(handle) handle:headers():replace("x-bench-request", "1") end
function envoy_on_response(handle) handle:headers():replace("x-bench-response", "1") end`;

/** One header added to the request and one to the response, in front of a direct response. */
export const headerCases = [
  { id: 'none', label: 'no filter', adds: false },
  {
    id: 'idle',
    label: 'ts_filter, no phase subscribed',
    adds: false,
    ...ours('bench-no-phase', 'filters/no-phase.ts'),
  },
  {
    id: 'lua',
    label: 'Lua (in-process)',
    adds: true,
    filter: () => ({
      name: 'lua',
      typed_config: {
        '@type': type('envoy.extensions.filters.http.lua.v3.Lua'),
        default_source_code: { inline_string: LUA },
      },
    }),
  },
  { id: 'ours', label: 'ts_filter, async function', adds: true, ...ours('bench-add-header', 'filters/add-header.ts') },
  {
    id: 'ext_proc',
    label: 'ext_proc, Node (grpc-js, unix socket)',
    adds: true,
    ...extProc(inNode, { request_header_mode: 'SEND', response_header_mode: 'SEND' }),
  },
  {
    id: 'ext_proc_go',
    label: 'ext_proc, Go (grpc-go, unix socket)',
    adds: true,
    ...extProc(inGo, { request_header_mode: 'SEND', response_header_mode: 'SEND' }),
  },
];

const call = (way, label) => ({
  id: `call-${way}`,
  label,
  adds: true,
  needsServer: way === 'fetch',
  ...ours('bench-calls', 'filters/calls.ts', ({ serverPort = 0 }) => ({ way, port: serverPort })),
});

/** One call from the request's hook, in front of a direct response. */
export const callCases = [
  { id: 'ours', label: 'no call, async function', adds: true, ...ours('bench-add-header', 'filters/add-header.ts') },
  call('worker', 'worker thread (TypeScript)'),
  call('worker-global', 'worker thread, isGlobal'),
  call('go', 'Go'),
  call('python', 'Python'),
  call('fetch', '`fetch` to a loopback server (Node)'),
];

const upper = ours('upper', '../filters/upper/index.ts');

/** A large response body upper-cased on its way. */
export const streamCases = [
  { id: 'none', label: 'no filter', adds: false },
  { id: 'ours', label: 'ts_filter, `upper` (perChunk)', adds: true, ...upper },
  { id: 'ours-edges', label: 'the same with `ts_filter_edge`', adds: true, ...upper, edges },
  {
    id: 'ext_proc',
    label: 'ext_proc STREAMED, Node',
    adds: true,
    ...extProc(inNode, { request_header_mode: 'SKIP', response_header_mode: 'SEND', response_body_mode: 'STREAMED' }),
  },
];

const socketAddress = (port) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
const cluster = (name, address) => ({
  name,
  connect_timeout: '1s',
  load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] },
});

/** Envoy's configuration for a case; without a backend the routes answer directly. */
export function envoyConfig(oneCase, context) {
  const answer = { direct_response: { status: 200, body: { inline_string: 'ok' } } };
  const action = context.backendPort ? { route: { cluster: 'backend', timeout: '0s' } } : answer;
  // /check shows which headers a request has after the filters.
  const check = [
    { header: { key: 'x-saw-request', value: '%REQ(x-bench-request)%' }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' },
  ];
  return {
    admin: { address: socketAddress(0) },
    layered_runtime: { layers: [{ name: 'bench', static_layer: oneCase.runtime ?? {} }] },
    static_resources: {
      listeners: [
        {
          name: 'bench',
          address: socketAddress(0),
          filter_chains: [
            {
              filters: [
                {
                  name: 'http',
                  typed_config: {
                    '@type': type('envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'),
                    stat_prefix: 'bench',
                    route_config: {
                      virtual_hosts: [
                        {
                          name: 'all',
                          domains: ['*'],
                          routes: [
                            { match: { path: '/check' }, ...action, response_headers_to_add: check },
                            { match: { prefix: '/' }, ...action },
                          ],
                        },
                      ],
                    },
                    http_filters: [
                      ...(oneCase.edges?.first ?? []),
                      ...(oneCase.filter ? [oneCase.filter(context)] : []),
                      ...(oneCase.edges?.last ?? []),
                      {
                        name: 'router',
                        typed_config: {
                          '@type': type('envoy.extensions.filters.http.router.v3.Router'),
                          upstream_http_filters: oneCase.edges?.upstream,
                        },
                      },
                    ],
                  },
                },
              ],
            },
          ],
        },
      ],
      clusters: [
        ...(oneCase.clusters?.(context) ?? []),
        ...(context.backendPort ? [cluster('backend', socketAddress(context.backendPort))] : []),
      ],
    },
  };
}

/** What must be there before a run of these cases: path and the command that makes it. */
export function missingParts(envoy, cases) {
  const parts = [[envoy, 'make build-envoy']];
  if (cases.some(({ id }) => id === 'call-go')) parts.push([at('../build/calls/go-echo'), 'make build/stamps/calls']);
  if (cases.some(({ id }) => id.startsWith('ours') || id === 'idle')) {
    parts.push(
      [at('../build/libts_filter.so'), 'make build-envoy'],
      [at('../dist/src/cli/main.js'), 'make build-envoy'],
    );
  }
  return parts.filter(([path]) => !existsSync(path));
}

/**
 * The ext_proc servers have packages of their own, installed from their lock files. Go is optional: without it these
 * are the cases without the server in Go.
 */
export function installPeers(cases) {
  const has = (id) => cases.some((one) => one.id === id);
  if (has('ext_proc') && !existsSync(at('peers/ext_proc/node_modules'))) {
    const args = ['ci', '--prefix', at('peers/ext_proc'), '--no-audit', '--no-fund', '--ignore-scripts'];
    execFileSync('npm', args, { stdio: ['ignore', 'ignore', 'inherit'] });
  }
  if (!has('ext_proc_go')) return cases;
  const build = spawnSync('go', ['build', '-o', goServer, '.'], { cwd: at('peers/ext_proc_go'), encoding: 'utf8' });
  if (build.status === 0) return cases;
  console.error(`bench: ext_proc in Go is left out: ${build.error?.message ?? build.stderr.trim()}`);
  return cases.filter(({ id }) => id !== 'ext_proc_go');
}
