import { setTimeout as sleep } from 'node:timers/promises';
import { defineFilter } from 'envoy-ts-filter';

interface Config {
  pauseMs?: number;
}

/** Splits each chunk into two outputs with a pause (15 ms) between them. */
export default defineFilter({
  name: 'twice',
  parseConfig: (raw) => (raw ?? {}) as Config,
  create: ({ pauseMs = 15 }) => ({
    async *transformResponse(body) {
      for await (const chunk of body) {
        const middle = chunk.indexOf(10) + 1;
        yield chunk.subarray(0, middle);
        await sleep(pauseMs);
        yield chunk.subarray(middle);
      }
    },
  }),
});
