import { defineFilter, perChunk } from 'envoy-ts-filter';
import { mapRequest, mapResponse } from './lib/maps.js';

export default defineFilter({
  name: 'body-perchunk',
  phases: ['transformRequest', 'transformResponse'],
  create: () => ({
    transformRequest: perChunk((chunk) => mapRequest(chunk)),
    transformResponse: perChunk((chunk) => mapResponse(chunk)),
  }),
});
