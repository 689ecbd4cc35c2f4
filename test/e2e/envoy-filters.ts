/** Envoy's own filters, as the chains of the tests use them. */
import type { Config } from '../fixture/index.js';

export interface EnvoyFilter {
  readonly name: string;
  readonly typed_config: Config;
}

const filter = (name: string, type: string, config: Config): EnvoyFilter => ({
  name: `envoy.filters.http.${name}`,
  typed_config: { '@type': `type.googleapis.com/envoy.extensions.filters.http.${type}`, ...config },
});

export const buffer = (bytes: number): EnvoyFilter =>
  filter('buffer', 'buffer.v3.Buffer', { max_request_bytes: bytes });

export const lua = (source: string): EnvoyFilter =>
  filter('lua', 'lua.v3.Lua', { default_source_code: { inline_string: source } });

/** An HTTP authorization service on cluster `authz`; it is shown the body when that is given. */
export const extAuthz = (withRequestBody?: Config): EnvoyFilter =>
  filter('ext_authz', 'ext_authz.v3.ExtAuthz', {
    http_service: { server_uri: { uri: 'http://authz', cluster: 'authz', timeout: '5s' } },
    ...(withRequestBody === undefined ? {} : { with_request_body: withRequestBody }),
  });

/** Delays every request by that. */
export const fault = (ms: number): EnvoyFilter =>
  filter('fault', 'fault.v3.HTTPFault', {
    delay: { fixed_delay: `${ms / 1000}s`, percentage: { numerator: 100, denominator: 'HUNDRED' } },
  });

export const awsRequestSigning = (): EnvoyFilter =>
  filter('aws_request_signing', 'aws_request_signing.v3.AwsRequestSigning', {
    service_name: 's3',
    region: 'eu-central-1',
    use_unsigned_payload: true,
  });

/** An external processor on cluster `ext_proc`, with that mode for both bodies. */
export const extProc = (mode: 'BUFFERED' | 'STREAMED'): EnvoyFilter =>
  filter('ext_proc', 'ext_proc.v3.ExternalProcessor', {
    grpc_service: { envoy_grpc: { cluster_name: 'ext_proc' }, timeout: '10s' },
    message_timeout: '5s',
    processing_mode: {
      request_header_mode: 'SEND',
      response_header_mode: 'SEND',
      request_body_mode: mode,
      response_body_mode: mode,
    },
  });

const ZLIB = 'type.googleapis.com/envoy.extensions.compression.gzip';

/** Responses only; the smallest ones too. */
export const compressor = (): EnvoyFilter =>
  filter('compressor', 'compressor.v3.Compressor', {
    response_direction_config: {
      common_config: { min_content_length: 1, content_type: ['application/octet-stream'] },
    },
    compressor_library: { name: 'gzip', typed_config: { '@type': `${ZLIB}.compressor.v3.Gzip` } },
  });

/** Requests only. */
export const decompressor = (): EnvoyFilter =>
  filter('decompressor', 'decompressor.v3.Decompressor', {
    response_direction_config: { common_config: { enabled: { default_value: false, runtime_key: 'none' } } },
    decompressor_library: { name: 'gzip', typed_config: { '@type': `${ZLIB}.decompressor.v3.Gzip` } },
  });
