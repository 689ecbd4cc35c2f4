import { afterEach, describe, expect, it, vi } from 'vitest';
import { Bench, filterOf, settled, type TestStream } from '../../test/support/recorder.js';
import { defineFilter } from '../api/filter.js';
import { type FilterError, StreamAbortedError } from '../api/errors.js';
import { StatusType, type StreamFilter } from '../api/types.js';
import type { FilterCallbacks } from '../api/types-callbacks.js';
import type { BodyStream } from '../api/types-data.js';
import { Direction, EndReason } from '../base/wire.js';

let bench: Bench;
afterEach(() => {
  expect(bench.violations).toEqual([]);
  vi.useRealTimers();
});

async function open(create: (callbacks: FilterCallbacks) => StreamFilter): Promise<TestStream> {
  bench = await Bench.of(filterOf(create));
  return bench.open();
}

describe('a stream that dies', () => {
  it.each([
    [EndReason.Downstream, 'downstream', 'reset'],
    [EndReason.Upstream, 'upstream', 'reset'],
    [EndReason.Timeout, 'timeout', 'reset'],
    [EndReason.LocalReply, 'local_reply', 'reset'],
    [EndReason.HostDrain, 'host_drain', 'host_drain'],
  ])('of %i aborts the signal by "%s" and destroys the filter with "%s", once', async (reason, by, word) => {
    const seen: unknown[] = [];
    const stream = await open((callbacks) => {
      callbacks.signal.addEventListener('abort', () => seen.push((callbacks.signal.reason as StreamAbortedError).by));
      return {
        decodeHeaders: () => StatusType.Running,
        onStreamComplete: () => void seen.push('complete'),
        onLog: () => void seen.push('log'),
        onDestroy: (given) => void seen.push(given),
      };
    });
    stream.request().end(reason);
    stream.source.onEnd(reason);
    expect(seen).toEqual([by, 'log', 'complete', word]);
  });

  it('does not abort on a normal end', async () => {
    let signal: AbortSignal | undefined;
    const stream = await open((callbacks) => {
      signal = callbacks.signal;
      return {};
    });
    stream.request().response().end();
    expect(signal!.aborted).toBe(false);
  });

  it('aborts also a signal that is first read afterwards', async () => {
    let callbacks: FilterCallbacks | undefined;
    const stream = await open((given) => {
      callbacks = given;
      return { decodeHeaders: () => StatusType.Running };
    });
    stream.request().end(EndReason.Downstream);
    expect(callbacks!.signal.aborted).toBe(true);
    expect((callbacks!.signal.reason as StreamAbortedError).code).toBe('TSF_STREAM_ABORTED');
  });

  it('tells a hook that still works, and by what, also when the stream ended well', async () => {
    let signal: AbortSignal | undefined;
    const stream = await open((callbacks) => ({
      decodeHeaders: () => {
        ({ signal } = callbacks);
        return new Promise<void>(() => undefined);
      },
    }));
    stream.request().end(EndReason.Complete);
    expect(signal!.reason).toMatchObject({ by: 'complete' });
  });

  it('drops the late answer of a hook', async () => {
    let resolve: () => void = () => undefined;
    const stream = await open(() => ({ decodeHeaders: () => new Promise<void>((yes) => (resolve = yes)) }));
    stream.request().end(EndReason.Downstream);
    resolve();
    await settled();
    expect(stream.take()).toEqual([]);
  });
});

