import { defineFilter } from 'envoy-ts-filter';

/** Rewrites the path as headers tell, with or without a new choice of the route. */
export default defineFilter({
  name: 'go-route',
  create: (_config, callbacks) => ({
    decodeHeaders(headers) {
      const path = headers.get('x-new-path');
      if (path === undefined) return;
      headers.path = path;
      if (headers.has('x-clear')) callbacks.clearRouteCache();
      if (headers.has('x-refresh')) callbacks.refreshRouteCache();
    },
    async encodeHeaders(headers) {
      const name = await callbacks.streamInfo().routeName();
      if (name !== undefined) headers.set('x-route-name', name);
    },
  }),
});
