import { setImmediate as turn } from 'node:timers/promises';
import { defineFilter } from 'envoy-ts-filter';
import { count } from './lib/counters.js';

interface Config {
  /** `<generation>.<route>`, or `own` for the filter's own config. */
  readonly label: string;
  destroyed: boolean;
}

/**
 * Tells which config each hook saw, and counts the life of configs. With `x-elsewhere` the request's path becomes that
 * one and the route is chosen anew: the stream keeps its config.
 */
export default defineFilter({
  name: 'rds',
  parseConfig(raw): Config {
    count('rds.parsed');
    return { label: (raw as { label?: string } | undefined)?.label ?? 'own', destroyed: false };
  },
  destroyConfig(config) {
    count(config.destroyed ? 'rds.destroyed-twice' : 'rds.destroyed');
    config.destroyed = true;
  },
  create(config, callbacks) {
    count('rds.created');
    const use = () => {
      if (config.destroyed) count('rds.used-after-destroy');
      return config.label;
    };
    return {
      async decodeHeaders(headers) {
        headers.set('x-decode', use());
        await turn();
        const elsewhere = headers.get('x-elsewhere');
        if (elsewhere === undefined) return;
        headers.path = elsewhere;
        callbacks.clearRouteCache();
        await turn();
      },
      async encodeHeaders(headers) {
        await turn();
        headers.set('x-decode', callbacks.request.get('x-decode')!).set('x-encode', use());
      },
      onDestroy: () => {
        use();
        count('rds.streams-ended');
      },
    };
  },
});
