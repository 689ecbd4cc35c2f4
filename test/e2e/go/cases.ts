/**
 * The behaviour cases of the Golang filter, by the names of our tests. One table: `goCase` takes only these, a test holds
 * the tests to it, and scripts/go-matrix.mjs prints how each fared on each Envoy.
 */

/** Over HTTP/1.1, and over HTTP/2 downstream with `/h2` at the end. */
const BOTH = [
  'go/basic/plain',
  'go/basic/async',
  'go/basic/sleep',
  'go/basic/data-sleep',
  'go/basic/async+sleep',
  'go/basic/async+data-sleep',
  'go/basic/whole-body-decodeHeaders',
  'go/basic/whole-body-decodeData',
  'go/basic/async+whole-body-decodeHeaders',
  'go/basic/async+whole-body-decodeData',
  'go/basic/filter-chain-name',
  'go/basic/response-code-details',
  'go/basic/upstream-cluster',
  'go/basic/attempt-count',
  'go/basic/virtual-cluster',

  'go/local-reply/decodeHeaders',
  'go/local-reply/decodeHeaders/async',
  'go/local-reply/decodeData',
  'go/local-reply/decodeData/async',
  'go/local-reply/later-filter',

  'go/buffer/drain',
  'go/buffer/drain-bad-offset',
  'go/buffer/reset',
  'go/buffer/reset-after-drain',
  'go/buffer/len',

  'go/add-data/decodeHeaders',
  'go/add-data/decodeData-refused',
  'go/add-data/decodeTrailers',
  'go/add-data/decodeTrailers/whole-body',
  'go/add-data/encodeHeaders/async',
  'go/add-data/encodeTrailers',
  'go/add-data/encodeTrailers/whole-body',

  'go/inject-data/request',
  'go/inject-data/request/whole-body',
  'go/inject-data/response',
  'go/inject-data/response/whole-body',
  'go/inject-data/outside-data-phase',
  'go/inject-data/synchronous',
] as const;

const HTTP1 = [
  'go/echo',
  'go/passthrough',
  'go/unknown-plugin',
  'go/tls/plaintext',
  'go/tls/mtls',
  'go/tls/mtls-certificate-details',
  'go/continue-without-upstream',
  'go/drain',

  'go/limits/413',
  'go/panic/decodeHeaders',
  'go/panic/decodeHeaders/async',
  'go/panic/decodeData',
  'go/panic/decodeData/async',
  'go/panic/encodeData/async',
  'go/panic/bad-api',
  'go/headers-only/decode-StopAndBuffer',
  'go/headers-only/decode-StopAndBuffer/async',
  'go/headers-only/decode-StopAndBufferWatermark',
  'go/headers-only/decode-StopAndBufferWatermark/async',
  'go/headers-only/encode-StopAndBuffer',
  'go/headers-only/encode-StopAndBuffer/async',
  'go/headers-only/encode-StopAndBufferWatermark',
  'go/headers-only/encode-StopAndBufferWatermark/async',

  'go/route/path-without-clear',
  'go/route/path-with-clear',
  'go/route/refresh',
  'go/metadata/plain',
  'go/metadata/async',
  'go/metadata/async+sleep',
  'go/override-host/plain',
  'go/override-host/unknown',
  'go/override-host/bad-host',
  'go/override-host/unavailable',
  'go/override-host/unavailable-with-retry',
  'go/override-host/strict',
  'go/override-host/strict-with-retry',
  'go/override-host/strict-unknown',
  'go/override-host/strict-unknown-with-retry',
  'go/route-config/filter',
  'go/route-config/virtual-host',
  'go/route-config/route',

  'go/properties/request',
  'go/properties/request-time',
  'go/properties/addresses',
  'go/properties/mtls',
  'go/properties/route-name',
  'go/properties/response-code',
  'go/properties/response-code-details',
  'go/properties/onLog-sizes',
  'go/properties/not-found',
  'go/properties/serialization',

  'go/access-log/onLog',
  'go/access-log/onLog/async',
  'go/access-log/downstream-start',
  'go/access-log/downstream-start/async',
  'go/access-log/downstream-periodic',
  'go/access-log/downstream-periodic/async',

  'go/metrics/counter',
  'go/metrics/gauge',
  'go/metrics/counter/async',
  'go/metrics/gauge/async',
  'go/secrets/static',
  'go/secrets/dynamic',
  'go/secrets/missing',
  'go/websocket',
  'go/config-destroy',
] as const;

export type BothCase = (typeof BOTH)[number];
export type GoCase = BothCase | `${BothCase}/h2` | (typeof HTTP1)[number];

export const CASES: readonly GoCase[] = [...BOTH.flatMap((id) => [id, `${id}/h2`] as const), ...HTTP1];