describe('a transform when its stream dies', () => {
  it('parked on input gets a StreamAbortedError, and its finally runs', async () => {
    const seen: unknown[] = [];
    const stream = await open(() => ({
      async *transformRequest(body) {
        try {
          for await (const chunk of body) yield chunk;
          seen.push('ended');
        } catch (e) {
          seen.push((e as StreamAbortedError).by);
          throw e;
        } finally {
          seen.push('finally');
        }
      },
    }));
    stream.request().req('a');
    await settled();
    stream.end(EndReason.Downstream);
    await settled();
    expect(seen).toEqual(['downstream', 'finally']);
    expect(bench.logger.lines).toEqual([]);
  });

  it('parked at a yield only runs its finally', async () => {
    const seen: unknown[] = [];
    const stream = await open(() => ({
      async *transformRequest(body) {
        try {
          for await (const chunk of body) yield chunk;
        } catch {
          seen.push('caught');
        } finally {
          seen.push('finally');
        }
      },
    }));
    stream.sink.room = new Promise(() => undefined);
    stream.request().req('a');
    await settled();
    stream.end(EndReason.Downstream);
    await settled();
    expect(seen).toEqual(['finally']);
  });

  it('in a foreign await is told by the signal only; its finally runs when that settles', async () => {
    const seen: unknown[] = [];
    let resolve: () => void = () => undefined;
    const stream = await open((callbacks) => ({
      async *transformRequest() {
        callbacks.signal.addEventListener('abort', () => seen.push('signal'));
        try {
          await new Promise<void>((yes) => (resolve = yes));
          seen.push('went on');
          yield 'late';
          seen.push('never');
        } finally {
          seen.push('finally');
        }
      },
    }));
    stream.request();
    await settled();
    stream.end(EndReason.Upstream);
    await settled();
    expect(seen).toEqual(['signal']);
    resolve();
    await settled();
    expect(seen).toEqual(['signal', 'went on', 'finally']);
    expect(stream.take().slice(1)).toEqual([]);
  });

  it('finds a body that rejects however often it is asked, and trailers that reject', async () => {
    const seen: unknown[] = [];
    let kept: BodyStream | undefined;
    const stream = await open(() => ({
      async *transformRequest(body, ctx) {
        kept = body;
        ctx.trailers.catch((e: unknown) => seen.push((e as FilterError).code));
        for await (const chunk of body) yield chunk;
      },
    }));
    stream.request().req('a');
    await settled();
    stream.end(EndReason.Downstream);
    await settled();
    await expect(kept![Symbol.asyncIterator]().next()).rejects.toThrow(StreamAbortedError);
    await expect(kept![Symbol.asyncIterator]().next()).rejects.toThrow(StreamAbortedError);
    expect(seen).toEqual(['TSF_STREAM_ABORTED']);
  });

  it('that throws in its finally is logged, no more', async () => {
    const stream = await open(() => ({
      async *transformRequest(body) {
        try {
          for await (const chunk of body) yield chunk;
        } finally {
          // eslint-disable-next-line no-unsafe-finally -- that is the mistake under test
          throw new Error('in finally');
        }
      },
    }));
    stream.request().req('a');
    await settled();
    stream.end(EndReason.Downstream);
    await settled();
    expect(bench.logger.lines).toEqual(['error transformRequest after its stream had ended: Error: in finally']);
  });

  it('whose iterator throws in return() ends as ever: its last hooks run and its config is let go', async () => {
    const seen: unknown[] = [];
    bench = await Bench.of(
      defineFilter({
        name: 'f',
        create: () => ({
          transformRequest: () => ({
            [Symbol.asyncIterator]: () => ({
              next: () => new Promise<never>(() => undefined),
              return: () => {
                throw new Error('in return');
              },
            }),
          }),
          onDestroy: (reason) => void seen.push(reason),
        }),
        destroyConfig: () => void seen.push('config'),
      }),
    );
    const stream = bench.open();
    stream.request().req('a');
    bench.registry.forget(1);
    stream.end(EndReason.Downstream);
    await settled();
    expect(seen).toEqual(['reset', 'config']);
    expect(bench.logger.lines).toEqual(['error transformRequest after its stream had ended: Error: in return']);
  });

  it('aborts a TransformStream', async () => {
    let cancelled: unknown;
    const stream = await open(() => ({
      transformRequest: {
        readable: new ReadableStream<Uint8Array>({ cancel: () => undefined }),
        writable: new WritableStream<Uint8Array>({
          abort(reason) {
            cancelled = reason;
          },
        }),
      },
    }));
    stream.request().req('a');
    await settled();
    stream.end(EndReason.Downstream);
    await settled();
    expect(cancelled).toBeInstanceOf(StreamAbortedError);
  });

  it('with a request that the upstream did not read to its end is let go when the response is done', async () => {
    const seen: unknown[] = [];
    const stream = await open(() => ({
      async *transformRequest(body) {
        try {
          for await (const chunk of body) yield chunk;
        } catch (e) {
          seen.push((e as StreamAbortedError).by);
        }
      },
    }));
    stream.request().req('a').response();
    await settled();
    stream.end(EndReason.Complete);
    await settled();
    expect(seen).toEqual(['complete']);
  });
});

