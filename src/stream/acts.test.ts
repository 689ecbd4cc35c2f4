import { afterEach, describe, expect, it } from 'vitest';
import { Bench, filterOf, settled, type OpenOptions, type TestStream } from '../../test/support/recorder.js';
import type { StreamFilter } from '../api/types.js';
import { StatusType } from '../api/types.js';
import type { FilterCallbacks } from '../api/types-callbacks.js';
import { Capability, EndReason, MetadataType, MetricKind, MetricOp } from '../base/wire.js';

let bench: Bench;
afterEach(() => {
  expect(bench.violations).toEqual([]);
});

async function open(
  create: (callbacks: FilterCallbacks) => StreamFilter,
  options: OpenOptions = {},
): Promise<TestStream> {
  bench = await Bench.of(filterOf(create), options);
  return bench.open();
}

const code = (call: () => unknown): unknown => {
  try {
    return call();
  } catch (e) {
    return (e as { code: unknown }).code;
  }
};
const rejected = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    (value) => value,
    (e: unknown) => (e as { code: unknown }).code,
  );
const lengths = (a: number, b: number): string =>
  `\\u000${String(a)}\\u0000\\u0000\\u0000\\u000${String(b)}\\u0000\\u0000\\u0000`;

describe('dynamic metadata', () => {
  it('is set by type and read as JSON', async () => {
    const seen: unknown[] = [];
    const stream = await open((callbacks) => ({
      async decodeHeaders() {
        const { dynamicMetadata } = callbacks.streamInfo();
        dynamicMetadata.set('ns', 'n', 1.5);
        dynamicMetadata.set('ns', 't', 'ab');
        dynamicMetadata.set('ns', 'b', true);
        seen.push(await dynamicMetadata.get('ns'), await dynamicMetadata.get('none'));
      },
    }));
    expect(stream.request().take()).toEqual([
      `act SetMetadata ${String(MetadataType.Number)} 0 1.5 "${lengths(2, 1)}nsn"`,
      `act SetMetadata ${String(MetadataType.Text)} 0 0 "${lengths(2, 1)}nstab"`,
      `act SetMetadata ${String(MetadataType.Bool)} 0 1 "${lengths(2, 1)}nsb"`,
      'query 1 Metadata 0 "ns"',
    ]);
    stream.source.onQueryAnswer(1, true, Buffer.from('{"t":"größe","l":[1]}'));
    await settled();
    expect(stream.take()).toEqual(['query 2 Metadata 0 "none"']);
    stream.source.onQueryAnswer(2, false, Buffer.alloc(0));
    await settled();
    expect(seen).toEqual([{ t: 'größe', l: [1] }, {}]);
  });

  it('that is nested needs an Envoy that can', async () => {
    const set = (callbacks: FilterCallbacks): unknown =>
      code(() => callbacks.streamInfo().dynamicMetadata.set('ns', 'k', { a: 1 }));
    const old = await open((callbacks) => ({
      decodeHeaders: (headers) => void headers.set('x-code', String(set(callbacks))),
    }));
    expect(old.request().take()).toEqual(['answer Request Pass [set x-code TSF_UNSUPPORTED]']);
    const able = await open((callbacks) => ({ decodeHeaders: () => void set(callbacks) }), {
      rules: { capabilities: Capability.NestedMetadata },
    });
    expect(able.request().take()[0]).toMatch(new RegExp(`^act SetMetadata ${String(MetadataType.Struct)} 0 0 `));
  });

  it('of which Envoy says nonsense rejects and harms nothing else', async () => {
    const stream = await open((callbacks) => ({
      async decodeHeaders(headers) {
        const error = await callbacks
          .streamInfo()
          .dynamicMetadata.get('ns')
          .catch((e: unknown) => e as Error);
        headers.set('x-error', error.constructor.name);
      },
    }));
    stream.request().take();
    stream.source.onQueryAnswer(1, true, Buffer.from('{'));
    await settled();
    expect(stream.take()).toEqual(['answer Request Pass [set x-error SyntaxError]']);
  });
});

