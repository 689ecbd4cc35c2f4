import { defineFilter } from 'envoy-ts-filter';

/** Has every hook and changes nothing. */
export default defineFilter({
  name: 'listen-only',
  create: () => ({
    async decodeHeaders(headers) {
      await Promise.resolve();
      for (const _line of headers);
    },
    async decodeTrailers() {
      await Promise.resolve();
    },
    async encodeHeaders(headers) {
      await Promise.resolve();
      headers.get('set-cookie');
    },
    async encodeTrailers() {
      await Promise.resolve();
    },
  }),
});
