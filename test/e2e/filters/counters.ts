import { defineFilter } from 'envoy-ts-filter';
import { counters } from './lib/counters.js';

/** Answers /__counters with the counts of its worker thread; everything else goes past it. */
export default defineFilter({
  name: 'counters',
  phases: ['decodeHeaders'],
  create: (_config, callbacks) => ({
    decodeHeaders(headers) {
      if (headers.path !== '/__counters') return;
      return callbacks.sendLocalReply(200, {
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ ...counters(), pid: process.pid, rss: process.memoryUsage().rss }),
      });
    },
  }),
});