it('filter state, override host and drain are told in order with the header writes before them', async () => {
  const stream = await open((callbacks) => ({
    decodeHeaders(headers) {
      const info = callbacks.streamInfo();
      headers.set('x-a', '1');
      info.filterState.setString('ß', 'v');
      info.drainConnectionUponCompletion();
      headers.path = '/new';
      callbacks.clearRouteCache();
      callbacks.decoderFilterCallbacks().setUpstreamOverrideHost('[::1]:80', true);
      callbacks.decoderFilterCallbacks().setUpstreamOverrideHost('10.0.0.1:65535');
      headers.set('x-b', '2');
    },
  }));
  expect(stream.request().take()).toEqual([
    'ops Request [set x-a 1]',
    `act SetFilterState 0 0 0 "${lengths(2, 1)}\xc3\x9fv"`,
    'act Drain 0 0 0',
    'ops Request [set :path /new, clearroutecache]',
    'act OverrideHost 1 0 0 "[::1]:80"',
    'act OverrideHost 0 0 0 "10.0.0.1:65535"',
    'answer Request Pass [set x-b 2]',
  ]);
});

it('a read sees the writes before it, of every map that is held; the filter goes on seeing them too', async () => {
  const seen: unknown[] = [];
  const stream = await open((callbacks) => ({
    async decodeHeaders(headers) {
      headers.path = '/new';
      seen.push(await callbacks.getProperty('request.path'), headers.path);
      headers.delete('x-a');
      seen.push(await callbacks.streamInfo().filterState.getString('k'), headers.has('x-a'));
    },
    encodeHeaders(headers) {
      headers.set('x-r', '1');
      void callbacks
        .streamInfo()
        .responseCode()
        .then((value) => seen.push(value));
    },
  }));
  expect(stream.request({ ':path': '/', 'x-a': '1' }).take()).toEqual([
    'ops Request [set :path /new]',
    'query 1 Attribute 0',
  ]);
  stream.source.onQueryAnswer(1, true, Buffer.from('/new'));
  await settled();
  expect(stream.take()).toEqual(['ops Request [delete x-a]', 'query 2 FilterState 0 "k"']);
  stream.source.onQueryAnswer(2, true, Buffer.from('größe'));
  await settled();
  expect(stream.take()).toEqual(['answer Request Pass []']);
  expect(seen).toEqual(['/new', '/new', 'größe', false]);
  expect(stream.response().take()).toEqual([
    'ops Response [set x-r 1]',
    'query 3 Attribute 15',
    'answer Response Pass []',
  ]);
});

it('an override host is an address and a port', async () => {
  const bad = [
    'localhost:80',
    '10.0.0.1',
    '10.0.0.1:',
    '10.0.0.1:0',
    '10.0.0.1:65536',
    '::1:80',
    '[10.0.0.1]:80',
    '',
    5,
  ];
  const seen: unknown[] = [];
  const stream = await open((callbacks) => ({
    decodeHeaders() {
      for (const host of bad)
        seen.push(code(() => callbacks.decoderFilterCallbacks().setUpstreamOverrideHost(host as string)));
    },
  }));
  expect(stream.request().take()).toEqual(['answer Request Pass []']);
  expect(seen).toEqual(bad.map(() => 'TSF_ARGUMENT_INVALID'));
});

