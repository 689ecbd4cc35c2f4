import { defineFilter, perChunk, type ChunkTransform } from 'envoy-ts-filter';
import { changed, Messages } from './lib/grpc.js';

function aligned(direction: 'request' | 'response'): ChunkTransform {
  const messages = new Messages();
  return perChunk(function* (chunk, last) {
    for (const message of messages.take(chunk)) yield* changed(message, direction);
    if (last) messages.finish();
  });
}

/** Message by message in both directions, on the fast path. */
export default defineFilter({
  name: 'grpc-perchunk',
  create: () => ({ transformRequest: aligned('request'), transformResponse: aligned('response') }),
});
