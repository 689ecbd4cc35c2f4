import { defineFilter } from 'envoy-ts-filter';
import { mapRequest, mapResponse } from './lib/maps.js';

/**
 * Bodies and trailers together: the trailers hooks see and change what follows the body, but for what would say how it
 * is framed.
 */
export default defineFilter({
  name: 'trailers',
  create: () => ({
    async *transformRequest(body, ctx) {
      for await (const chunk of body) yield mapRequest(chunk);
      const trailers = await ctx.trailers;
      yield `|${trailers?.get('x-sum') ?? 'none'}`;
    },
    async decodeTrailers(trailers) {
      await Promise.resolve();
      trailers.set('x-decoded', 'yes').delete('x-removed').set('content-length', '7');
    },
    async *transformResponse(body) {
      for await (const chunk of body) yield mapResponse(chunk);
      yield '>';
    },
    async encodeTrailers(trailers) {
      await Promise.resolve();
      trailers.add('x-encoded', 'yes').add('transfer-encoding', 'chunked');
    },
  }),
});
