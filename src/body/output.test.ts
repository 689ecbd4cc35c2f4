import { afterEach, describe, expect, it } from 'vitest';
import { Bench, filterOf, settled as turn, type TestStream } from '../../test/support/recorder.js';
import { OutputFlag } from '../base/wire.js';
import { StatusType, type StreamFilter } from '../api/types.js';
import type { FilterCallbacks } from '../api/types-callbacks.js';

let bench: Bench;
afterEach(() => {
  expect(bench.violations).toEqual([]);
});

async function open(create: (callbacks: FilterCallbacks) => StreamFilter): Promise<TestStream> {
  bench = await Bench.of(filterOf(create));
  const stream = bench.open();
  stream.request().response().take();
  return stream;
}

/** A transform that emits what the test tells it to. */
function puppet() {
  let wake: () => void = () => undefined;
  const queue: (string | 'input' | 'end')[] = [];
  const filter: StreamFilter = {
    async *transformResponse(body) {
      const input = body[Symbol.asyncIterator]();
      for (;;) {
        const step = queue.shift();
        if (step === undefined) await new Promise<void>((resolve) => (wake = resolve));
        else if (step === 'input') await input.next();
        else if (step === 'end') return;
        else yield step;
      }
    },
  };
  const say = async (...steps: string[]): Promise<void> => {
    queue.push(...steps);
    wake();
    await turn();
  };
  return { filter, say };
}

const KIB = 1024;
const frames = (stream: TestStream): [number, number, number][] =>
  stream.sink.outputs.map(({ flags, acknowledged, bytes }) => [flags, acknowledged, bytes.length]);

describe('output goes on', () => {
  it('with the word that all is digested when the filter asks for its next input', async () => {
    const { filter, say } = puppet();
    const stream = await open(() => filter);
    await say('input');
    expect(stream.take()).toEqual(['output Response Digested']);
    stream.res('a');
    await say('x', 'y', 'input');
    expect(stream.take()).toEqual(['output Response Digested ack 1 "xy"']);
  });

  it('at the end of the turn when the filter goes on with something else', async () => {
    const { filter, say } = puppet();
    const stream = await open(() => filter);
    stream.res('a');
    await say('input', 'x');
    await turn();
    expect(stream.take()).toEqual(['output Response "x"']);
    await say('y', 'z');
    await turn();
    expect(stream.take()).toEqual(['output Response "yz"']);
    await say('input');
    expect(stream.take()).toEqual(['output Response Digested ack 1']);
  });

  it('by itself while a read waits: the input is digested all the same', async () => {
    let tick: () => void = () => undefined;
    const stream = await open(() => ({
      async *transformResponse(body) {
        const input = body[Symbol.asyncIterator]();
        void input.next();
        await new Promise<void>((resolve) => (tick = resolve));
        yield 'tick';
        await new Promise(() => undefined);
      },
    }));
    expect(stream.take()).toEqual([]);
    tick();
    await turn();
    await turn();
    expect(stream.take()).toEqual(['output Response Digested "tick"']);
  });

  it('in frames of 64 KiB at most, without waiting for more', async () => {
    const { filter, say } = puppet();
    const stream = await open(() => filter);
    stream.res('a');
    await say(
      'input',
      'x'.repeat(40 * KIB),
      'x'.repeat(20 * KIB),
      'x'.repeat(10 * KIB),
      'x'.repeat(150 * KIB),
      'input',
    );
    expect(frames(stream)).toEqual([
      [0, 0, 60 * KIB],
      [0, 0, 10 * KIB],
      [OutputFlag.Cut, 0, 64 * KIB],
      [OutputFlag.Cut, 0, 64 * KIB],
      [1, 1, 22 * KIB],
    ]);
  });

  it('one frame for one frame', async () => {
    const stream = await open(() => ({
      async *transformResponse(body) {
        for await (const chunk of body) yield chunk;
      },
    }));
    for (const size of [64 * KIB, 10, 40 * KIB]) {
      stream.res('x'.repeat(size));
      await turn();
    }
    stream.res('end', 'last');
    await turn();
    expect(frames(stream)).toEqual([
      [1, 0, 0],
      [1, 64 * KIB, 64 * KIB],
      [1, 10, 10],
      [1, 40 * KIB, 40 * KIB],
      [2, 3, 3],
    ]);
  });

  it('to the end of the output once the input has ended: nothing is digested any more', async () => {
    const { filter, say } = puppet();
    const stream = await open(() => filter);
    stream.res('a', 'last');
    await say('input', 'x'.repeat(70 * KIB), 'y');
    await say('input', 'z', 'end');
    expect(stream.sink.outputs.map(({ flags }) => flags).filter((flag) => flag !== 0)).toEqual([OutputFlag.Cut, 2]);
    expect(stream.sink.told[1]).toMatchObject({ outstanding: 0, last: true });
  });

  it('not at all when there is none: the word that all is digested is enough, and is said once', async () => {
    const { filter, say } = puppet();
    const stream = await open(() => ({ ...filter, encodeHeaders: () => StatusType.StopAndBufferWatermark }));
    stream.res('a');
    await say('input', 'input');
    expect(stream.take()).toEqual(['output Response Digested ack 1']);
    stream.res('b');
    await say('input');
    expect(stream.take()).toEqual(['output Response Digested ack 1']);
  });
});

