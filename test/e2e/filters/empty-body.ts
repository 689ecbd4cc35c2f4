import { defineFilter, perChunk } from 'envoy-ts-filter';

/** Makes every body empty: the request's by a generator that returns at once, the response's chunk by chunk. */
export default defineFilter({
  name: 'empty-body',
  create: () => ({
    async *transformRequest() {
      // early return: what comes is drained
    },
    transformResponse: perChunk(() => undefined),
  }),
});
