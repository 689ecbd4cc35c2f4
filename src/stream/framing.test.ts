/** Lengths that filters promise, and what replies say of their bodies. */
import { afterEach, describe, expect, it } from 'vitest';
import { Bench, filterOf, REQUEST, RESPONSE, settled } from '../../test/support/recorder.js';
import { sameLength } from '../api/same-length.js';
import { perChunk } from '../api/transform.js';
import { StatusType, type StreamFilter } from '../api/types.js';
import type { FilterCallbacks } from '../api/types-callbacks.js';
import type { Chunk, HeaderInit } from '../api/types-data.js';
import { markAsItCame } from '../headers/reply-headers.js';

let bench: Bench | undefined;
afterEach(() => {
  expect(bench?.violations ?? []).toEqual([]);
});

async function open(create: (callbacks: FilterCallbacks) => StreamFilter, options = {}) {
  bench = await Bench.of(filterOf(create), options);
  return bench.open();
}

const FOUR = { ...REQUEST, 'content-length': '4' };
const wrong = (lines: readonly string[]): string | undefined =>
  lines.find((line) => line.startsWith('fail '))?.match(/TSF_\w+/)?.[0];

describe('sameLength', () => {
  const upper = (chunk: Uint8Array): string => Buffer.from(chunk).toString().toUpperCase();
  const styles: Record<string, (make: (chunk: Uint8Array, last: boolean) => Chunk) => StreamFilter> = {
    perChunk: (make) => ({ transformRequest: perChunk(make, { sameLength: true }) }),
    'a data hook': (make) => ({
      decodeData: sameLength((data, endStream) => {
        data.set(make(data.bytes(), endStream));
      }),
    }),
  };
  describe.each(Object.keys(styles))('of %s', (name) => {
    const style = styles[name]!;

    it('keeps the length of a body that streams', async () => {
      const stream = await open(() => style(upper));
      expect(stream.request(FOUR).take()[0]).toBe('answer Request Stream [set content-length 4]');
      expect(stream.req('ab').req('cd', 'last').take().join()).toContain('"CD"');
      expect(Buffer.from(stream.sink.body(0)).toString()).toBe('ABCD');
    });

    it('says nothing where none came', async () => {
      const stream = await open(() => style(upper));
      expect(stream.request().take()[0]).toBe('answer Request Stream []');
      stream.req('abcd', 'last');
      expect(wrong(stream.take())).toBeUndefined();
    });

    it('fails a body that grows, before what is too much goes on', async () => {
      const stream = await open(() => style((chunk) => upper(chunk) + '!'));
      stream.request(FOUR).req('abcd');
      expect(wrong(stream.take())).toBe('TSF_LENGTH_WRONG');
      expect(Buffer.from(stream.sink.body(0)).toString()).toBe('');
    });

    it.each([FOUR, REQUEST])('fails one that shrinks, at its end', async (headers) => {
      const stream = await open(() => style((chunk) => chunk.subarray(1)));
      stream.request(headers).req('ab');
      expect(wrong(stream.take())).toBeUndefined();
      stream.req('cd', 'last');
      expect(wrong(stream.take())).toBe('TSF_LENGTH_WRONG');
    });
  });

  it('counts what was added before', async () => {
    const stream = await open((callbacks) => ({
      decodeHeaders: () => callbacks.decoderFilterCallbacks().addData('+++'),
      transformRequest: perChunk((chunk) => chunk, { sameLength: true }),
    }));
    expect(stream.request(FOUR).take()[1]).toBe('answer Request Stream [set content-length 7]');
    expect(wrong(stream.req('abcd', 'last').take())).toBeUndefined();
  });

  it('keeps the this of a hook', async () => {
    class Meter {
      bytes = 0;
      decodeData = sameLength((data) => {
        this.bytes += data.length;
      });
    }
    const meter = new Meter();
    const stream = await open(() => meter);
    stream.request().req('abc', 'last');
    expect(meter.bytes).toBe(3);
  });
});

