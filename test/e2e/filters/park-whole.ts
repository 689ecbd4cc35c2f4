import { once } from 'node:events';
import { defineFilter, StatusType } from 'envoy-ts-filter';

/** Waits for ever with a whole body in hand: the request's, or with `x-park: response` the response's. */
export default defineFilter({
  name: 'park-whole',
  create(_config, callbacks) {
    const forever = async () => {
      await once(callbacks.signal, 'abort');
      return StatusType.Continue;
    };
    const response = () => callbacks.request.get('x-park') === 'response';
    return {
      decodeHeaders: (_headers, endStream) => (endStream || response() ? StatusType.Continue : StatusType.StopAndBuffer),
      decodeData: () => (response() ? StatusType.Continue : forever()),
      encodeHeaders: (_headers, endStream) => (endStream || !response() ? StatusType.Continue : StatusType.StopAndBuffer),
      encodeData: () => (response() ? forever() : StatusType.Continue),
    };
  },
});
