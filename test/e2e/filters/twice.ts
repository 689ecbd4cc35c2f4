import { setTimeout as sleep } from 'node:timers/promises';
import { defineFilter } from 'envoy-ts-filter';

/** Splits each chunk into two outputs with 15 ms between them. */
export default defineFilter({
  name: 'twice',
  create: () => ({
    async *transformResponse(body) {
      for await (const chunk of body) {
        const middle = chunk.indexOf(10) + 1;
        yield chunk.subarray(0, middle);
        await sleep(15);
        yield chunk.subarray(middle);
      }
    },
  }),
});