describe('metrics', () => {
  const options: OpenOptions = {
    rules: {
      metrics: [
        { name: 'hits', kind: MetricKind.Counter, labels: ['method', 'code'] },
        { name: 'busy', kind: MetricKind.Gauge, labels: [] },
        { name: 'size', kind: MetricKind.Histogram, labels: [] },
      ],
    },
  };
  const labels = { code: '200', method: 'GET' };

  it('go by number, with labels in the order of their declaration', async () => {
    let value: unknown;
    const stream = await open(
      ({ metrics }) => ({
        async decodeHeaders() {
          const hits = metrics.counter('hits');
          hits.increment(1, labels);
          hits.record(2, labels);
          hits.increment(-1, labels);
          const busy = metrics.gauge('busy');
          busy.increment();
          busy.decrement(2);
          busy.increment(-3);
          busy.record(2 ** 53 - 1);
          metrics.histogram('size').record(0);
          value = await hits.get(labels);
        },
      }),
      options,
    );
    const block = '"\\u0003\\u0000\\u0000\\u0000GET\\u0003\\u0000\\u0000\\u0000200"';
    expect(stream.request().take()).toEqual([
      `act Metric ${String(MetricOp.Increment)} 0 1 ${block}`,
      `act Metric ${String(MetricOp.Increment)} 0 2 ${block}`,
      `act Metric ${String(MetricOp.Increment)} 1 1`,
      `act Metric ${String(MetricOp.Decrement)} 1 2`,
      `act Metric ${String(MetricOp.Decrement)} 1 3`,
      `act Metric ${String(MetricOp.Set)} 1 9007199254740991`,
      `act Metric ${String(MetricOp.Record)} 2 0`,
      `query 1 Metric 0 ${block}`,
    ]);
    const answer = Buffer.alloc(8);
    answer.writeDoubleLE(12);
    stream.source.onQueryAnswer(1, true, answer);
    await settled();
    expect(value).toBe(12);
  });

  it('that are not declared, or not so, are refused with what there is', async () => {
    const seen: unknown[] = [];
    const stream = await open(
      ({ metrics }) => ({
        async decodeHeaders() {
          seen.push(code(() => metrics.counter('nope')));
          seen.push(code(() => metrics.gauge('hits')));
          const hits = metrics.counter('hits');
          for (const bad of [undefined, {}, { method: 'GET' }, { ...labels, more: '1' }, { method: 'GET', code: 200 }])
            seen.push(code(() => hits.increment(1, bad as never)));
          seen.push(code(() => metrics.gauge('busy').record(1, { a: 'b' })));
          seen.push(await rejected(hits.get()));
          for (const bad of [1.5, NaN, 2 ** 53, '1']) seen.push(code(() => hits.increment(bad as never, labels)));
          seen.push(code(() => metrics.gauge('busy').record(-1)));
          expect(() => metrics.counter('nope')).toThrow(/declares only hits, busy, size; add it to "metrics"/);
          expect(() => metrics.gauge('hits')).toThrow(/it is declared as a counter/);
          expect(() => hits.increment(1, { code: '' })).toThrow(/a string for each of method, code; given: code/);
        },
      }),
      options,
    );
    stream.request();
    await settled();
    expect(stream.take()).toEqual(['answer Request Pass []']);
    expect(seen).toEqual([
      ...Array<string>(2).fill('TSF_METRIC_UNKNOWN'),
      ...Array<string>(7).fill('TSF_METRIC_LABELS'),
      ...Array<string>(5).fill('TSF_ARGUMENT_INVALID'),
    ]);
  });
});

describe('secrets', () => {
  const filter = (callbacks: FilterCallbacks): StreamFilter => ({
    async decodeHeaders(headers) {
      headers.set('x-secret', String(await rejected(callbacks.secretManager().getGenericSecret('token'))));
    },
  });

  it('are read where Envoy has them', async () => {
    const stream = await open(filter, { rules: { capabilities: Capability.Secrets } });
    expect(stream.request().take()).toEqual(['query 1 Secret 0 "token"']);
    stream.source.onQueryAnswer(1, true, Buffer.from('s3cret'));
    await settled();
    expect(stream.take()).toEqual(['answer Request Pass [set x-secret s3cret]']);
    const none = bench.open();
    none.request();
    none.source.onQueryAnswer(1, false, Buffer.alloc(0));
    await settled();
    expect(none.take().at(-1)).toBe('answer Request Pass [set x-secret undefined]');
  });

  it('need Envoy 1.40', async () => {
    const stream = await open(filter);
    stream.request();
    await settled();
    expect(stream.take()).toEqual(['answer Request Pass [set x-secret TSF_UNSUPPORTED]']);
  });
});

it('the log level is that of the configuration', async () => {
  const seen: unknown[] = [];
  for (const logLevel of [0, 3, 6]) {
    const stream = await open((callbacks) => ({ decodeHeaders: () => void seen.push(callbacks.logLevel()) }), {
      rules: { logLevel },
    });
    stream.request();
  }
  expect(seen).toEqual(['trace', 'warn', 'off']);
});

describe('an upstream HTTP filter', () => {
  it('cannot do what needs a route or the whole stream', async () => {
    const codes: unknown[] = [];
    const stream = await open(
      (callbacks) => ({
        decodeHeaders() {
          for (const call of [
            () => callbacks.clearRouteCache(),
            () => callbacks.refreshRouteCache(),
            () => callbacks.decoderFilterCallbacks().setUpstreamOverrideHost('127.0.0.1:80'),
            () => callbacks.streamInfo().drainConnectionUponCompletion(),
            () => callbacks.reply(200, {}, ['a']),
            () => callbacks.recreateStream(),
          ])
            codes.push(code(call));
          return callbacks.sendLocalReply(403);
        },
      }),
      { upstream: true },
    );
    expect(stream.request().take().join()).toContain('403');
    expect(new Set(codes)).toEqual(new Set(['TSF_UPSTREAM']));
  });
});

