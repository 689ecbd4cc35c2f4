import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Bench, filterOf, settled as turn, type TestStream } from '../../test/support/recorder.js';
import { StatusType, type StreamFilter } from '../types.js';
import type { FilterCallbacks } from '../types-callbacks.js';

let bench: Bench;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});
afterEach(() => {
  expect(bench.violations).toEqual([]);
  vi.useRealTimers();
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

describe('output is pushed', () => {
  it('when the filter asks for its next input', async () => {
    const { filter, say } = puppet();
    const stream = await open(() => filter);
    stream.res('a');
    await say('input', 'x', 'y');
    expect(stream.take()).toEqual([]);
    await say('input');
    expect(stream.take()).toEqual(['output Response Push ack 1 "xy"']);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('20 ms after its first byte when the filter asks for nothing', async () => {
    const { filter, say } = puppet();
    const stream = await open(() => filter);
    stream.res('a');
    await say('input', 'x');
    await vi.advanceTimersByTimeAsync(12);
    await say('y');
    await vi.advanceTimersByTimeAsync(7);
    expect(stream.take()).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(stream.take()).toEqual(['output Response Push "xy"']);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('when 64 KiB have gathered', async () => {
    const { filter, say } = puppet();
    const stream = await open(() => filter);
    stream.res('a');
    await say('input', 'x'.repeat(40 * KIB), 'x'.repeat(20 * KIB), 'x'.repeat(4 * KIB));
    const flags = stream.sink.outputs.map(({ flags, bytes }) => [flags, bytes.length]);
    expect(flags).toEqual([
      [0, 40 * KIB],
      [1, 24 * KIB],
    ]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('only once per frame: later output waits for the next, and goes within 20 ms of it', async () => {
    const { filter, say } = puppet();
    const stream = await open(() => filter);
    stream.res('a');
    await say('input', 'x');
    await vi.advanceTimersByTimeAsync(20);
    stream.take();
    await say('y');
    await vi.advanceTimersByTimeAsync(1000);
    expect(stream.take()).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
    stream.res('b', 'stale');
    await vi.advanceTimersByTimeAsync(1000);
    expect(stream.take()).toEqual([]);
    stream.res('c');
    await vi.advanceTimersByTimeAsync(19);
    expect(stream.take()).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(stream.take()).toEqual(['output Response Push "y"']);
  });

  it('at once by a fresh frame when 64 KiB wait for one', async () => {
    const { filter, say } = puppet();
    const stream = await open(() => filter);
    await say('x'.repeat(65 * KIB));
    expect(stream.sink.outputs.every(({ flags }) => flags === 0)).toBe(true);
    stream.res('a');
    expect(stream.take().at(-1)).toBe('output Response Push');
  });

  it('without a flag after the end of the input: all of it goes with the last', async () => {
    const { filter, say } = puppet();
    const stream = await open(() => filter);
    stream.res('a', 'last');
    await say('input', 'x'.repeat(70 * KIB), 'y');
    await vi.advanceTimersByTimeAsync(1000);
    await say('input', 'z', 'end');
    expect(stream.sink.outputs.map(({ flags }) => flags).filter((flag) => flag !== 0)).toEqual([2]);
    expect(stream.sink.told[1]).toMatchObject({ outstanding: 0, last: true });
    expect(vi.getTimerCount()).toBe(0);
  });

  it('bare, once, when the filter takes input and makes nothing of it: the headers must go', async () => {
    const { filter, say } = puppet();
    const stream = await open(() => filter);
    await say('input');
    expect(stream.take()).toEqual([]);
    stream.res('a');
    await say('input');
    expect(stream.take()).toEqual(['output Response Push ack 1']);
    stream.res('b');
    await say('input');
    expect(stream.take()).toEqual([]);
  });

  it('not bare when the filter holds its headers', async () => {
    const { filter, say } = puppet();
    const stream = await open(() => ({ ...filter, encodeHeaders: () => StatusType.StopAndBufferWatermark }));
    stream.res('a');
    await say('input', 'input');
    expect(stream.take()).toEqual([]);
  });
});

describe('acknowledgements', () => {
  it('ride with outputs, or go alone when a quarter of the window is consumed', async () => {
    const { filter, say } = puppet();
    const stream = await open(() => filter);
    stream.res('x'.repeat(32 * KIB));
    await say('input', 'input');
    expect(stream.take()).toEqual([`output Response Push ack ${String(32 * KIB)}`]);
    stream.res('x'.repeat(40 * KIB));
    await say('input');
    expect(stream.take()).toEqual([]);
    stream.res('x'.repeat(40 * KIB));
    await say('input');
    expect(stream.take()).toEqual([`output Response ack ${String(80 * KIB)}`]);
  });
});

describe('timers', () => {
  it('are gone when the stream is', async () => {
    const { filter, say } = puppet();
    const stream = await open(() => filter);
    stream.res('a');
    await say('input', 'x');
    expect(vi.getTimerCount()).toBe(1);
    stream.end(1);
    await turn();
    // what is left warns of work that never settles, and does not keep the process alive
    bench.registry.dispose();
    expect(vi.getTimerCount()).toBe(0);
  });
});
