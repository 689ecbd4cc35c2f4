import { once } from 'node:events';
import { defineFilter, StatusType } from 'envoy-ts-filter';
import { count } from './lib/counters.js';

/**
 * Waits for ever with a whole body in hand: the request's, or with `x-park: response` the response's. With
 * `x-park-once` a second attempt goes through.
 */
export default defineFilter({
  name: 'park-whole',
  create(_config, callbacks) {
    const forever = async () => {
      if (callbacks.request.has('x-park-once') && callbacks.attempt > 1) return StatusType.Continue;
      count('park-whole.parked');
      count(`park.at.${callbacks.request.get('x-park') ?? 'request'}`);
      await once(callbacks.signal, 'abort');
      return StatusType.Continue;
    };
    const response = () => callbacks.request.get('x-park') === 'response';
    return {
      decodeHeaders: (_headers, endStream) =>
        endStream || response() ? StatusType.Continue : StatusType.StopAndBuffer,
      decodeData: () => (response() ? StatusType.Continue : forever()),
      encodeHeaders: (_headers, endStream) =>
        endStream || !response() ? StatusType.Continue : StatusType.StopAndBuffer,
      encodeData: () => (response() ? forever() : StatusType.Continue),
    };
  },
});
