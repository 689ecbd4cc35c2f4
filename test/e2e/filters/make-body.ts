import { setImmediate as turn } from 'node:timers/promises';
import { defineFilter } from 'envoy-ts-filter';

interface Config {
  request?: string;
  response?: string;
  later?: boolean;
}

/** Gives headers-only messages a body with addData, at once or after an await. */
export default defineFilter({
  name: 'make-body',
  parseConfig: (raw) => (raw ?? {}) as Config,
  create: (config, callbacks) => ({
    async decodeHeaders(headers, endStream) {
      if (!endStream || config.request === undefined) return;
      if (config.later === true) await turn();
      headers.method = 'POST';
      callbacks.decoderFilterCallbacks().addData(config.request);
    },
    async encodeHeaders(headers, endStream) {
      if (!endStream || config.response === undefined) return;
      if (config.later === true) await turn();
      headers.delete('content-length');
      callbacks.encoderFilterCallbacks().addData(config.response);
    },
  }),
});
