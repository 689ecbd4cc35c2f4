import { defineFilter } from 'envoy-ts-filter';
import { mapRequest, mapResponse } from './lib/maps.js';

/** A generator in one direction only: `request`, or `response`. */
export default defineFilter({
  name: 'body-oneway',
  parseConfig: (raw) => (raw === 'response' ? 'response' : 'request'),
  create: (direction) =>
    direction === 'request'
      ? {
          async *transformRequest(body) {
            yield '{';
            for await (const chunk of body) yield mapRequest(chunk);
            yield '}';
          },
        }
      : {
          async *transformResponse(body) {
            yield '<';
            for await (const chunk of body) yield mapResponse(chunk);
            yield '>';
          },
        },
});
