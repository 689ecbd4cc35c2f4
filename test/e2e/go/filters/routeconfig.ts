import { defineFilter, type Json } from 'envoy-ts-filter';
import { count } from '../../filters/lib/counters.js';

interface Config {
  remove: string;
  set: string;
}

/** Go's `routeconfig` plugin: the most specific config says which response header goes and which one comes. */
export default defineFilter({
  name: 'go-routeconfig',
  parseConfig: (raw: Json | undefined) => raw as unknown as Config,
  mergeConfig: (parent, child) => ({ remove: child.remove || parent.remove, set: child.set || parent.set }),
  destroyConfig(config) {
    count(`go-routeconfig.destroyed.${config.set}`);
  },
  create: (config) => ({
    encodeHeaders(headers) {
      headers.delete(config.remove);
      headers.set(config.set, 'test-value');
    },
  }),
});
