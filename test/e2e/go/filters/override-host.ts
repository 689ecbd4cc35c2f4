import { defineFilter, FilterError } from 'envoy-ts-filter';

/** Go's SetUpstreamOverrideHost, with what the headers ask for. */
export default defineFilter({
  name: 'go-override-host',
  create: (_config, callbacks) => ({
    decodeHeaders(headers) {
      const host = headers.get('x-host');
      if (host === undefined) return;
      try {
        callbacks.decoderFilterCallbacks().setUpstreamOverrideHost(host, headers.has('x-strict'));
      } catch (e) {
        if (!FilterError.is(e)) throw e;
        return callbacks.sendLocalReply(403, { body: e.code });
      }
    },
  }),
});
