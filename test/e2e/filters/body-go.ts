import { setImmediate as turn } from 'node:timers/promises';
import { defineFilter, StatusType } from 'envoy-ts-filter';
import { mapRequest, mapResponse } from './lib/maps.js';

/** Go's shape: each chunk to decodeData and encodeData, asynchronously, with every status that lets the body flow. */
export default defineFilter({
  name: 'body-go',
  create: () => {
    let chunks = 0;
    return {
      decodeHeaders(headers, endStream) {
        if (!endStream) headers.delete('content-length');
      },
      async decodeData(data, endStream) {
        await turn();
        data.set(mapRequest(data.bytes()));
        // every third chunk is kept until the next one goes
        return !endStream && ++chunks % 3 === 0 ? StatusType.StopAndBufferWatermark : StatusType.Continue;
      },
      encodeHeaders(headers, endStream) {
        if (!endStream) headers.delete('content-length');
      },
      async encodeData(data, endStream) {
        await Promise.resolve();
        data.set(mapResponse(data.bytes()));
        if (endStream) data.append('>');
        return StatusType.Continue;
      },
    };
  },
});