describe('output that has gathered', () => {
  it('goes nowhere when the stream has ended, failed or been replied to before the turn is over', async () => {
    const { filter, say } = puppet();
    const stream = await open(() => filter);
    stream.res('a');
    const written = say('input', 'x');
    for (let i = 0; i < 10; i++) await Promise.resolve();
    stream.end(1);
    await written;
    await turn();
    expect(stream.take()).toEqual([]);
  });

  it('goes before the trailers that its own hook takes time for', async () => {
    const stream = await open(() => ({
      async *transformResponse(body) {
        for await (const chunk of body) {
          await Promise.resolve();
          yield chunk;
        }
      },
      encodeTrailers: () => undefined,
    }));
    stream.res('a', 'trailers');
    await turn();
    await turn();
    expect(stream.take()).toEqual(['output Response ack 1 "a"']);
    stream.trailers(1, { x: '1' });
    expect(stream.take()).toEqual(['output Response Last', 'answer ResponseTrailers Pass []']);
  });
});

describe('acknowledgements', () => {
  it('ride with outputs while there is more to do, or go alone when a quarter of the window is consumed', async () => {
    const { filter, say } = puppet();
    const stream = await open(() => filter);
    for (let i = 0; i < 4; i++) stream.res('x'.repeat(32 * KIB));
    await say('input', 'input');
    await turn();
    expect(stream.take()).toEqual([]);
    await say('y');
    await turn();
    expect(stream.take()).toEqual([`output Response ack ${String(32 * KIB)} "y"`]);
    await say('input', 'input');
    expect(stream.take()).toEqual([`output Response ack ${String(64 * KIB)}`]);
    await say('input');
    expect(stream.take()).toEqual([`output Response Digested ack ${String(32 * KIB)}`]);
  });

  it('are complete when the filter asks, however small', async () => {
    const stream = await open(() => ({
      async *transformResponse(body) {
        let n = 0;
        for await (const chunk of body) n += chunk.length;
        yield String(n);
      },
    }));
    stream.res('a').res('b');
    await turn();
    expect(stream.sink.told[1]).toMatchObject({ outstanding: 0, digested: true });
  });
});

