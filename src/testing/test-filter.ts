/** `testFilter`: a filter, its config, and requests through both, without a proxy. */
import type { Filter } from '../api/types-definition.js';
import type { Json } from '../api/types-data.js';
import { MetricKind, Capability } from '../base/wire.js';
import { FilterRegistry } from '../registry/index.js';
import type { Accepted, ConfigRules } from '../stream/config.js';
import { Exchange, type Stage } from './exchange.js';
import type { StreamId } from './frames.js';
import { KeptLog } from './logger.js';
import { type Given, MetricValues, type RecordedMetric } from './module/envoy-state.js';
import type { ModuleStream } from './module/stream.js';
import { Rings } from './rings.js';
import type { ListedFilter, TestFilterOptions, TestRequest, TestResponse, Upstream } from './types.js';

const KiB = 1024;
const MiB = KiB * KiB;
const CONFIG = 1;
const ROUTE = 2;
const EVERY_CAPABILITY = Capability.NestedMetadata | Capability.Secrets | Capability.LateMetrics;
const LOG_LEVEL_INFO = 2;
const FRAME_BYTES = 64 * KiB;

/** A filter under test. Its config is judged once; what it keeps beside its streams lives as long as this does. */
export interface FilterTest {
  /** Rejects with a ConfigError's message where the config is refused. Requests do the same. */
  ready(): Promise<void>;
  /**
   * One request, to the stream's last hook.
   *
   * @example
   * const response = await testFilter(hello).request('/a?b=1', { method: 'POST', body: ['a', 'b'] });
   */
  request(path?: string, request?: TestRequest): Promise<TestResponse>;
  /** Of all requests so far. */
  metrics(): readonly RecordedMetric[];
  /** Ends it: `destroyConfig` runs. */
  close(): void;
}

/**
 * Runs a filter, or a list of filters in one crossing, without a proxy: through the codec, the streams and the lists of
 * `ts-filter-host` itself, over rings in plain memory. What Envoy and its module do between the peers is a model of them
 * (docs/testing.md says how far it goes). Works in any test runner. Time is that of `setTimeout`, which vitest and
 * node:test can fake.
 *
 * @example
 * const auth = testFilter(filter, { tokens: { 'sesame-1': 'ali' } });
 * const response = await auth.request('/', { headers: { authorization: 'Bearer sesame-1' } });
 * // response.status, response.upstream?.headers.get('x-user') …
 */
export function testFilter(
  filter: Filter | readonly (Filter | ListedFilter)[],
  rawConfig?: Json,
  options: TestFilterOptions = {},
): FilterTest {
  return new Bench(filter, rawConfig, options);
}

class Bench implements FilterTest {
  private readonly log = new KeptLog();
  private readonly options: TestFilterOptions;
  private readonly registry: FilterRegistry;
  private readonly verdict: Promise<Accepted>;
  private readonly rings: Rings;
  private readonly values: MetricValues;
  private readonly rules: ConfigRules;
  private readonly name: string;
  private readonly streams = new Map<number, ModuleStream>();
  private streamCount = 0;
  private readonly faults: unknown[] = [];

  constructor(
    filter: Filter | readonly (Filter | ListedFilter)[],
    rawConfig: Json | undefined,
    options: TestFilterOptions,
  ) {
    this.options = options;
    this.rules = rulesOf(options);
    this.values = new MetricValues(this.rules.metrics);
    const members = Array.isArray(filter) ? (filter as readonly (Filter | ListedFilter)[]).map(listed) : undefined;
    const filters = members?.map((one) => one.filter) ?? [filter as Filter];
    this.name = members === undefined ? (filter as Filter).name : 'list';
    this.registry = new FilterRegistry([...new Set(filters)], { logger: this.log });
    this.verdict = this.judge(members, rawConfig);
    this.verdict.catch(() => undefined);
    this.rings = new Rings({
      capacity: options.ringBytes ?? MiB,
      streamWindow: this.rules.streamWindow,
      createStream: (start, sink) => this.registry.createStream(start, sink),
      heard: ({ stream }, said) => this.streams.get(stream)?.on(said),
      onFault: (error) => this.faults.push(error),
    });
  }

