/** gRPC through the filter: every kind of call, messages changed in both directions, trailers, ends of every sort. */
import { describe, expect, it } from 'vitest';
import {
  BINARY,
  codeName,
  decodeMessage,
  digest,
  Digest,
  eventually,
  FAILURE_DETAILS,
  http2,
  METHODS,
  patternAt,
  Random,
  seedOf,
  sleep,
  within,
  type Message,
  type Outcome,
} from '../fixture/index.js';
import { Messages } from './filters/lib/grpc.js';
import { grpcStage, type GrpcStage } from './grpc-support.js';
import { logsOnFailure } from './support.js';

const BOTH = ['request', 'response'];
const payload = (size: number) =>
  Buffer.concat(Array.from({ length: Math.ceil(size / 65536) }, (_, i) => patternAt(i * 65536, 65536))).subarray(
    0,
    size,
  );

/** OK, with everything that the server says at a call's end. */
function expectWhole(outcome: Outcome, sum = 'none'): void {
  expect([codeName(outcome.code), outcome.details]).toEqual(['OK', 'OK']);
  expect(outcome.trailers.get('x-sum')).toEqual([sum]);
  expect(outcome.trailers.get('x-blob-bin')).toEqual([BINARY]);
}

describe.each(['grpc-generator', 'grpc-perchunk', 'grpc-go'])('%s', (filter) => {
  const at = grpcStage({ filters: [{ name: filter }], counters: false });

  it('unary: messages changed both ways, metadata and trailers intact', async () => {
    logsOnFailure(at);
    const outcome = await at.client.call('Unary', {
      headers: { 'x-id': 'unary', 'x-sum': '7', 'x-in-bin': BINARY },
      messages: [{ text: 'hello', n: 3, payload: payload(100) }],
    });
    expectWhole(outcome, '7');
    expect(outcome.initial.get('x-initial-bin')).toEqual([BINARY]);
    expect(at.server.seen.metadata.get('unary')!.get('x-in-bin')).toEqual([BINARY]);
    expect(outcome.messages).toEqual([{ text: 'hello', n: 3, payload: payload(100), passed: BOTH }]);
  });

  it('an empty message', async () => {
    const outcome = await at.client.call('Unary', { messages: [{}] });
    expectWhole(outcome);
    expect(outcome.messages).toEqual([{ text: '', n: 0, payload: Buffer.alloc(0), passed: BOTH }]);
  });

  it('a 4 MB message', async () => {
    logsOnFailure(at);
    const big = payload(4_000_000);
    const outcome = await at.client.call('Unary', { messages: [{ payload: big }] });
    expectWhole(outcome);
    expect(outcome.messages.map(({ payload: back, passed }) => [digest(back), passed])).toEqual([[digest(big), BOTH]]);
  });

  it('server stream: messages of many sizes', async () => {
    logsOnFailure(at);
    for (const [size, n] of [
      [0, 2000],
      [1000, 500],
      [100_000, 30],
    ] as const) {
      const outcome = await at.client.call('ServerStream', {
        headers: { 'x-sum': String(n) },
        messages: [{ n, payload: payload(size) }],
      });
      expectWhole(outcome, String(n));
      expect(outcome.messages.map(({ text }) => text)).toEqual(Array.from({ length: n }, (_, i) => String(i)));
      expect(new Set(outcome.messages.map((one) => `${digest(one.payload)} ${one.passed.join()}`))).toEqual(
        // one entry by the request, each answer has one more of its own
        new Set([`${digest(payload(size))} ${BOTH.join()}`]),
      );
    }
  });

  it('client stream: messages of random sizes', async () => {
    logsOnFailure(at);
    const seed = seedOf();
    const random = new Random(seed);
    const messages = Array.from({ length: 600 }, () => ({
      payload: payload(random.pick([0, 1, 4, 5, 100, 3_000, 20_000]) + random.int(0, 9)),
    }));
    const sum = new Digest();
    for (const message of messages) sum.update(message.payload);
    const outcome = await at.client.call('ClientStream', { messages });
    expectWhole(outcome);
    expect(outcome.messages, `SEED=${seed}`).toEqual([
      { n: 600, text: sum.end(), payload: Buffer.alloc(0), passed: BOTH },
    ]);
  });

  it('bidirectional, free-running: every message back in order', async () => {
    logsOnFailure(at);
    const seed = seedOf();
    const random = new Random(seed);
    const messages = Array.from({ length: 800 }, (_, i) => ({
      text: String(i),
      payload: payload(random.int(0, random.pick([3, 300, 9_000]))),
    }));
    const outcome = await at.client.call('Bidi', { messages });
    expectWhole(outcome);
    const back = outcome.messages.map((one) => `${one.text} ${digest(one.payload)} ${one.passed.join()}`);
    expect(back, `SEED=${seed}`).toEqual(messages.map((one) => `${one.text} ${digest(one.payload)} ${BOTH.join()}`));
  });

  it('bidirectional, ping-pong: no side says more before it has heard the other', async () => {
    logsOnFailure(at);
    const call = at.client.bidi();
    const replies = call[Symbol.asyncIterator]() as AsyncIterator<Message>;
    for (let i = 0; i < 50; i++) {
      // the odd ones are longer than a frame of HTTP/2
      call.write({ text: String(i), payload: payload((i & 1) * 20_000) });
      const { value } = (await within(3_000, `the answer to ping ${i}`, replies.next())) as { value: Message };
      expect([value.text, value.payload.length, value.passed]).toEqual([String(i), (i & 1) * 20_000, BOTH]);
    }
    const ended = new Promise<{ code: number }>((resolve) => call.on('status', resolve));
    call.end();
    expect((await within(3_000, 'the end', replies.next())).done).toBe(true);
    expect((await ended).code).toBe(0);
  });

  it('a server stream with pauses: each message goes on while the next is not there', async () => {
    logsOnFailure(at);
    const arrivals: number[] = [];
    const outcome = await at.client.call('ServerStream', {
      headers: { 'x-pause': '150' },
      messages: [{ n: 5 }],
      onMessage: () => arrivals.push(performance.now()),
    });
    expectWhole(outcome);
    expect(arrivals).toHaveLength(5);
    // held back to the end they would all come at once
    expect(arrivals[4]! - arrivals[0]!).toBeGreaterThan(400);
  });

  it.each(BOTH)('messages are dropped, doubled, made longer and shorter in the %s', async (direction) => {
    logsOnFailure(at);
    const ask = (what: string) => ({ text: `${what} ${direction}`, payload: payload(30_000) });
    const outcome = await at.client.call('Bidi', {
      messages: [ask('drop'), ask('double'), ask('grow'), ask('shrink'), ask('keep'), ask('drop')],
    });
    expectWhole(outcome);
    const shape = outcome.messages.map(({ text, payload: { length }, passed }) => [
      text.split(' ')[0],
      length,
      passed.map((one) => (one.length === 200_000 ? 'long' : one)).join(),
    ]);
    const inRequest = direction === 'request';
    expect(shape).toEqual([
      ['double', 30_000, 'request,response'],
      ['double', 30_000, 'request,response'],
      ['grow', 30_000, inRequest ? 'request,long,response' : 'request,response,long'],
      ['', 0, inRequest ? 'shrunk,response' : 'shrunk'],
      ['keep', 30_000, 'request,response'],
    ]);
  });

  it('a body cut into tiny pieces', async () => {
    logsOnFailure(at);
    const message = Buffer.from([0x0a, 0x02, 0x68, 0x69, 0x18, 0x05]); // text "hi", n 5
    const wire = Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]);
    const upload = function* () {
      for (const byte of Buffer.concat([wire, wire, wire])) {
        yield Buffer.from([byte]);
        yield 2;
      }
    };
    const answer = await http2(at.port, {
      method: 'POST',
      path: '/test.Echo/Bidi',
      headers: [
        ['content-type', 'application/grpc'],
        ['te', 'trailers'],
      ],
      body: upload(),
    });
    expect([answer.status, answer.trailer('grpc-status')]).toEqual([200, '0']);
    const messages = new Messages();
    const back = [...messages.take(answer.body)].map(decodeMessage);
    messages.finish();
    const one = { text: 'hi', n: 5, payload: Buffer.alloc(0), passed: BOTH };
    expect(back).toEqual([one, one, one]);
  });

  it.each(METHODS)('%s: a failure of the server keeps status, message and trailers', async (method) => {
    logsOnFailure(at);
    for (const code of [1, 5, 9, 16]) {
      const outcome = await at.client.call(method, {
        headers: { 'x-fail': String(code), 'x-sum': '3' },
        messages: [{ n: 0 }],
      });
      expect([outcome.code, outcome.details]).toEqual([code, FAILURE_DETAILS]);
      expect(outcome.trailers.get('x-sum')).toEqual(['3']);
      expect(outcome.trailers.get('x-blob-bin')).toEqual([BINARY]);
    }
  });

  it('a failure after messages keeps both', async () => {
    const outcome = await at.client.call('ServerStream', { headers: { 'x-fail': '10' }, messages: [{ n: 1 }] });
    expect([outcome.code, outcome.details, outcome.messages.length]).toEqual([10, FAILURE_DETAILS, 1]);
    expect(outcome.trailers.get('x-blob-bin')).toEqual([BINARY]);
  });
});

