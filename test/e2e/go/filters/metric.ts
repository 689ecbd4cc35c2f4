import { defineFilter, StatusType } from 'envoy-ts-filter';

/** Go's `metric` plugin: a counter and a gauge, read back. The config names which ones. */
export default defineFilter({
  name: 'go-metric',
  parseConfig: (raw) => raw as { counter: string; gauge: string; async: boolean },
  create(config, callbacks) {
    async function work(set: (name: string, value: number) => void): Promise<void> {
      const counter = callbacks.metrics.counter(config.counter);
      counter.increment(2);
      set('go-metric-counter', await counter.get());
      counter.record(1);
      set('go-metric-counter-record', await counter.get());
      const gauge = callbacks.metrics.gauge(config.gauge);
      gauge.increment(3);
      set('go-metric-gauge', await gauge.get());
      gauge.record(1);
      set('go-metric-gauge-record', await gauge.get());
    }
    return {
      decodeHeaders(headers) {
        const done = work((name, value) => headers.set(name, String(value)));
        if (!config.async) return done;
        void done.then(() => {
          callbacks.decoderFilterCallbacks().continue(StatusType.Continue);
        });
        return StatusType.Running;
      },
    };
  },
});
