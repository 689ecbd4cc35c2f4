import { setTimeout as sleep } from 'node:timers/promises';
import { defineFilter, StatusType } from 'envoy-ts-filter';

/** Capitals of whole request bodies, where a body can be worked on as an upstream HTTP filter. */
export default defineFilter({
  name: 'upstream-whole',
  create: () => ({
    async decodeHeaders(headers, endStream) {
      await sleep(1);
      headers.set('x-whole', 'yes');
      return endStream ? StatusType.Continue : StatusType.StopAndBuffer;
    },
    async decodeData(data) {
      await sleep(1);
      data.set(Buffer.from(data.bytes()).toString('latin1').toUpperCase());
      return StatusType.Continue;
    },
  }),
});