describe('ends by the client', () => {
  const at = grpcStage({ filters: [{ name: 'touch' }, { name: 'grpc-generator' }], counters: true });
  const destroyed = (at: GrpcStage) =>
    eventually('each filter is destroyed once, and no stream is left', async () => {
      const counts = await at.fx.counters();
      return counts['touch.created'] === counts['touch.destroyed'] && (await at.fx.activeStreams()) === 0 && counts;
    });

  it.each(METHODS)('%s: a deadline is read as such, and the server hears of it', async (method) => {
    logsOnFailure(at);
    const before = at.server.seen.cancelled;
    const outcome = await at.client.call(method, {
      headers: { 'x-never': 'yes' },
      messages: [{ n: 2, payload: payload(50_000) }],
      deadlineMs: 400,
    });
    expect(codeName(outcome.code)).toBe('DEADLINE_EXCEEDED');
    await eventually('the server hears of it', () => at.server.seen.cancelled === before + 1);
    await destroyed(at);
  });

  it.each(METHODS)('%s: cancellation', async (method) => {
    logsOnFailure(at);
    const before = { ...at.server.seen };
    const running = at.client.call(method, {
      headers: { 'x-never': 'yes' },
      messages: [{ n: 3, payload: payload(50_000) }],
      end: method !== 'Bidi',
      onCall: (call) => {
        void eventually('the call has reached the server', () => at.server.seen.begun === before.begun + 1)
          .then(() => sleep(50))
          .then(() => call.cancel());
      },
    });
    expect(codeName((await running).code)).toBe('CANCELLED');
    await eventually('the server hears of it', () => at.server.seen.cancelled === before.cancelled + 1);
    const counts = await destroyed(at);
    expect(counts['touch.destroyed.reset']).toBeGreaterThan(0);
  });

  it('cancelled in the middle of a large stream', async () => {
    logsOnFailure(at);
    let got = 0;
    let cancel = () => {};
    const outcome = await at.client.call('ServerStream', {
      messages: [{ n: 2_000, payload: payload(50_000) }],
      onCall: (call) => (cancel = () => call.cancel()),
      onMessage: () => {
        if (++got === 20) cancel();
      },
    });
    expect(codeName(outcome.code)).toBe('CANCELLED');
    await destroyed(at);
  });

  it('the next call on the same connection is whole', async () => {
    expectWhole(await at.client.call('Unary'));
  });
});

describe('many calls at once', () => {
  const at = grpcStage({ filters: [{ name: 'grpc-generator' }], counters: false });
  it('keep their messages apart', async () => {
    logsOnFailure(at);
    const calls = Array.from({ length: 60 }, async (_, i) => {
      const method = METHODS[i % METHODS.length]!;
      const messages = method === 'Unary' || method === 'ServerStream' ? 1 : 20;
      const outcome = await at.client.call(method, {
        headers: { 'x-sum': String(i) },
        messages: Array.from({ length: messages }, () => ({ text: `call ${i}`, n: 15, payload: payload(i * 500) })),
      });
      expectWhole(outcome, String(i));
      return outcome.messages.length;
    });
    const counted = await Promise.all(calls);
    expect(counted).toEqual(Array.from({ length: 60 }, (_, i) => [1, 15, 1, 20][i % 4]));
  });
});
