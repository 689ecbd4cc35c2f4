import { setImmediate as turn } from 'node:timers/promises';
import { defineFilter } from 'envoy-ts-filter';
import { count } from './lib/counters.js';

/** Asynchronous in every phase of both directions; response bodies come out upper-cased. */
export default defineFilter({
  name: 'touch-body',
  create() {
    count('touch-body.created');
    return {
      async decodeHeaders(headers) {
        await turn();
        headers.set('x-touch-body', 'request');
      },
      async *transformRequest(body) {
        for await (const chunk of body) {
          await turn();
          yield chunk;
        }
      },
      async encodeHeaders(headers) {
        await turn();
        headers.set('x-touch-body', 'response');
      },
      async *transformResponse(body) {
        for await (const chunk of body) {
          await turn();
          yield Buffer.from(chunk).toString('latin1').toUpperCase();
        }
      },
      onDestroy: () => count('touch-body.destroyed'),
    };
  },
});
