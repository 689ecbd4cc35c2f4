/** Output of responses that is made long after the input came, or is far more than it: at its time, exact, and paced. */
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import {
  envoyVersion,
  eventually,
  exchangeOver,
  ClientEnd,
  http1,
  mebibytes,
  MiB,
  patternDigest,
  peakBytes,
  digest,
  Random,
  resetPeak,
  sleep,
  type AnyFilter,
  type Fixture,
  type UpstreamEnds,
} from '../../fixture/index.js';
import type { LateConfig } from '../filters/lib/late.js';
import { logsOnFailure } from '../support.js';
import { nextId, PROTOCOLS, talkStage, through, withTalk, type Chains, type TalkStage } from './support.js';

const LATE_MS = 100;

function chain(times: 1 | 2, config: LateConfig): AnyFilter {
  if (times === 1) return { name: 'late', config };
  // the second of the list sends at once what comes
  const second = { name: 'shift', plugin_config: { style: 'generator', keep: true } };
  return { name: 'pair', filters: [{ name: 'late', plugin_config: config }, second] };
}
const EVENTS: LateConfig = { makes: 'events', pause: 200 };
const PINGS: LateConfig = { makes: 'pings', pause: 300 };
const chains: Chains = {
  events1: [chain(1, EVENTS)],
  events2: [chain(2, EVENTS)],
  // the other one, which is through at once, has the upstream's response first
  eventsBehind: [chain(1, EVENTS), { name: 'shift', config: { style: 'generator', keep: true } }],
  pings1: [chain(1, PINGS)],
  pings2: [chain(2, PINGS)],
};
const BOTH = [1, 2] as const;
const three = ['data: one\n\n', 'data: two\n\n', 'data: three\n\n'];
const all = three.join('');

/** Lengths that are reached when each event is there. */
const ends = three.map((_, i) => three.slice(0, i + 1).join('').length);

/** How late each event came at the client, against the time at which the filter made it. */
async function lateness({ response }: ClientEnd, began: number): Promise<number[]> {
  const late: number[] = [];
  for (const [i, length] of ends.entries()) {
    late.push(Math.round((await response.reached(length, 1_500)) - began - (i + 1) * EVENTS.pause!));
  }
  return late;
}

function expectInTime(late: readonly number[]): void {
  // a timer of the filter may be a millisecond early, and each one adds what it was late
  expect(
    [...late].filter((ms) => ms < -20 || ms > LATE_MS),
    `late by ${late.join()} ms`,
  ).toEqual([]);
}

async function begin(at: TalkStage, protocol: 'http1' | 'http2', chain: string) {
  const id = nextId();
  const client = new ClientEnd(protocol, at.port, { path: `/talk?${through(chain)}&id=${id}` });
  client.finish();
  return { client, upstream: await at.ends.of(id) };
}

/** Without edges Envoy 1.38 can do it; 1.39 and 1.40 need them. */
const edgesWhereNeeded = envoyVersion !== '1.38';

describe.each(PROTOCOLS)('over %s, the upstream open', (protocol) => {
  const at = talkStage(chains, protocol, { edges: edgesWhereNeeded });

  it.each(BOTH)('three events of one write, 200 ms of awaiting each: each at its time, %i of ours', async (times) => {
    logsOnFailure(at);
    const { client, upstream } = await begin(at, protocol, `events${times}`);
    upstream.say(all);
    expectInTime(await lateness(client, performance.now()));
    upstream.finish();
    expect(await client.answer()).toMatchObject({ broken: '', text: all });
  });

  it.each(BOTH)(
    'events go on to come one by one, when the upstream writes them one by one: %i of ours',
    async (times) => {
      logsOnFailure(at);
      const { client, upstream } = await begin(at, protocol, `events${times}`);
      upstream.say();
      for (let i = 0; i < 3; i++) {
        const began = performance.now();
        upstream.say(all);
        await client.response.reached(all.length * i + 1, 1_500);
        const late = Math.round((await client.response.reached(all.length * (i + 1), 1_500)) - began - 600);
        expectInTime([late]);
      }
      upstream.finish();
      expect(await client.answer()).toMatchObject({ broken: '', text: all.repeat(3) });
    },
  );

  it.each(BOTH)('the filter’s own pings come while the upstream says nothing: %i of ours', async (times) => {
    logsOnFailure(at);
    const { client, upstream } = await begin(at, protocol, `pings${times}`);
    const began = performance.now();
    upstream.say('data: hello\n\n');
    const ping = ': ping\n\n'.length;
    const late: number[] = [];
    for (let i = 1; i <= 4; i++) {
      const came = await client.response.reached('data: hello\n\n'.length + i * ping, 1_500);
      late.push(Math.round(came - began - i * PINGS.pause!));
    }
    expectInTime(late);
    upstream.finish();
    expect((await client.answer()).broken).toBe('');
  });
});

describe.each(PROTOCOLS)('over %s, the upstream’s end in the same write', (protocol) => {
  const at = talkStage(chains, protocol, { edges: true });

  it.each(['events1', 'events2', 'eventsBehind'])('three events, 200 ms each: each at its time: %s', async (name) => {
    logsOnFailure(at);
    const { client, upstream } = await begin(at, protocol, name);
    const began = performance.now();
    upstream.finish(all);
    expectInTime(await lateness(client, began));
    expect(await client.answer()).toMatchObject({ broken: '', text: all });
  });

  it.each(['events1', 'events2', 'eventsBehind'])('and with trailers behind it: %s', async (name) => {
    logsOnFailure(at);
    const { client, upstream } = await begin(at, protocol, name);
    const began = performance.now();
    upstream.finish(all, { 'x-last': 'yes' });
    expectInTime(await lateness(client, began));
    const answer = await client.answer();
    expect(answer).toMatchObject({ broken: '', text: all });
    expect(answer.trailer('x-last')).toBe('yes');
  });
});

