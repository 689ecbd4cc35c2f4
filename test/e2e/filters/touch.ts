import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { defineFilter } from 'envoy-ts-filter';
import { count } from './lib/counters.js';

interface Config {
  tag?: string;
  delayMs?: number;
}

/** Asynchronous headers hooks both ways that leave their mark. */
export default defineFilter({
  name: 'touch',
  parseConfig: (raw) => (raw ?? {}) as Config,
  create(config) {
    const tag = config.tag ?? 'on';
    const pause = () => (config.delayMs === undefined ? turn() : sleep(config.delayMs));
    count('touch.created');
    return {
      async decodeHeaders(headers) {
        await pause();
        headers.add('x-touch-request', tag);
      },
      async encodeHeaders(headers) {
        count('touch.encodeHeaders');
        await pause();
        headers.add('x-touch-response', tag);
      },
      onDestroy(reason) {
        count('touch.destroyed');
        count(`touch.destroyed.${reason}`);
      },
    };
  },
});