describe('recreateStream', () => {
  it('sends the writes, says so once, and nothing follows', async () => {
    const codes: unknown[] = [];
    const stream = await open((callbacks) => ({
      decodeHeaders(headers) {
        headers.path = '/again';
        const status = callbacks.recreateStream();
        codes.push(code(() => callbacks.recreateStream()));
        codes.push(code(() => callbacks.sendLocalReply(200)));
        return status;
      },
      encodeHeaders: () => void codes.push('encoded'),
    }));
    expect(stream.request().take()).toEqual(['ops Request [set :path /again]', 'act Recreate 0 0 0']);
    stream.response().end(EndReason.LocalReply);
    expect([codes, bench.logger.lines]).toEqual([['TSF_ALREADY_REPLIED', 'TSF_ALREADY_REPLIED'], []]);
  });

  it('is possible while the response headers are held, and not after', async () => {
    const codes: unknown[] = [];
    const stream = await open((callbacks) => ({
      decodeHeaders: () => undefined,
      encodeHeaders: (headers) => (headers.status === 401 ? callbacks.recreateStream() : StatusType.Continue),
      encodeData: () => void codes.push(code(() => callbacks.recreateStream())),
    }));
    expect(stream.request().response({ ':status': '401' }).take()).toEqual([
      'answer Request Pass []',
      'act Recreate 0 0 0',
    ]);
    const late = bench.open();
    late.request().response().res('a', 'last');
    expect(codes).toEqual(['TSF_REPLY_LATE']);
  });
});

it('after the end every call says so, with its name and the phase', async () => {
  let kept: FilterCallbacks | undefined;
  const stream = await open((callbacks) => ({ decodeHeaders: () => void (kept = callbacks) }), {
    rules: { capabilities: 3, metrics: [{ name: 'hits', kind: MetricKind.Counter, labels: [] }] },
  });
  stream.request().end().take();
  const callbacks = kept!;
  const info = callbacks.streamInfo();
  const hits = callbacks.metrics.counter('hits');
  const sync: [string, () => unknown][] = [
    ['dynamicMetadata.set()', () => info.dynamicMetadata.set('a', 'b', 1)],
    ['filterState.setString()', () => info.filterState.setString('a', 'b')],
    ['drainConnectionUponCompletion()', () => info.drainConnectionUponCompletion()],
    ['setUpstreamOverrideHost(', () => callbacks.decoderFilterCallbacks().setUpstreamOverrideHost('1.2.3.4:5')],
    ['recreateStream()', () => callbacks.recreateStream()],
    ['metrics.counter("hits").increment()', () => hits.increment()],
  ];
  const promises: [string, () => Promise<unknown>][] = [
    ['dynamicMetadata.get()', () => info.dynamicMetadata.get('a')],
    ['filterState.getString()', () => info.filterState.getString('a')],
    ['streamInfo()', () => info.protocol()],
    ['getGenericSecret("a")', () => callbacks.secretManager().getGenericSecret('a')],
    ['metrics.counter("hits").get()', () => hits.get()],
    ['httpCall("c")', () => callbacks.httpCall('c', { path: '/' })],
  ];
  const ended = (call: string): unknown =>
    expect.objectContaining({ code: 'TSF_STREAM_ENDED', message: expect.stringContaining(call) as unknown });
  for (const [call, run] of sync) expect(run).toThrow(ended(call) as Error);
  for (const [call, run] of promises) await expect(run()).rejects.toEqual(ended(call));
  expect(stream.take()).toEqual([]);
});

it('what was asked when the stream dies rejects', async () => {
  const seen: unknown[] = [];
  const stream = await open((callbacks) => ({
    async decodeHeaders() {
      seen.push(await rejected(callbacks.streamInfo().dynamicMetadata.get('ns')));
    },
  }));
  stream.request().end(EndReason.Downstream);
  await settled();
  expect(seen).toEqual(['TSF_STREAM_ABORTED']);
});