const READ_RATE = 6_000_000;
const BULK = 60_000_000;
const LIMIT_MS = (BULK / READ_RATE) * 1_000 + 10_000;
const GROWTH = 48 * MiB;

function expectSmallGrowth(fx: Fixture, before: number): void {
  const growth = peakBytes(fx.envoy.pid) - before;
  expect(growth, `Envoy grew by ${mebibytes(growth)}`).toBeLessThan(GROWTH);
}

/** What is made when a slow client has let the upstream's end through, is collected: up to max_pending_output. */
const BULK_AFTER_THE_END = 24 * MiB;

describe.concurrent(`60 MB made late out of one byte, to a reader of 6 MB/s`, () => {
  const making = (size: number): AnyFilter[] => [{ name: 'late', config: { makes: 'bulk', pause: 100, size } }];

  async function run(fx: Fixture, talks: UpstreamEnds, protocol: 'http1' | 'http2', finished: boolean, size: number) {
    const before = resetPeak(fx.envoy.pid);
    const id = nextId();
    const reading = exchangeOver[protocol](fx.port, {
      path: `/talk?id=${id}`,
      readRate: READ_RATE,
      keep: 0,
      timeoutMs: LIMIT_MS,
    });
    const upstream = await talks.of(id);
    if (finished) upstream.finish('x');
    else {
      upstream.say('x');
      // its end comes when all is long made and half is read
      void sleep((size / READ_RATE) * 500).then(() => upstream.finish());
    }
    const answer = await reading;
    return { answer, before };
  }

  it.each([
    { what: 'HTTP/1.1, the upstream open', protocol: 'http1', finished: false, edges: edgesWhereNeeded, size: BULK },
    { what: 'HTTP/2, the upstream open', protocol: 'http2', finished: false, edges: edgesWhereNeeded, size: BULK },
    { what: 'HTTP/1.1, finished', protocol: 'http1', finished: true, edges: true, size: BULK_AFTER_THE_END },
    { what: 'HTTP/2, finished', protocol: 'http2', finished: true, edges: true, size: BULK_AFTER_THE_END },
  ] as const)('is exact, and Envoy’s memory bounded: $what', { timeout: LIMIT_MS + 10_000 }, async (one) => {
    await withTalk(making(one.size), one.protocol, { edges: one.edges }, async (fx, talks) => {
      const { answer, before } = await run(fx, talks, one.protocol, one.finished, one.size);
      expectSmallGrowth(fx, before);
      expect([answer.status, answer.broken, answer.digest]).toEqual([200, '', patternDigest(one.size)]);
    });
  });

  // Envoy's router would touch a freed upstream stream if the end were held back from a slow client (docs/decisions.md).
  it.each(['http1', 'http2'] as const)(
    'of which a finished upstream and a slow client leave no room is cut with a code, never ended cleanly: %s',
    { timeout: LIMIT_MS + 10_000 },
    async (protocol) => {
      await withTalk(making(BULK), protocol, { edges: true }, async (fx, talks) => {
        const { answer } = await run(fx, talks, protocol, true, BULK);
        expect(answer.complete && answer.status === 200).toBe(false);
        await eventually('the code is logged', () => fx.logs().includes('TSF_OUTPUT_LIMIT'));
      });
    },
  );
});

describe('1.2 MB of gzip that become 40 MB', () => {
  // 16 bytes that gzip cannot shorten, then a run
  const plain = (() => {
    const random = new Random(7);
    const blocks = Array.from({ length: 50_000 }, () => {
      const block = Buffer.alloc(800, random.int(0, 255));
      for (let i = 0; i < 16; i++) block[i] = random.int(0, 255);
      return block;
    });
    return Buffer.concat(blocks);
  })();
  const packed = gzipSync(plain);
  const filters: AnyFilter[] = [{ name: 'late', config: { makes: 'gunzip' } }];

  async function fetchAll(fx: Fixture, talks: UpstreamEnds, endAfterMs: number) {
    const id = nextId();
    const client = http1(fx.port, { path: `/talk?id=${id}`, keep: 0, timeoutMs: 20_000 });
    const upstream = await talks.of(id);
    upstream.say(packed);
    if (endAfterMs > 0) await sleep(endAfterMs);
    upstream.finish();
    return client;
  }

  it.each([0, 300])('with edges: all bytes, memory bounded, the end %i ms behind the body', async (endAfterMs) => {
    await withTalk(filters, 'http1', { edges: true }, async (fx, talks) => {
      const before = resetPeak(fx.envoy.pid);
      const answer = await fetchAll(fx, talks, endAfterMs);
      expect([answer.status, answer.broken, answer.digest]).toEqual([200, '', digest(plain)]);
      expectSmallGrowth(fx, before);
    });
  });

  it.each([0, 300])('without edges: all, or the limit is told before bytes went, %i ms', async (endAfterMs) => {
    await withTalk(filters, 'http1', {}, async (fx, talks) => {
      const answer = await fetchAll(fx, talks, endAfterMs);
      if (answer.status === 200 && answer.complete) {
        expect(answer.digest).toBe(digest(plain));
        return;
      }
      await eventually('the code is in a log', () =>
        [fx.envoy.output, ...fx.accessLog().map(({ details }) => details)].some((text) =>
          text.includes('TSF_OUTPUT_LIMIT'),
        ),
      );
      if (answer.status < 500) expect([answer.broken === '', answer.length]).toEqual([false, 0]);
    });
  });
});
