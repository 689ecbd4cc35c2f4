import { once } from 'node:events';
import { defineFilter } from 'envoy-ts-filter';
import { count } from './lib/counters.js';

/**
 * Waits for ever in the place that the request header `x-park` names:
 * decodeHeaders, requestInput (waits for input that does not come), requestBody (a foreign await after the first
 * chunk), requestYield (output that nobody takes), decodeTrailers, encodeHeaders, responseBody, encodeTrailers, reply. What the first
 * piece became is through when the second is asked for: requestBodyLater and responseBodyLater wait behind that one.
 * With `x-park-once` a second attempt goes through.
 */
export default defineFilter({
  name: 'park',
  create(_config, callbacks) {
    count('park.created');
    callbacks.signal.addEventListener('abort', () => count('park.aborted'));
    const park = async (place: string, here: string): Promise<void> => {
      if (place !== here) return;
      count(`park.at.${here}`);
      try {
        await once(callbacks.signal, 'abort');
        throw callbacks.signal.reason;
      } finally {
        count('park.finally');
      }
    };
    const again = () => callbacks.request.has('x-park-once') && callbacks.attempt > 1;
    const place = () => (again() ? '' : (callbacks.request.get('x-park') ?? ''));
    async function* slowReply(): AsyncGenerator<string> {
      yield 'first';
      await park('reply', 'reply');
    }
    return {
      async decodeHeaders(headers) {
        headers.set('x-attempt', String(callbacks.attempt));
        if (place() === 'reply') return callbacks.reply(200, {}, slowReply());
        await park(place(), 'decodeHeaders');
        return;
      },
      async *transformRequest(body) {
        try {
          let pieces = 0;
          for await (const chunk of body) {
            yield chunk;
            await park(place(), ++pieces === 1 ? 'requestBody' : 'requestBodyLater');
            if (place() !== 'requestYield') continue;
            for (;;) yield new Uint8Array(65536);
          }
        } finally {
          count('park.requestFinally');
        }
      },
      decodeTrailers: () => park(place(), 'decodeTrailers'),
      encodeHeaders: () => park(place(), 'encodeHeaders'),
      async *transformResponse(body) {
        try {
          let pieces = 0;
          for await (const chunk of body) {
            yield chunk;
            await park(place(), ++pieces === 1 ? 'responseBody' : 'responseBodyLater');
          }
        } finally {
          count('park.responseFinally');
        }
      },
      encodeTrailers: () => park(place(), 'encodeTrailers'),
      onDestroy(reason) {
        count('park.destroyed');
        count(`park.destroyed.${reason}`);
      },
    };
  },
});