describe('a length that the filter writes', () => {
  const writes = (length: string, rest: StreamFilter = {}): StreamFilter => ({
    ...rest,
    decodeHeaders(headers) {
      headers.set('content-length', length);
    },
  });
  const grow = perChunk((chunk, last) => (last ? [chunk, '!'] : chunk));

  it('is kept where it is right', async () => {
    const stream = await open(() => writes('5', { transformRequest: grow }));
    expect(stream.request(FOUR).take()[0]).toBe('answer Request Stream [set content-length 5]');
    expect(wrong(stream.req('abcd', 'last').take())).toBeUndefined();
  });

  it.each(['4', '6'])('is refused where it is not: %s', async (length) => {
    const stream = await open(() => writes(length, { transformRequest: grow }));
    expect(wrong(stream.request(FOUR).req('abcd', 'last').take())).toBe('TSF_LENGTH_WRONG');
    expect(bench!.logger.lines.join()).toContain('leave content-length alone');
  });

  it('of a body that the filter does not see is held against the one that came', async () => {
    expect((await open(() => writes('4'))).request(FOUR).take()).toEqual([
      'answer Request Pass [set content-length 4]',
    ]);
    expect(wrong((await open(() => writes('5'))).request(FOUR).take())).toBe('TSF_LENGTH_WRONG');
    expect(wrong((await open(() => writes('5'))).request(REQUEST, true).take())).toBe('TSF_LENGTH_WRONG');
  });

  it('or, where none came, the body goes through the filter to be counted', async () => {
    const stream = await open(() => writes('4'));
    expect(stream.request().take()[0]).toBe('answer Request Stream [set content-length 4]');
    expect(wrong(stream.req('abc', 'last').take())).toBe('TSF_LENGTH_WRONG');
  });

  it('of a whole body is held against what it becomes', async () => {
    const whole = (length: string): StreamFilter => ({
      transformRequest: grow,
      decodeHeaders(headers) {
        headers.set('content-length', length);
        return StatusType.StopAndBuffer;
      },
    });
    expect(wrong((await open(() => whole('5'))).request(FOUR).req('abcd', 'last').take())).toBeUndefined();
    expect(wrong((await open(() => whole('4'))).request(FOUR).req('abcd', 'last').take())).toBe('TSF_LENGTH_WRONG');
  });

  it('is a number', async () => {
    const stream = await open(() => writes('four'));
    expect(wrong(stream.request(FOUR).take())).toBe('TSF_HEADER_INVALID');
  });

  it('of an answer without a body is that of another body', async () => {
    const filter = (): StreamFilter => ({ encodeHeaders: (headers) => void headers.set('content-length', '99') });
    const stream = await open(filter, { head: true });
    stream.request().response(RESPONSE);
    expect(stream.take().at(-1)).toBe('answer Response Pass [set content-length 99]');
  });

  it('and a transform that lets go: the rest counts', async () => {
    const bypassing = (length: string): StreamFilter =>
      writes(length, {
        // eslint-disable-next-line require-yield -- it lets go of all of it
        async *transformRequest(_body, ctx) {
          await Promise.resolve();
          ctx.bypass();
        },
      });
    const run = async (length: string, headers: typeof REQUEST): Promise<string[]> => {
      const stream = await open(() => bypassing(length));
      stream.request(headers);
      await settled();
      const lines = stream.take();
      // one that nothing can be held against still goes through, to be counted
      if (!lines.join().includes('Bypass') && wrong(lines) === undefined) stream.req('ab').req('cd', 'last');
      return [...lines, ...stream.take()];
    };
    expect((await run('4', FOUR)).at(-1)).toBe('output Request Digested|Bypass');
    expect(wrong(await run('5', FOUR))).toBe('TSF_LENGTH_WRONG');
    expect(wrong(await run('4', REQUEST))).toBeUndefined();
    expect(wrong(await run('5', REQUEST))).toBe('TSF_LENGTH_WRONG');
  });
});