describe('a TransformStream', () => {
  const through = (
    work: (chunk: Uint8Array, to: TransformStreamDefaultController<Uint8Array>) => void | Promise<void>,
    writable: number,
    readable: number,
  ): StreamFilter => ({
    transformResponse: new TransformStream<Uint8Array, Uint8Array>(
      { transform: work },
      { highWaterMark: writable },
      { highWaterMark: readable },
    ),
  });

  it.each([
    [1, 0],
    [0, 0],
    [16, 16],
    [0, 1],
    [5, 0],
  ])('has digested nothing while its transform() works, high water marks %i and %i', async (writable, readable) => {
    let finish: () => void = () => undefined;
    const stream = await open(() =>
      through(
        async (chunk, to) => {
          await new Promise<void>((resolve) => (finish = resolve));
          for (let i = 0; i < 3; i++) to.enqueue(chunk);
        },
        writable,
        readable,
      ),
    );
    await turn();
    expect(stream.sink.told[1].digested).toBe(true);
    stream.res('a').res('b');
    for (let i = 0; i < 5; i++) await turn();
    expect(stream.sink.told[1].digested).toBe(false);
    finish();
    for (let i = 0; i < 5; i++) await turn();
    expect(stream.sink.body(1).toString()).toBe('aaa');
    expect(stream.sink.told[1].digested).toBe(false);
    finish();
    for (let i = 0; i < 5; i++) await turn();
    expect(stream.sink.body(1).toString()).toBe('aaabbb');
    expect(stream.sink.told[1]).toMatchObject({ digested: true, outstanding: 0 });
    // The word came with all of it, not before.
    const told = stream.sink.outputs.findLastIndex(({ flags }) => (flags & 1) !== 0);
    expect(told).toBe(stream.sink.outputs.length - 1);
    stream.res('', 'last');
    for (let i = 0; i < 5; i++) await turn();
    expect(stream.sink.told[1].last).toBe(true);
  });

  it('may make output before its input', async () => {
    const stream = await open(() => ({
      transformResponse: new TransformStream<Uint8Array, Uint8Array>({
        start: (to) => {
          to.enqueue(Buffer.from('<'));
        },
        transform: () => undefined,
      }),
    }));
    for (let i = 0; i < 5; i++) await turn();
    expect(stream.take()).toEqual(['output Response Digested "<"']);
    stream.res('a');
    for (let i = 0; i < 5; i++) await turn();
    expect(stream.take()).toEqual(['output Response Digested ack 1']);
  });
});

describe('a data hook', () => {
  it('that gathers has digested what it keeps', async () => {
    const stream = await open(() => ({ encodeData: (_data, end) => (end ? undefined : StatusType.StopAndBuffer) }));
    for (const piece of ['a', 'b', 'c']) stream.res(piece);
    expect(stream.take()).toEqual([
      'output Response Digested ack 1',
      'output Response Digested ack 1',
      'output Response Digested ack 1',
    ]);
  });

  it('has its time from when it is handed the whole, if it takes any', async () => {
    const stream = await open(() => ({
      encodeData: (_data, end) => (end ? turn() : Promise.resolve(StatusType.StopAndBuffer)),
    }));
    stream.res('a');
    await turn();
    stream.res('b').take();
    stream.res('c', 'last');
    expect(stream.take()).toEqual(['output Response Timed ack 1']);
    await turn();
    await turn();
    expect(stream.take()).toEqual(['output Response Last "abc"']);
  });

  it('keeps max_body_bytes at most: a request is answered with 413 through its own encode hooks', async () => {
    bench = await Bench.of(
      filterOf(() => ({
        decodeData: () => StatusType.StopAndBuffer,
        encodeHeaders: (headers) => void headers.set('x-seen', String(headers.status)),
      })),
      { rules: { maxBodyBytes: 10 } },
    );
    const stream = bench.open();
    stream.request().req('12345').req('67890').take();
    stream.req('1');
    await turn();
    expect(stream.take()).toEqual([
      'localReply 413 grpc -1 "ts_filter_body_too_large" [content-type: text/plain, x-seen: 413] "Payload Too Large"',
    ]);
  });

  it('and a response with 500', async () => {
    bench = await Bench.of(
      filterOf(() => ({ encodeData: () => turn().then(() => StatusType.StopAndBuffer) })),
      { rules: { maxBodyBytes: 10 } },
    );
    const stream = bench.open();
    stream.request().response().res('12345').res('67890').res('1').take();
    await turn();
    await turn();
    expect(stream.take()).toEqual(['localReply 500 grpc -1 "ts_filter_body_too_large" [] "Internal Server Error"']);
    expect(bench.logger.lines).toEqual([]);
  });
});
