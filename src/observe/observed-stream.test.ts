/** A stream with `observe_only`: the filter has its usual life, nothing of what it makes goes out, and it may take longer. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Bench, filterOf, settled, type TestStream } from '../../test/support/recorder.js';
import type { FilterCallbacks } from '../api/types-callbacks.js';
import { StatusType, type StreamFilter } from '../api/types.js';
import type { BodyStream } from '../api/types-data.js';
import { Direction, EndReason, LogKind } from '../base/wire.js';
import { MOST_SURVIVORS, SURVIVAL_MS, Survivors } from './survivors.js';

const text = async (body: BodyStream): Promise<string> => {
  let all = '';
  for await (const chunk of body) all += Buffer.from(chunk).toString('latin1');
  return all;
};

/** A filter, and what it saw, in its order. */
async function watching(
  make: (seen: string[], callbacks: FilterCallbacks) => StreamFilter,
  window = 256 * 1024,
): Promise<{ seen: string[]; open: () => TestStream }> {
  const seen: string[] = [];
  const filter = filterOf((callbacks) => {
    callbacks.signal.addEventListener('abort', () =>
      seen.push(`aborted ${(callbacks.signal.reason as { by: string }).by}`),
    );
    return {
      onDestroy: (reason) => void seen.push(reason),
      ...make(seen, callbacks),
    };
  });
  const bench = await Bench.of(filter, { observed: true, rules: { streamWindow: window } });
  return { seen, open: () => bench.open() };
}

/** A hook that settles when the test says so. */
function gate(): { readonly passed: Promise<void>; open(): void } {
  let open!: () => void;
  const passed = new Promise<void>((resolve) => (open = resolve));
  return { passed, open };
}

describe('what goes out', () => {
  it('is what the module needs to know: modes, what is consumed, and where the filter takes no more', async () => {
    const { open } = await watching(() => ({
      decodeHeaders: (headers) => void headers.set('a', 'b'),
      async *transformRequest(body) {
        for await (const chunk of body) {
          yield chunk;
          yield 'more';
        }
        yield 'last';
      },
      encodeHeaders: (headers) => void headers.set('a', 'b'),
    }));
    const stream = open().request().req('one').req('two', 'last');
    await settled();
    stream.response().res('past');
    await settled();
    const lines = stream.take();
    expect(lines[0]).toBe('answer Request Stream []');
    expect(lines.filter((line) => line.includes('"'))).toEqual([]);
    expect(stream.sink.told[Direction.Request].outstanding).toBe(0);
    expect(lines.some((line) => line.startsWith('output Request Last'))).toBe(true);
    expect(lines.at(-1)).toBe('answer Response Pass []');
    expect(stream.sink.violations).toEqual([]);
  });

  it('a reply and a failure, as words only', async () => {
    const reply = await watching((_seen, callbacks) => ({
      decodeHeaders: () => callbacks.sendLocalReply(403, { headers: { a: 'b' }, body: 'no' }),
    }));
    const one = reply.open().request({ ':method': 'GET', ':path': '/' }, true);
    expect(one.take()).toEqual(['localReply 403 grpc -1 "" [] ""']);
    one.end(EndReason.LocalReply);
    expect(reply.seen).toEqual(['complete']);

    const fault = await watching(() => ({
      decodeHeaders() {
        throw new Error('on purpose');
      },
    }));
    const two = fault.open().request();
    expect(two.take()).toEqual([expect.stringContaining('on purpose')]);
    two.end(EndReason.LocalReply);
    expect(fault.seen).toEqual(['aborted local_reply', 'reset']);
  });

  it('nothing that changes the stream; metrics do not need one', async () => {
    const { open } = await watching((_seen, callbacks) => ({
      decodeHeaders() {
        callbacks.streamInfo().dynamicMetadata.set('a', 'b', 'c');
        callbacks.streamInfo().filterState.setString('a', 'b');
        callbacks.clearRouteCache();
        callbacks.log.info('a line');
      },
    }));
    expect(open().request().take()).toEqual(['log 2 f: a line', 'answer Request Pass []']);
  });
});