describe('calls after the end', () => {
  it('throw, and name themselves', async () => {
    let callbacks: FilterCallbacks | undefined;
    const stream = await open((given) => {
      callbacks = given;
      return {};
    });
    stream.request().end();
    const calls: [string, () => unknown][] = [
      ['sendLocalReply()', () => callbacks!.sendLocalReply(200)],
      ['reply()', () => callbacks!.reply(200, {}, [])],
      ['extendTimeout()', () => callbacks!.extendTimeout(1)],
      ['clearRouteCache()', () => callbacks!.clearRouteCache()],
      ['continue()', () => callbacks!.decoderFilterCallbacks().continue(StatusType.Continue)],
      ['addData()', () => callbacks!.encoderFilterCallbacks().addData('a')],
    ];
    for (const [name, call] of calls) {
      expect(call).toThrow(
        expect.objectContaining({ code: 'TSF_STREAM_ENDED', message: `${name}: the stream has ended` }),
      );
    }
    await expect(callbacks!.getProperty('request.path')).rejects.toMatchObject({ code: 'TSF_STREAM_ENDED' });
    // reading still works
    expect(callbacks!.request.path).toBe('/a?b=1');
    callbacks!.log.info('still here');
    expect(stream.take().slice(1)).toEqual([]);
  });

  it('say where writes belong that somebody is to find, in a line when nobody catches that', async () => {
    const writes: ((callbacks: FilterCallbacks) => void)[] = [
      (callbacks) => callbacks.streamInfo().dynamicMetadata.set('ns', 'k', 1),
      (callbacks) => callbacks.streamInfo().filterState.setString('k', 'v'),
    ];
    for (const write of writes) {
      const stream = await open((callbacks) => ({
        async *transformRequest(body) {
          try {
            for await (const chunk of body) yield chunk;
          } finally {
            write(callbacks);
          }
        },
      }));
      stream.request().req('a');
      await settled();
      stream.end(EndReason.Downstream);
      await settled();
      expect(bench.logger.lines).toEqual([
        expect.stringMatching(
          /^error transformRequest after its stream had ended: FilterError TSF_STREAM_ENDED: .*\(\) in transformRequest: the stream has ended; write it before the yield/,
        ),
      ]);
      expect(stream.take().filter((line) => line.startsWith('act'))).toEqual([]);
    }
  });

  it('reject questions that were not answered', async () => {
    let answer: Promise<unknown> | undefined;
    const stream = await open((callbacks) => ({
      decodeHeaders() {
        answer = callbacks.getProperty('xds.route_name');
      },
    }));
    stream.request();
    const expected = expect(answer).rejects.toBeInstanceOf(StreamAbortedError);
    stream.end(EndReason.Downstream);
    await expected;
  });
});

describe('work that outlives its stream', () => {
  it('is warned about after 30 s, once, unless it settles', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    const stream = await open(() => ({ decodeHeaders: () => new Promise<void>(() => undefined) }));
    stream.request().end(EndReason.Downstream);
    await vi.advanceTimersByTimeAsync(29_000);
    expect(bench.logger.lines).toEqual([]);
    await vi.advanceTimersByTimeAsync(1_001);
    expect(bench.logger.lines).toEqual([
      expect.stringMatching(/^warn decodeHeaders has not settled 30 s after its stream ended/),
    ]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is not warned about when it settled in time', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    let resolve: () => void = () => undefined;
    const stream = await open(() => ({ decodeHeaders: () => new Promise<void>((yes) => (resolve = yes)) }));
    stream.request().end(EndReason.Downstream);
    const { waiting } = (bench.registry as unknown as { linger: { waiting: Map<unknown, unknown> } }).linger;
    expect(waiting.size).toBe(1);
    resolve();
    await vi.advanceTimersByTimeAsync(0);
    expect(waiting.size).toBe(0); // or every stream that was aborted would be kept for half a minute
    await vi.advanceTimersByTimeAsync(31_000);
    expect(bench.logger.lines).toEqual([]);
  });
});

describe('hooks at the end', () => {
  it('see the maps as they were last', async () => {
    const seen: unknown[] = [];
    const stream = await open(() => ({
      encodeHeaders(headers) {
        headers.set('x-mine', '1');
      },
      onLog({ request, response, requestTrailers, responseTrailers }) {
        seen.push(request.path, response?.get('x-mine'), requestTrailers?.get('a'), responseTrailers === undefined);
        seen.push('set' in request);
      },
    }));
    stream.request().req('', 'trailers').trailers(Direction.Request, { a: 'b' }).response().end();
    expect(seen).toEqual(['/a?b=1', '1', 'b', true, false]);
  });

  it('that throw or reject are only logged, and the next ones run', async () => {
    let destroyed = false;
    const stream = await open(() => ({
      onStreamComplete() {
        throw new Error('one');
      },
      onLog: (() => Promise.reject(new Error('two'))) as () => void,
      onDestroy: () => void (destroyed = true),
    }));
    stream.request().end();
    await settled();
    expect(destroyed).toBe(true);
    expect(bench.logger.lines.map((line) => line.slice(-3))).toEqual(['one', 'two']);
  });
});
