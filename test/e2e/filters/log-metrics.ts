import { defineFilter } from 'envoy-ts-filter';

/** Counts in its last hook, as filters in Go like to, and says what came of it. */
export default defineFilter({
  name: 'log-metrics',
  phases: ['onLog'],
  create: (_config, callbacks) => ({
    onLog(entry) {
      const by = entry.response?.get(':status') ?? 'none';
      try {
        callbacks.metrics.counter('log_metrics_seen').increment(1, { by });
        callbacks.metrics.gauge('log_metrics_last').record(7);
        callbacks.metrics.histogram('log_metrics_sizes').record(10);
        callbacks.log.info({ counted: by });
      } catch (error) {
        callbacks.log.info({ counted: (error as { code: string }).code });
      }
    },
  }),
});
