import { afterEach, describe, expect, it, vi } from 'vitest';
import { Bench, filterOf, REQUEST, settled, type TestStream } from '../../test/support/recorder.js';
import { type FilterError } from '../api/errors.js';
import { perChunk } from '../api/transform.js';
import { StatusType as S, type StreamFilter } from '../api/types.js';
import type { Chunk, HeaderMap, Transform } from '../api/types-data.js';
import type { FilterCallbacks } from '../api/types-callbacks.js';
import { Direction } from '../base/wire.js';

let bench: Bench | undefined;
afterEach(() => {
  expect(bench?.violations ?? []).toEqual([]);
});

async function open(create: (callbacks: FilterCallbacks) => StreamFilter): Promise<TestStream> {
  bench = await Bench.of(filterOf(create));
  return bench.open();
}

const upper = (chunk: Uint8Array): string => Buffer.from(chunk).toString().toUpperCase();

/** One transform in its three shapes: upper-cases, and ends with a full stop. */
const SHAPES: [string, () => Transform<HeaderMap>][] = [
  [
    'an async generator',
    () =>
      async function* (body) {
        for await (const chunk of body) yield upper(chunk);
        yield '.';
      },
  ],
  ['perChunk', () => perChunk((chunk, last) => upper(chunk) + (last ? '.' : ''))],
  [
    'perChunk with a sync generator',
    () =>
      perChunk(function* (chunk, last) {
        yield upper(chunk);
        if (last) yield '.';
      }),
  ],
  [
    'a TransformStream',
    () =>
      new TransformStream<Uint8Array, Uint8Array>({
        transform(chunk, controller) {
          controller.enqueue(Buffer.from(upper(chunk)));
        },
        flush(controller) {
          controller.enqueue(Buffer.from('.'));
        },
      }),
  ],
];

describe.each(SHAPES)('%s', (_name, make) => {
  it('changes what streams through it', async () => {
    const stream = await open(() => ({ transformRequest: make() }));
    stream.request().req('ab');
    await settled();
    stream.req('cd').req('', 'last');
    await settled();
    expect(stream.sink.body(Direction.Request).toString()).toBe('ABCD.');
    expect(stream.sink.told[0]).toMatchObject({ outstanding: 0, last: true });
  });

  it('gets a whole body as one chunk, and leaves its length to the module', async () => {
    const stream = await open(() => ({ encodeHeaders: () => S.StopAndBuffer, transformResponse: make() }));
    stream.request().response({ ':status': '200', 'content-length': '4' }).take();
    stream.res('ab').res('cd', 'last');
    await settled();
    expect(stream.take()).toEqual(['output Response Last ack 4 "ABCD."']);
  });

  it('works on an empty body', async () => {
    const stream = await open(() => ({ transformRequest: make() }));
    stream.request().req('', 'last');
    await settled();
    expect(stream.take().filter((line) => line !== 'output Request Digested')).toEqual([
      'answer Request Stream []',
      'output Request Last "."',
    ]);
  });

  it('is exact on a large body in odd pieces', async () => {
    const stream = await open(() => ({ transformRequest: make() }));
    stream.request();
    let expected = '';
    for (let i = 0; i < 60; i++) {
      const piece = String.fromCharCode(97 + (i % 26)).repeat(1 + ((i * 7919) % 90_000));
      expected += piece.toUpperCase();
      for (let at = 0; at < piece.length; at += 65_536) stream.req(piece.slice(at, at + 65_536));
      if (i % 3 === 0) await settled();
    }
    stream.req('', 'last');
    await settled();
    await settled();
    const body = stream.sink.body(Direction.Request);
    expect(body.length).toBe(expected.length + 1);
    expect(body.equals(Buffer.from(`${expected}.`))).toBe(true);
    expect(Math.max(...stream.sink.outputs.map(({ bytes }) => bytes.length))).toBeLessThanOrEqual(65_536);
  });

  it('runs before the trailers hook, whose answer comes last', async () => {
    const stream = await open(() => ({
      transformRequest: make(),
      decodeTrailers(trailers) {
        trailers.set('x-t', '2');
      },
    }));
    stream.request().req('ab').req('cd', 'trailers').trailers(Direction.Request, { 'x-t': '1' });
    await settled();
    await settled();
    expect(stream.sink.body(Direction.Request).toString()).toBe('ABCD.');
    expect(stream.take().at(-1)).toBe('answer RequestTrailers Pass [set x-t 2]');
    expect(stream.sink.told[0].last).toBe(true);
  });

  it('waits while the ring is full', async () => {
    const stream = await open(() => ({ transformRequest: make() }));
    let free: () => void = () => undefined;
    stream.sink.room = new Promise((resolve) => (free = resolve));
    stream.request();
    for (let i = 0; i < 9; i++) stream.req('x'.repeat(40_000));
    await settled();
    expect(stream.sink.body(Direction.Request).length).toBeLessThan(200_000);
    stream.sink.room = undefined;
    free();
    await settled();
    stream.req('', 'last');
    await settled();
    await settled();
    expect(stream.sink.body(Direction.Request).toString()).toBe(`${'X'.repeat(360_000)}.`);
  });
});

