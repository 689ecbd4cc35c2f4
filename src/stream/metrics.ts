/** The author's metrics: declared by the operator, kept by Envoy, told by acts. */
import { FilterError } from '../api/errors.js';
import type { CounterMetric, GaugeMetric, HistogramMetric, MetricLabels, Metrics } from '../api/types-callbacks.js';
import { ActKind, MetricKind, MetricOp, QueryKind } from '../base/wire.js';
import { textBlock } from './metadata.js';
import type { DeclaredMetric } from './config.js';
import type { Envoy } from './envoy.js';
import type { Life } from './life.js';

const KIND_WORD = ['counter', 'gauge', 'histogram'] as const;

/** What metrics need of their stream. */
export interface MetricsPort {
  readonly life: Life;
  readonly envoy: Envoy;
  readonly config: { readonly metrics: readonly DeclaredMetric[] };
}

export class StreamMetrics implements Metrics {
  readonly #stream: MetricsPort;

  constructor(stream: MetricsPort) {
    this.#stream = stream;
  }

  counter(name: string): CounterMetric {
    const metric = this.#find(name, MetricKind.Counter);
    const increment = (call: string, n: number, labels: MetricLabels | undefined): void => {
      // As in Go: a counter never goes down, and says nothing about it.
      if (Number.isSafeInteger(n) && n < 0) return;
      metric.act(call, MetricOp.Increment, n, labels);
    };
    return {
      increment: (n = 1, labels) => {
        increment('increment', n, labels);
      },
      record: (n, labels) => {
        increment('record', n, labels);
      },
      get: (labels) => metric.get(labels),
    };
  }

  gauge(name: string): GaugeMetric {
    const metric = this.#find(name, MetricKind.Gauge);
    return {
      increment: (n = 1, labels) => {
        // As in Go, where it is the only way down.
        if (n < 0) metric.act('increment', MetricOp.Decrement, -n, labels);
        else metric.act('increment', MetricOp.Increment, n, labels);
      },
      decrement: (n = 1, labels) => {
        metric.act('decrement', MetricOp.Decrement, n, labels);
      },
      record: (value, labels) => {
        metric.act('record', MetricOp.Set, value, labels);
      },
      get: (labels) => metric.get(labels),
    };
  }

  histogram(name: string): HistogramMetric {
    const metric = this.#find(name, MetricKind.Histogram);
    return {
      record: (value, labels) => {
        metric.act('record', MetricOp.Record, value, labels);
      },
    };
  }

  #find(name: string, kind: MetricKind): Metric {
    const stream = this.#stream;
    const { metrics } = stream.config;
    const id = metrics.findIndex((metric) => metric.name === name);
    const declared = metrics[id];
    const word = KIND_WORD[kind];
    if (declared?.kind !== kind) {
      const why =
        declared === undefined
          ? `the filter's configuration declares ${metrics.length === 0 ? 'no metrics' : `only ${metrics.map((one) => one.name).join(', ')}`}`
          : `it is declared as a ${KIND_WORD[declared.kind]}`;
      throw new FilterError(
        'TSF_METRIC_UNKNOWN',
        `metrics.${word}(${JSON.stringify(name)}): ${why}; add it to "metrics"`,
        stream.life.phase,
      );
    }
    return new Metric(stream, id, `metrics.${word}(${JSON.stringify(name)})`, declared.labels);
  }
}

class Metric {
  readonly #stream: MetricsPort;
  readonly #id: number;
  readonly #call: string;
  readonly #labels: readonly string[];

  constructor(stream: MetricsPort, id: number, call: string, labels: readonly string[]) {
    this.#stream = stream;
    this.#id = id;
    this.#call = call;
    this.#labels = labels;
  }

  act(method: string, op: MetricOp, value: number, labels: MetricLabels | undefined): void {
    const call = `${this.#call}.${method}()`;
    this.#stream.life.assertRecordable(call);
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new FilterError(
        'TSF_ARGUMENT_INVALID',
        `${call}: ${String(value)} is not an integer from 0 to 2^53 - 1`,
        this.#stream.life.phase,
      );
    }
    this.#stream.envoy.act(ActKind.Metric, op, this.#id, value, this.#values(call, labels));
  }

  async get(labels: MetricLabels | undefined): Promise<number> {
    const call = `${this.#call}.get()`;
    this.#stream.life.assertAlive(call);
    const block = this.#values(call, labels);
    const value = await this.#stream.envoy.query(QueryKind.Metric, this.#id, block, (bytes) =>
      Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).readDoubleLE(0),
    );
    return value ?? 0;
  }

  /** In the order in which the configuration declares them. */
  #values(call: string, labels: MetricLabels = {}): Buffer {
    const declared = this.#labels;
    const values = declared.map((label) => labels[label]);
    const given = Object.keys(labels);
    if (given.length !== declared.length || values.some((value) => typeof value !== 'string')) {
      const needs = declared.length === 0 ? 'it has no labels' : `it needs a string for each of ${declared.join(', ')}`;
      const got = given.length === 0 ? 'none' : given.join(', ');
      throw new FilterError('TSF_METRIC_LABELS', `${call}: ${needs}; given: ${got}`, this.#stream.life.phase);
    }
    return textBlock(values as string[]);
  }
}
