import { setTimeout as sleep } from 'node:timers/promises';
import { defineFilter, type HeaderMap } from 'envoy-ts-filter';

/** Trailers hooks only, asynchronous for so many milliseconds; each adds to the body and marks the trailers. */
export default defineFilter({
  name: 'trailers-slow',
  parseConfig: (raw: unknown) => raw as number,
  create: (ms, callbacks) => {
    const late = async (trailers: HeaderMap, add: (data: string) => void) => {
      await sleep(ms);
      add('<late>');
      trailers.set('x-late', 'yes');
    };
    return {
      decodeTrailers: (trailers) => late(trailers, (data) => callbacks.decoderFilterCallbacks().addData(data)),
      encodeTrailers: (trailers) => late(trailers, (data) => callbacks.encoderFilterCallbacks().addData(data)),
    };
  },
});