describe('a perChunk transform', () => {
  it('answers each frame with one frame, at once', async () => {
    const stream = await open(() => ({ transformRequest: perChunk((chunk) => chunk) }));
    stream.request().take();
    stream.req('ab');
    expect(stream.take()).toEqual(['output Request Digested ack 2 "ab"']);
    stream.req('cd', 'last');
    expect(stream.take()).toEqual(['output Request Last ack 2 "cd"']);
  });

  it('may emit nothing', async () => {
    const stream = await open(() => ({ transformRequest: perChunk((_chunk, last) => (last ? 'end' : undefined)) }));
    stream.request().req('ab').req('cd').req('', 'last');
    expect(stream.sink.body(Direction.Request).toString()).toBe('end');
  });

  it.each([
    ['a number', () => 3 as never, 'TSF_CHUNK_INVALID'],
    ['an ArrayBuffer', () => new ArrayBuffer(3) as never, 'TSF_CHUNK_INVALID'],
    ['a promise', () => Promise.reject(new Error('x')) as never, 'TSF_TRANSFORM_INVALID'],
    ['an iterable of numbers', () => [1] as never, 'TSF_CHUNK_INVALID'],
  ])("that emits %s is the author's mistake", async (_name, fn, code) => {
    const stream = await open(() => ({ transformRequest: perChunk(fn) }));
    stream.request().req('ab');
    expect(stream.take().at(-1)).toContain(`fail Request f: transformRequest: FilterError ${code}`);
    await settled();
  });

  it('has the filter as its `this`', async () => {
    class Counting implements StreamFilter {
      bytes = 0;
      readonly transformRequest = perChunk((chunk) => {
        this.bytes += chunk.length;
        return this.bytes.toString();
      });
    }
    const stream = await open(() => new Counting());
    stream.request().req('ab').req('cde', 'last');
    expect(stream.sink.body(Direction.Request).toString()).toBe('25');
  });
});