describe('a streamed reply', () => {
  const FETCHED = { 'content-encoding': 'gzip', 'content-length': '31', 'transfer-encoding': 'chunked', 'x-a': '1' };
  async function reply(
    headers: HeaderInit,
    body: AsyncIterable<Chunk> | Iterable<Chunk> | null,
    { status = 200, head = false } = {},
  ): Promise<string[]> {
    const stream = await open((callbacks) => ({ decodeHeaders: () => callbacks.reply(status, headers, body) }), {
      head,
    });
    stream.request();
    await settled();
    return stream.take();
  }

  it('of a fetch loses what its body had before it was decoded', async () => {
    for (const headers of [new Headers(FETCHED), (await fetch('data:text/plain,abc')).headers]) {
      const [first] = await reply(headers, new Response('abc').body);
      expect(first).not.toMatch(/content-encoding|content-length|transfer-encoding/);
    }
    expect((await reply(new Headers(FETCHED), ['abc']))[0]).toBe(
      'replyHeaders [:status: 200, x-a: 1, content-length: 3]',
    );
  });

  it('of a call to a cluster keeps them: its body is as it came', async () => {
    const called = new Response('x'.repeat(31), { headers: FETCHED });
    markAsItCame(called);
    const [first] = await reply(called.headers, called.body);
    expect(first).toContain('content-encoding: gzip');
    expect(first).toContain('content-length: 31');
    expect(first).not.toContain('transfer-encoding');
    const [mapped] = await reply(called.headers, (async function* () {})());
    expect(mapped).toContain('content-encoding: gzip');
    expect(mapped).not.toContain('content-length');
  });

  it("with the filter's own headers keeps them", async () => {
    const [first] = await reply({ ...FETCHED, 'content-length': '2' }, ['ab']);
    expect(first).toBe('replyHeaders [:status: 200, content-encoding: gzip, content-length: 2, x-a: 1]');
  });

  it('has no body where there is none', async () => {
    const calls: string[] = [];
    const over = (call: string): Promise<IteratorReturnResult<undefined>> => {
      calls.push(call);
      return Promise.resolve({ done: true, value: undefined });
    };
    const body: AsyncIterable<Chunk> = {
      [Symbol.asyncIterator]: () => ({
        next: () => over('next'),
        return: () => over('return'),
      }),
    };
    for (const [status, head] of [
      [204, false],
      [304, false],
      [200, true],
    ] as const) {
      calls.length = 0;
      expect(await reply({}, body, { status, head })).toEqual([`replyHeaders [:status: ${String(status)}] end`]);
      expect(calls).toEqual(['return']);
    }
    expect(await reply({}, null)).toEqual(['replyHeaders [:status: 200, content-length: 0] end']);
    expect(await reply(new Headers(FETCHED), null, { head: true })).toEqual([
      'replyHeaders [:status: 200, content-encoding: gzip, content-length: 31, x-a: 1] end',
    ]);
  });

  it('whose length is wrong is broken', async () => {
    async function* two(): AsyncGenerator<Chunk> {
      yield 'ab';
      await Promise.resolve();
      yield 'cd';
    }
    expect(wrong(await reply({ 'content-length': '4' }, two()))).toBeUndefined();
    const over = await reply({ 'content-length': '3' }, two());
    expect(wrong(over)).toBe('TSF_LENGTH_WRONG');
    expect(over.filter((line) => line.startsWith('replyData'))).toEqual(['replyData "ab"']);
    expect(wrong(await reply({ 'content-length': '5' }, two()))).toBe('TSF_LENGTH_WRONG');
    expect(wrong(await reply({ 'content-length': '5' }, ['ab']))).toBe('TSF_LENGTH_WRONG');
  });

  it('that is whole loses the encoding of a fetch, too', async () => {
    const whole = async (headers: HeaderInit): Promise<string[]> => {
      const stream = await open((callbacks) => ({
        decodeHeaders: () => callbacks.sendLocalReply(200, { headers, body: 'abc' }),
      }));
      return stream.request().take();
    };
    expect(await whole(new Headers(FETCHED))).toEqual(['localReply 200 grpc -1 "" [x-a: 1] "abc"']);
    expect((await whole(FETCHED))[0]).toContain('content-encoding: gzip');
  });
});