describe('in its order', () => {
  it('the response waits until the request has been let go', async () => {
    const held = gate();
    const { seen, open } = await watching((all) => ({
      async decodeHeaders() {
        await held.passed;
        all.push('decoded');
      },
      encodeHeaders: () => void all.push('encoded'),
    }));
    open().request({ ':method': 'GET', ':path': '/' }, true).response();
    await settled();
    expect(seen).toEqual([]);
    held.open();
    await settled();
    expect(seen).toEqual(['decoded', 'encoded']);
  });

  it('and until there is output where the filter holds it for the body', async () => {
    const { seen, open } = await watching((all) => ({
      decodeHeaders: () => StatusType.StopAndBuffer,
      async *transformRequest(body) {
        all.push(await text(body));
        yield 'done';
      },
      encodeHeaders: () => void all.push('encoded'),
    }));
    const stream = open().request().req('one ').response();
    await settled();
    expect(seen).toEqual([]);
    stream.req('two', 'last');
    await settled();
    expect(seen).toEqual(['one two', 'encoded']);
  });

  it('a body is given as far as its window', async () => {
    const held = gate();
    const { seen, open } = await watching(
      (all) => ({
        async decodeData(data) {
          await held.passed;
          all.push(String(data.length));
        },
      }),
      10,
    );
    const stream = open().request();
    for (let i = 0; i < 5; i++) stream.req('12345');
    stream.req('', 'last');
    await settled();
    expect(stream.sink.told[Direction.Request].outstanding).toBe(25);
    held.open();
    await settled();
    expect(stream.sink.told[Direction.Request].outstanding).toBe(0);
    expect(seen.map(Number).reduce((sum, n) => sum + n, 0)).toBe(25);
    expect(stream.sink.violations).toEqual([]);
  });
});

describe('behind the end', () => {
  it('the filter goes on with what it has, and then its last hooks run', async () => {
    const held = gate();
    const { seen, open } = await watching((all) => ({
      decodeHeaders: () => held.passed,
      async *transformRequest(body) {
        all.push(`request ${await text(body)}`);
        yield 'x';
      },
      decodeTrailers: (trailers) => void all.push(`trailer ${trailers.get('t') ?? ''}`),
      async *transformResponse(body) {
        all.push(`response ${await text(body)}`);
        yield 'x';
      },
      onLog: () => void all.push('log'),
    }));
    const stream = open().request().req('one').trailers(Direction.Request, { t: '1' }).response().res('two', 'last');
    stream.source.onLogRun(LogKind.End, new Uint8Array(0));
    stream.end();
    await settled();
    expect(seen).toEqual([]);
    held.open();
    await settled();
    expect(seen.slice(0, 3).sort()).toEqual(['request one', 'response two', 'trailer 1']);
    expect(seen.slice(3)).toEqual(['log', 'complete']);
    expect(stream.sink.violations).toEqual([]);
  });

  it('one that is through ends at once', async () => {
    const { seen, open } = await watching(() => ({ decodeHeaders() {}, encodeHeaders() {} }));
    open().request({ ':method': 'GET', ':path': '/' }, true).response({ ':status': '200' }, true).end();
    expect(seen).toEqual(['complete']);
    await settled();
    expect(seen).toEqual(['complete']);
  });

  it.each([EndReason.Downstream, EndReason.Dropped, EndReason.HostDrain])(
    'any other end (%s) is heard at once',
    async (reason) => {
      const { seen, open } = await watching(() => ({ decodeHeaders: () => new Promise<void>(() => undefined) }));
      open().request().end(reason);
      expect(seen[0]).toMatch(/^aborted (downstream|dropped|host_drain)$/);
      expect(seen).toHaveLength(2);
    },
  );

  it('a request that never ends is not waited for', async () => {
    const { seen, open } = await watching(() => ({
      async *transformRequest(body) {
        yield* body;
      },
    }));
    open().request().req('some').response({ ':status': '200' }, true).end();
    await settled();
    expect(seen).toEqual(['aborted complete', 'complete']);
  });

  it('a reply and a failure end it there', async () => {
    for (const [act, end] of [
      ['reply', 'complete'],
      ['fail', 'reset'],
    ] as const) {
      const held = gate();
      const { seen, open } = await watching((_seen, callbacks) => ({
        async decodeHeaders() {
          await held.passed;
          if (act === 'reply') return callbacks.sendLocalReply(403, {});
          throw new Error('on purpose');
        },
      }));
      open().request({ ':method': 'GET', ':path': '/' }, true).response({ ':status': '200' }, true).end();
      held.open();
      await settled();
      expect(seen.at(-1)).toBe(end);
    }
  });

  it('questions have no answer, and calls fail', async () => {
    const held = gate();
    const { seen, open } = await watching((all, callbacks) => ({
      async decodeHeaders() {
        const code = (error: { code?: string }): string => error.code ?? String(error);
        const early = callbacks.getProperty('request.host').catch(code);
        await held.passed;
        all.push(await early);
        all.push(await callbacks.getProperty('request.host').catch(code));
        all.push(await callbacks.httpCall('cluster', { path: '/' }).then(() => 'answered', code));
      },
    }));
    const stream = open().request({ ':method': 'GET', ':path': '/' }, true);
    expect(stream.take()).toEqual([expect.stringContaining('query 1 Attribute')]);
    stream.response({ ':status': '200' }, true).end();
    held.open();
    await settled();
    expect(seen).toEqual(['TSF_PROPERTY_NOT_FOUND', 'TSF_PROPERTY_NOT_FOUND', 'TSF_CALL_FAILED', 'complete']);
  });
});