  async ready(): Promise<void> {
    await this.verdict;
  }

  async request(path = '/', request: TestRequest = {}): Promise<TestResponse> {
    const verdict = await this.verdict;
    const upstream: Upstream = request.upstream ?? this.options.upstream ?? {};
    const calls = { ...this.options.calls, ...request.calls };
    const response = await new Exchange(this.stage(verdict), path, request).run(upstream, calls);
    // A fault of the host's own is nothing that an author can expect.
    const [fault] = this.faults.splice(0);
    if (fault !== undefined) throw fault as Error;
    return response;
  }

  metrics(): readonly RecordedMetric[] {
    return this.values.all();
  }

  close(): void {
    this.rings.close();
    this.registry.dispose();
  }

  private async judge(members: readonly ListedFilter[] | undefined, rawConfig: Json | undefined): Promise<Accepted> {
    const { registry, rules, name } = this;
    const first =
      members === undefined
        ? await registry.parse(CONFIG, name, false, json(rawConfig), rules)
        : await registry.parseList(
            CONFIG,
            name,
            members.map((one) => ({ name: one.filter.name, config: json(one.config) })),
            rules,
          );
    if (!first.accepted) throw new Error(first.message);
    if (!this.hasRoute) return first;
    const route = await registry.parse(ROUTE, name, true, json(this.options.routeConfig), rules);
    if (!route.accepted) throw new Error(route.message);
    return first;
  }

  private get hasRoute(): boolean {
    return this.options.routeConfig !== undefined;
  }

  private stage({ phases, attributes }: Accepted): Stage {
    const { options, rules } = this;
    const ringBytes = options.ringBytes ?? MiB;
    return {
      settings: {
        filter: this.name,
        config: CONFIG,
        route: this.hasRoute ? ROUTE : 0,
        attempt: 1,
        phases,
        attributes,
        messageTimeoutMs: options.messageTimeoutMs ?? 5000,
        streamWindow: rules.streamWindow,
        maxBodyBytes: rules.maxBodyBytes,
        maxPendingOutput: options.maxPendingOutput ?? 32 * MiB,
        pieceBytes: Math.min(FRAME_BYTES, ringBytes / 8),
      },
      given: givenOf(options),
      metrics: this.values,
      lines: this.log.lines,
      send: (frame) => this.rings.send(frame),
      open: (made) => {
        const id: StreamId = { stream: this.streamCount++, generation: 1 };
        const stream = made(id);
        this.streams.set(id.stream, stream);
        return stream;
      },
    };
  }
}

const json = (value: Json | undefined): string | undefined => (value === undefined ? undefined : JSON.stringify(value));

const listed = (one: Filter | ListedFilter): ListedFilter => ('filter' in one ? one : { filter: one });

function givenOf({ attributes = {}, metadata = {}, filterState = {}, secrets = {} }: TestFilterOptions): Given {
  return { attributes, metadata, filterState, secrets };
}

function rulesOf({ headers = {}, streamWindow, maxBodyBytes, metrics = [] }: TestFilterOptions): ConfigRules {
  const lower = (names: readonly string[] = []): string[] => names.map((name) => name.toLowerCase());
  const KINDS = { counter: MetricKind.Counter, gauge: MetricKind.Gauge, histogram: MetricKind.Histogram };
  return {
    allow: lower(headers.allow),
    deny: lower(headers.deny),
    logLevel: LOG_LEVEL_INFO,
    streamWindow: streamWindow ?? 256 * KiB,
    maxBodyBytes: maxBodyBytes ?? MiB,
    capabilities: EVERY_CAPABILITY,
    metrics: metrics.map(({ name, type, labels = [] }) => ({ name, kind: KINDS[type], labels })),
  };
}
