import { defineFilter, StatusType } from 'envoy-ts-filter';
import { count } from './lib/counters.js';
import { mapRequest, mapResponse } from './lib/maps.js';

/** Whole bodies: one call with all of it, asked for by the headers hook. */
export default defineFilter({
  name: 'body-whole',
  create: () => ({
    decodeHeaders: (_headers, endStream) => (endStream ? StatusType.Continue : StatusType.StopAndBuffer),
    decodeData(data) {
      count('whole.decodeData');
      data.set(mapRequest(data.bytes()));
      data.prepend('{');
      data.append('}');
      return StatusType.Continue;
    },
    encodeHeaders: (_headers, endStream) => (endStream ? StatusType.Continue : StatusType.StopAndBuffer),
    async encodeData(data) {
      count('whole.encodeData');
      await Promise.resolve();
      data.set(mapResponse(data.bytes()));
      data.prepend('<');
      data.append('>');
      return StatusType.Continue;
    },
  }),
});