describe('survivors', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('last for a while, and no longer', async () => {
    const { seen, open } = await watching(() => ({ decodeHeaders: () => new Promise<void>(() => undefined) }));
    open().request({ ':method': 'GET', ':path': '/' }, true).response({ ':status': '200' }, true).end();
    vi.advanceTimersByTime(SURVIVAL_MS - 1000);
    expect(seen).toEqual([]);
    vi.advanceTimersByTime(2000);
    expect(seen).toEqual(['aborted timeout', 'reset']);
  });

  it('are not more than so many, which is said once', () => {
    const lines: string[] = [];
    const logger = { warn: (_fields: object, message = '') => void lines.push(message) } as never;
    const survivors = new Survivors({
      logger,
      now: () => 0,
      setTimeout: () => 0,
      clearTimeout: () => undefined,
    } as never);
    const ended: EndReason[] = [];
    const one = (): { end(reason: EndReason): void } => ({ end: (reason) => void ended.push(reason) });
    for (let i = 0; i < MOST_SURVIVORS; i++) expect(survivors.add(one())).toBe(true);
    expect([survivors.add(one()), survivors.add(one())]).toEqual([false, false]);
    expect(lines).toHaveLength(1);
    survivors.dispose();
    expect(ended).toHaveLength(MOST_SURVIVORS);
    expect(new Set(ended)).toEqual(new Set([EndReason.HostDrain]));
  });
});

it('a response that begins anew is asked for anew, and what the old one had is acknowledged', async () => {
  const { seen, open } = await watching((all) => ({
    async *transformResponse(body) {
      for await (const chunk of body) {
        all.push(Buffer.from(chunk).toString('latin1'));
        yield chunk;
      }
    },
  }));
  const stream = open().request().response().res('old');
  await settled();
  stream.response({ ':status': '503' }).res('new', 'last');
  await settled();
  expect(seen).toEqual(['old', 'new']);
  expect(stream.sink.told[Direction.Response].outstanding).toBe(0);
});
