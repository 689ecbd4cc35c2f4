import { defineFilter } from 'envoy-ts-filter';

/** Answers in memory, but asynchronously, as a cache would. */
const lookup = async (): Promise<string> => '1';

/** What every peer in the benchmark does: one header added to the request and one to the response. */
export default defineFilter({
  name: 'bench-add-header',
  phases: ['decodeHeaders', 'encodeHeaders'],
  create: () => ({
    async decodeHeaders(headers) {
      headers.set('x-bench-request', await lookup());
    },
    async encodeHeaders(headers) {
      headers.set('x-bench-response', await lookup());
    },
  }),
});
