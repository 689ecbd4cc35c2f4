/** Filters of Envoy that pause, as the torture's chains have them; their peers are in peers.ts. */
import type { Config } from '../fixture/envoy.js';

export interface PausingKind {
  /** The row of docs/chains.md. */
  readonly row: string;
  readonly config: (ms: number) => Config;
  /** It holds whole bodies, or hangs at Envoy's buffer limit: that must be above them. */
  readonly holds?: boolean;
  /** It takes a streamed body out of the chain. Where another filter pauses beside it, stock Envoy cuts bodies or ends them
   *  twice, also without any of ours: it is the only filter of Envoy's in its chain. */
  readonly alone?: boolean;
}

const typed = (type: string, config: Config): Config => ({
  '@type': `type.googleapis.com/envoy.extensions.filters.http.${type}`,
  ...config,
});

export const DNS_CACHE: Config = {
  name: 'torture',
  dns_lookup_family: 'V4_ONLY',
  max_hosts: 100_000,
  host_ttl: '300s',
};

/** More than any body of the torture. */
export const HOLD_BYTES = 32 << 20;
const ALL = { percentage: { numerator: 100 } };

const authz = (ms: number, body?: Config): Config =>
  typed('ext_authz.v3.ExtAuthz', {
    http_service: {
      server_uri: { uri: 'http://peers', cluster: 'peers', timeout: '14s' },
      path_prefix: `/wait/${ms}`,
    },
    ...(body === undefined ? {} : { with_request_body: body }),
  });

const extProc = (mode: string, trailers: 'SEND' | 'SKIP'): Config =>
  typed('ext_proc.v3.ExternalProcessor', {
    grpc_service: {
      envoy_grpc: { cluster_name: 'grpc-peers' },
      timeout: '30s',
      initial_metadata: [{ key: 'x-mode', value: mode }],
    },
    message_timeout: '14s',
    processing_mode: {
      request_header_mode: 'SEND',
      response_header_mode: 'SEND',
      request_body_mode: mode,
      response_body_mode: mode,
      request_trailer_mode: trailers,
      response_trailer_mode: trailers,
    },
  });

const lua = (hook: 'request' | 'response', body: string, ms: number): Config =>
  typed('lua.v3.Lua', {
    default_source_code: {
      inline_string: `
function wait(handle)
  handle:httpCall("peers", {[":method"] = "GET", [":path"] = "/wait/${ms}", [":authority"] = "peers"}, "", 14000)
end
function envoy_on_${hook}(handle)
  ${body}
end`,
    },
  });
const CHUNKS = 'local n = 0 for chunk in handle:bodyChunks() do n = n + 1 if n <= 8 then wait(handle) end end';
const WHOLE = 'local body = handle:body() wait(handle)';

const RATE_LIMIT: Config = {
  domain: 'torture',
  timeout: '14s',
  failure_mode_deny: true,
  rate_limit_service: { grpc_service: { envoy_grpc: { cluster_name: 'grpc-peers' } }, transport_api_version: 'V3' },
};

const JWT: Config = {
  providers: {
    torture: {
      issuer: 'torture',
      forward: true,
      remote_jwks: {
        http_uri: { uri: 'http://peers/jwks', cluster: 'peers', timeout: '14s' },
        // nearly every request finds the key set too old, and waits
        cache_duration: '0.005s',
      },
    },
  },
  rules: [{ match: { prefix: '/' }, requires: { provider_name: 'torture' } }],
};

export const PAUSING: Record<string, PausingKind> = {
  fault: {
    row: 'fault',
    config: (ms) => typed('fault.v3.HTTPFault', { delay: { fixed_delay: `${Math.max(1, ms) / 1000}s`, ...ALL } }),
  },
  'fault by header': {
    row: 'fault',
    config: () => typed('fault.v3.HTTPFault', { delay: { header_delay: {}, ...ALL } }),
  },
  jwt_authn: { row: 'jwt_authn', config: () => typed('jwt_authn.v3.JwtAuthentication', JWT) },
  ratelimit: { row: 'ratelimit', config: () => typed('ratelimit.v3.RateLimit', RATE_LIMIT) },
  ext_authz: { row: 'ext_authz', config: (ms) => authz(ms) },
  'ext_authz with the body': {
    row: 'ext_authz with the body',
    config: (ms) => authz(ms, { max_request_bytes: HOLD_BYTES }),
    holds: true,
  },
  'ext_authz with part of the body': {
    row: 'ext_authz with the body',
    config: (ms) => authz(ms, { max_request_bytes: 20_000, allow_partial_message: true }),
    holds: true,
  },
  'ext_proc NONE': { row: 'ext_proc NONE', config: () => extProc('NONE', 'SKIP') },
  'ext_proc STREAMED': { row: 'ext_proc STREAMED', config: () => extProc('STREAMED', 'SKIP'), alone: true },
  'ext_proc STREAMED and trailers': {
    row: 'ext_proc STREAMED',
    config: () => extProc('STREAMED', 'SEND'),
    alone: true,
  },
  'ext_proc BUFFERED': { row: 'ext_proc BUFFERED', config: () => extProc('BUFFERED', 'SKIP'), holds: true },
  'ext_proc BUFFERED_PARTIAL': {
    row: 'ext_proc BUFFERED_PARTIAL',
    config: () => extProc('BUFFERED_PARTIAL', 'SKIP'),
    holds: true,
  },
  'ext_proc FULL_DUPLEX_STREAMED': {
    row: 'ext_proc FULL_DUPLEX_STREAMED',
    config: () => extProc('FULL_DUPLEX_STREAMED', 'SEND'),
    alone: true,
  },
  'lua httpCall in request headers': {
    row: 'lua httpCall, request headers',
    config: (ms) => lua('request', 'wait(handle)', ms),
  },
  'lua httpCall in response headers': {
    row: 'lua httpCall, response headers',
    config: (ms) => lua('response', 'wait(handle)', ms),
  },
  'lua httpCall in request bodyChunks': {
    row: 'lua httpCall, request bodyChunks',
    config: (ms) => lua('request', CHUNKS, ms),
    holds: true,
    alone: true,
  },
  'lua httpCall in response bodyChunks': {
    row: 'lua httpCall, response bodyChunks',
    config: (ms) => lua('response', CHUNKS, ms),
    holds: true,
    alone: true,
  },
  'lua httpCall with the request body': {
    row: 'lua httpCall, whole body',
    config: (ms) => lua('request', WHOLE, ms),
    holds: true,
  },
  'lua httpCall with the response body': {
    row: 'lua httpCall, whole body',
    config: (ms) => lua('response', WHOLE, ms),
    holds: true,
  },
  dynamic_forward_proxy: {
    row: 'dynamic_forward_proxy',
    config: () => typed('dynamic_forward_proxy.v3.FilterConfig', { dns_cache_config: DNS_CACHE }),
  },
};
export const FORWARD_PROXY = 'dynamic_forward_proxy';
export const PAUSING_OURS = 'another of ours';
