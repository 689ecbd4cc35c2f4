import { defineFilter } from 'envoy-ts-filter';

/** Go's DrainConnectionUponCompletion. */
export default defineFilter({
  name: 'go-drain',
  create: (_config, callbacks) => ({
    decodeHeaders(headers) {
      if (headers.path === '/drain') callbacks.streamInfo().drainConnectionUponCompletion();
    },
  }),
});
