import { defineFilter } from 'envoy-ts-filter';

/** Throws in every request. */
export default defineFilter({
  name: 'fault',
  create: () => ({
    decodeHeaders() {
      throw new Error('always at fault');
    },
  }),
});
