import { defineFilter } from 'envoy-ts-filter';
import { mapRequest, mapResponse } from './lib/maps.js';

export default defineFilter({
  name: 'body-transformstream',
  create: () => ({
    transformRequest: new TransformStream<Uint8Array, Uint8Array>({
      transform: (chunk, controller) => controller.enqueue(mapRequest(chunk)),
    }),
    transformResponse: new TransformStream<Uint8Array, Uint8Array>({
      transform: (chunk, controller) => controller.enqueue(mapResponse(chunk)),
      flush: (controller) => controller.enqueue(new TextEncoder().encode('>')),
    }),
  }),
});