describe('an async transform', () => {
  it('can break out of the body and go on reading', async () => {
    const stream = await open(() => ({
      async *transformRequest(body) {
        for await (const chunk of body) {
          yield `first:${Buffer.from(chunk).toString()} `;
          break;
        }
        for await (const chunk of body) yield `rest:${Buffer.from(chunk).toString()} `;
      },
    }));
    stream.request().req('a').req('b').req('c', 'last');
    await settled();
    expect(stream.sink.body(Direction.Request).toString()).toBe('first:a rest:b rest:c ');
  });

  it('knows the length that came, although it was removed', async () => {
    let length: number | undefined;
    const stream = await open(() => ({
      async *transformRequest(body) {
        length = body.contentLength;
        yield* body;
      },
    }));
    stream.request({ ...REQUEST, 'content-length': '17' }).req('', 'last');
    await settled();
    expect(length).toBe(17);
  });

  it('may read the trailers before its last output', async () => {
    const stream = await open(() => ({
      async *transformRequest(body, ctx) {
        for await (const chunk of body) yield chunk;
        const trailers = await ctx.trailers;
        yield `|${trailers?.get('x-t') ?? 'none'}`;
      },
    }));
    stream.request().req('ab', 'trailers').trailers(Direction.Request, { 'x-t': 'sum' });
    await settled();
    expect(stream.sink.body(Direction.Request).toString()).toBe('ab|sum');
    const other = bench!.open().request().req('ab', 'last');
    await settled();
    expect(other.sink.body(Direction.Request).toString()).toBe('ab|none');
  });

  it('that returns early ends the body; what comes after is told to be consumed', async () => {
    const stream = await open(() => ({
      async *transformRequest(body) {
        for await (const chunk of body) {
          yield chunk;
          return;
        }
      },
    }));
    stream.request().req('ab').req('cd');
    await settled();
    expect(stream.take()).toEqual([
      'answer Request Stream []',
      'output Request Digested',
      'output Request Last ack 4 "ab"',
    ]);
    stream.req('ef').req('', 'trailers').trailers(Direction.Request, { a: '1' });
    expect(stream.take()).toEqual(['output Request ack 2', 'answer RequestTrailers Pass []']);
  });

  it('that bypasses lets the rest flow past, in order', async () => {
    const stream = await open(() => ({
      async *transformRequest(body, ctx) {
        for await (const chunk of body) {
          yield upper(chunk);
          ctx.bypass();
          return;
        }
      },
    }));
    stream.request().req('ab').req('cd');
    await settled();
    expect(stream.take()).toEqual([
      'answer Request Stream []',
      'output Request Digested',
      'output Request Digested|Bypass ack 4 "ABcd"',
    ]);
    stream.req('ef').req('gh', 'last');
    expect(stream.take()).toEqual(['output Request Digested ack 2 "ef"', 'output Request Last ack 2 "gh"']);
    expect(stream.sink.told[0].outstanding).toBe(0);
  });

  it('that bypasses when all input is here just ends', async () => {
    const stream = await open(() => ({
      async *transformRequest(_body, ctx) {
        yield '>';
        ctx.bypass();
      },
    }));
    stream.request().req('ab');
    stream.req('cd', 'last');
    await settled();
    expect(stream.sink.body(Direction.Request).toString()).toBe('>abcd');
    expect(stream.sink.told[0]).toMatchObject({ outstanding: 0, last: true });
  });

  it.each([
    ['a plain function', () => 'text'],
    [
      'a sync generator',
      function* () {
        yield 'a';
      },
    ],
  ])("that is %s is the author's mistake", async (_name, transform) => {
    const stream = await open(() => ({ transformRequest: transform as never }));
    stream.request().req('a', 'last');
    await settled();
    expect(stream.take().at(-1)).toContain('TSF_TRANSFORM_INVALID');
  });

  it.each([
    [
      'throws',
      async function* () {
        await Promise.resolve();
        yield 'a';
        throw new Error('no');
      },
      'Error: no',
    ],
    [
      'emits a number',
      async function* () {
        yield await Promise.resolve(1);
      },
      'FilterError TSF_CHUNK_INVALID',
    ],
  ])('that %s fails the stream', async (_name, transform, text) => {
    const stream = await open(() => ({ transformRequest: transform as never }));
    stream.request().req('a', 'last');
    await settled();
    expect(stream.take().at(-1)).toContain(`fail Request f: transformRequest: ${text}`);
    expect(bench!.logger.lines).toEqual([expect.stringMatching(`^error transformRequest: ${text}`)]);
  });

  it('that is done before its body: whoever reads it elsewhere comes to its end', async () => {
    let read: Promise<unknown> | undefined;
    const stream = await open(() => ({
      async *transformRequest(body) {
        read = body[Symbol.asyncIterator]().next();
        yield await Promise.resolve('all');
      },
    }));
    stream.request();
    await settled();
    expect(await Promise.race([read, Promise.resolve('never')])).toEqual({ value: undefined, done: true });
  });

  it('that fails: whoever reads its body elsewhere hears of it', async () => {
    let read: Promise<unknown> | undefined;
    const stream = await open(() => ({
      // eslint-disable-next-line require-yield -- it fails before
      async *transformRequest(body) {
        read = body[Symbol.asyncIterator]()
          .next()
          .catch((e: unknown) => e);
        await Promise.resolve();
        throw new Error('no');
      },
    }));
    stream.request();
    await settled();
    expect(await Promise.race([read, Promise.resolve('never')])).toMatchObject({
      code: 'TSF_STREAM_ABORTED',
      by: 'local_reply',
    });
  });

  it('runs its finally when what it emits is refused', async () => {
    let cleaned = false;
    const stream = await open(() => ({
      async *transformRequest() {
        try {
          yield await Promise.resolve({} as Chunk);
        } finally {
          cleaned = true;
        }
      },
    }));
    stream.request().req('a', 'last');
    await settled();
    expect(cleaned).toBe(true);
  });

  it.each(['streamed', 'whole'])('may change the memory that it emitted at its next step (%s)', async (how) => {
    const stream = await open(() => ({
      decodeHeaders: () => (how === 'whole' ? S.StopAndBuffer : S.Continue),
      async *transformRequest(body) {
        const scratch = new Uint8Array(1);
        for await (const chunk of body) {
          for (const byte of chunk) {
            scratch[0] = byte;
            yield scratch;
          }
        }
      },
    }));
    stream.request().req('abc').req('def', 'last');
    await settled();
    expect(stream.sink.body(Direction.Request).toString()).toBe('abcdef');
  });

  it("rejects the author's read when a TransformStream is used for two streams", async () => {
    const shared = new TransformStream<Uint8Array, Uint8Array>();
    const stream = await open(() => ({ transformRequest: shared }));
    const other = bench!.open();
    stream.request().req('a');
    await settled();
    other.request().req('a');
    await settled();
    expect(other.take().at(-1)).toContain('TSF_TRANSFORM_INVALID');
  });

  it('may be a web stream that is no TransformStream', async () => {
    const stream = await open(() => ({
      transformRequest: new CompressionStream('gzip') as unknown as TransformStream<Uint8Array, Uint8Array>,
    }));
    stream.request().req('hello hello hello', 'last');
    const { gunzipSync } = await import('node:zlib');
    await vi.waitFor(() =>
      expect(gunzipSync(stream.sink.body(Direction.Request)).toString()).toBe('hello hello hello'),
    );
  });

  it('both directions run at once', async () => {
    const stream = await open(() => ({
      async *transformRequest(body) {
        for await (const chunk of body) yield upper(chunk);
      },
      async *transformResponse(body) {
        for await (const chunk of body) yield `<${upper(chunk)}>`;
      },
    }));
    stream.request().response().req('a').res('b').req('c').res('d', 'last').req('', 'last');
    await settled();
    expect(stream.sink.body(Direction.Request).toString()).toBe('AC');
    expect(stream.sink.body(Direction.Response).toString()).toBe('<B><D>');
  });

  it('with headers that stop holds them, writable, until the first output', async () => {
    const codes: unknown[] = [];
    const stream = await open(() => ({
      encodeHeaders: () => S.StopAndBufferWatermark,
      async *transformResponse(body, ctx) {
        for await (const chunk of body) {
          try {
            ctx.headers.set('x-first', Buffer.from(chunk).toString());
          } catch (e) {
            codes.push((e as FilterError).code);
          }
          yield chunk;
        }
      },
    }));
    stream.request().response();
    stream.res('a');
    await settled();
    stream.res('b', 'last');
    await settled();
    expect(stream.take()).toEqual([
      'answer Request Pass []',
      'answer Response StreamHold []',
      'output Response Digested',
      'ops Response [set x-first a]',
      'output Response Digested ack 1 "a"',
      'output Response Last ack 1 "b"',
    ]);
    expect(codes).toEqual(['TSF_HEADERS_SENT']);
  });
});
