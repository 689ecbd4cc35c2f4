/** Peers that wait for each other: what the filter made of what came is at the receiver, while nothing more comes. */
import { describe, expect, it } from 'vitest';
import { ClientEnd, dataFrame, FrameClient, headersFrame, sleep } from '../../fixture/index.js';
import { logsOnFailure } from '../support.js';
import type { ShiftConfig } from '../filters/lib/shift.js';
import { nextId, ours, patternBytes, PROTOCOLS, RUNS, shifted, talkStage, through, type Chains } from './support.js';

const SOON_MS = 100;
/** How long a message that hangs is waited for. */
const HANG_MS = 700;

const STYLES: Readonly<Record<string, ShiftConfig>> = {
  perChunk: { style: 'perChunk' },
  'a generator': { style: 'generator' },
  'yield*': { style: 'delegating' },
  'a TransformStream': { style: 'transformStream' },
  'asynchronous data hooks': { style: 'go' },
};
const SLOW: Readonly<Record<string, ShiftConfig>> = {
  'two pieces 22 ms apart': { style: 'halves', pause: 22 },
  'pieces at random with pauses': { style: 'random' },
};

interface Case {
  readonly name: string;
  /** In the request's query. */
  readonly chain: string;
  /** How many of ours change a body. */
  readonly times: 0 | 1 | 2;
}
/** When this one fails, the expectation or the machine is wrong. */
const CONTROL: Case = { name: 'nothing of ours', chain: 'nothing', times: 0 };

function casesOf(styles: Readonly<Record<string, ShiftConfig>>): Case[] {
  return Object.entries(styles).flatMap(([name, { style }]): Case[] => [
    { name, chain: `${style}1`, times: 1 },
    { name: `2 × ${name}`, chain: `${style}2`, times: 2 },
  ]);
}
const chains: Chains = {
  nothing: [],
  ...Object.fromEntries(
    Object.values({ ...STYLES, ...SLOW }).flatMap((config) => [
      [`${config.style}1`, [ours(1, config)]],
      [`${config.style}2`, [ours(2, config)]],
    ]),
  ),
};
const FLOWING = [CONTROL, ...casesOf(STYLES)];
const ALL = [...FLOWING, ...casesOf(SLOW)];
const only = (style: string) => ALL.filter(({ chain }) => chain.startsWith(style));

describe.each(PROTOCOLS)('over %s', (protocol) => {
  const at = talkStage(chains, protocol);

  /** An exchange whose request has begun at the upstream with nothing said but its headers. */
  async function begin({ chain }: Case) {
    const id = nextId();
    const client = new ClientEnd(protocol, at.port, { path: `/talk?${through(chain)}&id=${id}`, timeoutMs: 20_000 });
    return { client, upstream: await at.ends.of(id) };
  }
  type Exchange = Awaited<ReturnType<typeof begin>>;

  /** Both messages end, and well. */
  async function finish({ client, upstream }: Exchange): Promise<void> {
    client.finish();
    expect(await upstream.request.ended(3_000)).toBe('clean');
    upstream.finish();
    expect((await client.answer()).broken).toBe('');
  }

  /** Milliseconds until all of `body` is heard on the other side. */
  async function fromClient({ client, upstream }: Exchange, body: Buffer, withinMs: number): Promise<number> {
    const before = upstream.request.length;
    const began = performance.now();
    client.say(body);
    return (await upstream.request.reached(before + body.length, withinMs)) - began;
  }
  async function fromUpstream({ client, upstream }: Exchange, body: Buffer, withinMs: number): Promise<number> {
    const before = client.response.length;
    const began = performance.now();
    upstream.say(body);
    return (await client.response.reached(before + body.length, withinMs)) - began;
  }
  const speak = { client: fromClient, upstream: fromUpstream };
  const heard = (exchange: Exchange, from: keyof typeof speak) =>
    from === 'client' ? exchange.upstream.request : exchange.client.response;

  describe.each(['client', 'upstream'] as const)('the %s speaks and waits', (from) => {
    const direction = from === 'client' ? 'request' : 'response';

    /** Says `message` so often, each time waiting until it is heard; its times. */
    async function say(one: Case, message: Buffer, times: number): Promise<number[]> {
      const exchange = await begin(one);
      const took: number[] = [];
      for (let i = 0; i < times; i++) took.push(await speak[from](exchange, message, HANG_MS));
      await finish(exchange);
      const all = Buffer.concat(Array.from({ length: times }, () => shifted(message, direction, one.times)));
      expect(heard(exchange, from).bytes.equals(all)).toBe(true);
      return took;
    }

    it.each(only('halves'))('500 bytes, 22 ms, 500 bytes: both have gone when it asks for more: $name', async (one) => {
      logsOnFailure(at);
      for (let run = 0; run < 3 * RUNS; run++) await say(one, patternBytes(1_000), 1);
    });

    it.each(only('delegating'))(
      '100 KB in many small pieces: all has gone when it asks for more: $name',
      async (one) => {
        logsOnFailure(at);
        for (let run = 0; run < 2 * RUNS; run++) await say(one, patternBytes(100_000), 2);
      },
    );

    it.each(FLOWING)(`27 KB and 300 KB are whole on the other side within ${SOON_MS} ms: $name`, async (one) => {
      logsOnFailure(at);
      for (const size of [27_000, 300_000]) {
        const took = await say(one, patternBytes(size), 5);
        // the first of a process is compiled, and a busy machine is late now and then: the middle one counts
        expect(took.toSorted((a, b) => a - b)[2], `${size} bytes: ${took.join()}`).toBeLessThan(SOON_MS);
      }
    });
  });

  it.each(ALL)('ping-pong: no side says more before it has heard all of the other: $name', async (one) => {
    logsOnFailure(at);
    const exchange = await begin(one);
    for (const size of [1, 2, 5, 1_000, 16_384, 16_385, 70_000]) {
      await fromClient(exchange, patternBytes(size), 1_500);
      await fromUpstream(exchange, patternBytes(size + 1), 1_500);
    }
    await finish(exchange);
  });

  it.each(ALL)('an upstream that speaks first is heard before the client says anything: $name', async (one) => {
    logsOnFailure(at);
    const exchange = await begin(one);
    for (const size of [1, 27_000]) await fromUpstream(exchange, patternBytes(size), 1_500);
    await fromClient(exchange, patternBytes(27_000), 1_500);
    await finish(exchange);
  });

  it.each(ALL)('two 1-byte DATA frames in one write are both at the upstream at once: $name', async (one) => {
    logsOnFailure(at);
    for (let run = 0; run < 5 * RUNS; run++) {
      const id = nextId();
      const client = await FrameClient.open(at.port);
      try {
        client.write(headersFrame(`/talk?${through(one.chain)}&id=${id}`));
        const { request } = await at.ends.of(id);
        await sleep(20);
        client.write(dataFrame(Buffer.from('a')), dataFrame(Buffer.from('b')));
        await request.reached(2, HANG_MS);
        client.write(dataFrame(Buffer.from('c'), true));
        expect(await request.ended(3_000)).toBe('clean');
        expect(request.bytes).toEqual(shifted(Buffer.from('abc'), 'request', one.times));
      } finally {
        client.close();
      }
    }
  });
});
