import { defineFilter, type BodyStream } from 'envoy-ts-filter';
import { changed, Messages } from './lib/grpc.js';

async function* aligned(body: BodyStream, direction: 'request' | 'response'): AsyncGenerator<Uint8Array> {
  const messages = new Messages();
  for await (const chunk of body) for (const message of messages.take(chunk)) yield* changed(message, direction);
  messages.finish();
}

/** Message by message in both directions, as async generators. */
export default defineFilter({
  name: 'grpc-generator',
  create: () => ({
    transformRequest: (body) => aligned(body, 'request'),
    transformResponse: (body) => aligned(body, 'response'),
  }),
});
