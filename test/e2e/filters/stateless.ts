import { setImmediate as turn } from 'node:timers/promises';
import { defineFilter } from 'envoy-ts-filter';
import { count } from './lib/counters.js';

/** Asynchronous headers hooks both ways, of which the second needs nothing of the first. */
export default defineFilter({
  name: 'stateless',
  stateless: true,
  create(_config, callbacks) {
    count('stateless.created');
    const attempt = String(callbacks.attempt);
    return {
      async decodeHeaders(headers) {
        await turn();
        headers.add('x-request-attempt', attempt);
      },
      async encodeHeaders(headers) {
        await turn();
        headers.add('x-response-attempt', attempt);
        headers.add('x-path', callbacks.request.get(':path') ?? '');
      },
    };
  },
});
