import { defineFilter, StatusType } from 'envoy-ts-filter';

/** Continues from outside the hook, in both directions. */
export default defineFilter({
  name: 'go-async-continue',
  create: (_config, callbacks) => ({
    decodeHeaders() {
      setTimeout(() => {
        callbacks.decoderFilterCallbacks().continue(StatusType.Continue);
      }, 5);
      return StatusType.Running;
    },
    encodeHeaders(headers) {
      headers.set('x-encoded', 'yes');
    },
  }),
});
