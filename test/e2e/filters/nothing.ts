import { setImmediate as turn } from 'node:timers/promises';
import { defineFilter, perChunk, type StreamFilter } from 'envoy-ts-filter';

const HEADERS: StreamFilter = {
  decodeHeaders: () => undefined,
  encodeHeaders: () => undefined,
};
const ASYNC: StreamFilter = {
  decodeHeaders: () => turn(undefined),
  encodeHeaders: () => turn(undefined),
};
const TRAILERS: StreamFilter = {
  ...HEADERS,
  decodeTrailers: () => turn(undefined),
  encodeTrailers: () => turn(undefined),
};
const BODIES = {
  ...HEADERS,
  transformRequest: perChunk((chunk) => chunk),
  transformResponse: perChunk((chunk) => chunk),
};
const DATA: StreamFilter = {
  ...TRAILERS,
  decodeData: () => turn(undefined),
  encodeData: () => turn(undefined),
};

/** Hooks that change nothing; the config says which. */
export default defineFilter({
  name: 'nothing',
  parseConfig: (raw) => raw as 'headers' | 'async' | 'trailers' | 'bodies' | 'data',
  create: (which) =>
    ({ headers: HEADERS, async: ASYNC, trailers: TRAILERS, bodies: BODIES, data: DATA })[which] as object,
});
