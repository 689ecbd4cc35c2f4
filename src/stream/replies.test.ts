import { afterEach, describe, expect, it } from 'vitest';
import { Bench, filterOf, REQUEST, settled, type TestStream } from '../../test/support/recorder.js';
import { perChunk } from '../api/transform.js';
import { StatusType as S, type StreamFilter } from '../api/types.js';
import type { FilterCallbacks } from '../api/types-callbacks.js';
import { Direction, EndReason } from '../base/wire.js';

let bench: Bench;
afterEach(() => {
  expect(bench.violations).toEqual([]);
});

async function open(create: (callbacks: FilterCallbacks) => StreamFilter, options = {}): Promise<TestStream> {
  bench = await Bench.of(filterOf(create), options);
  return bench.open();
}

const code = (call: () => unknown): string => {
  try {
    call();
    return 'nothing thrown';
  } catch (e) {
    return (e as { code: string }).code;
  }
};

describe('a whole body over max_body_bytes', () => {
  it('is answered with 413 through the own encode hooks', async () => {
    const stream = await open(() => ({
      decodeHeaders: () => S.StopAndBuffer,
      encodeData: (data) => {
        data.set(data.text().toUpperCase());
      },
    }));
    stream.request().take();
    stream.source.onBodyTooLarge(Direction.Request);
    await settled();
    expect(stream.take()).toEqual([
      'localReply 413 grpc -1 "ts_filter_body_too_large" [content-type: text/plain] "PAYLOAD TOO LARGE"',
    ]);
  });
});

describe('sendLocalReply', () => {
  it('goes at once when the filter has no encode hooks', async () => {
    const stream = await open((callbacks) => ({
      decodeHeaders: () =>
        callbacks.sendLocalReply(403, {
          body: 'no\n',
          headers: [
            ['x-a', '1'],
            ['x-a', '2'],
            ['x-empty', ''],
          ],
          grpcStatus: 7,
          details: 'denied',
        }),
    }));
    expect(stream.request().take()).toEqual(['localReply 403 grpc 7 "denied" [x-a: 1, x-a: 2] "no\\n"']);
    expect(bench.logger.lines).toEqual([]);
  });

  it.each([
    ['decodeHeaders', 'sync', (stream: TestStream) => stream.request()],
    ['decodeHeaders', 'async', (stream: TestStream) => stream.request()],
    ['decodeData', 'sync', (stream: TestStream) => stream.request().req('a')],
    ['decodeData', 'async', (stream: TestStream) => stream.request().req('a')],
    [
      'decodeTrailers',
      'sync',
      (stream: TestStream) => stream.request().req('', 'trailers').trailers(Direction.Request, { a: '1' }),
    ],
    [
      'decodeTrailers',
      'async',
      (stream: TestStream) => stream.request().req('', 'trailers').trailers(Direction.Request, { a: '1' }),
    ],
  ])("from %s, %s, passes the filter's own encode hooks once", async (phase, when, play) => {
    const order: string[] = [];
    const stream = await open((callbacks) => ({
      [phase]: async_(when, () => {
        const status = callbacks.sendLocalReply(403, { body: `forbidden in ${phase}`, headers: { 'x-a': ['1', '2'] } });
        order.push('hook ends');
        return status;
      }),
      encodeHeaders(headers, endStream) {
        order.push('encodeHeaders');
        headers.set(
          'x-seen',
          `${String(headers.status)} ${headers.get('content-length') ?? ''} ${headers.get('content-type') ?? ''} ${String(endStream)}`,
        );
        headers.status = 418;
      },
      encodeData(data, endStream) {
        order.push('encodeData');
        data.set(data.text().toUpperCase() + String(endStream));
      },
    }));
    play(stream);
    await settled();
    expect(order).toEqual(['hook ends', 'encodeHeaders', 'encodeData']);
    const body = `FORBIDDEN IN ${phase.toUpperCase()}true`;
    const length = `forbidden in ${phase}`.length;
    expect(stream.take().at(-1)).toBe(
      `localReply 418 grpc -1 "" [content-type: text/plain, x-a: 1, x-a: 2, x-seen: 403 ${String(length)} text/plain false] "${body}"`,
    );
    stream.req('late').end(EndReason.LocalReply);
  });

  it.each([
    ['perChunk', () => perChunk((chunk) => Buffer.from(chunk).toString().toUpperCase())],
    [
      'a generator',
      () =>
        async function* (body: AsyncIterable<Uint8Array>) {
          for await (const chunk of body) yield Buffer.from(chunk).toString().toUpperCase();
          yield '!';
        },
    ],
  ])('passes transformResponse, %s', async (_name, make) => {
    const stream = await open((callbacks) => ({
      decodeHeaders: () => callbacks.sendLocalReply(403, { body: 'x'.repeat(100_000) }),
      transformResponse: make(),
    }));
    stream.request();
    await settled();
    await settled();
    expect(stream.take()).toEqual([expect.stringMatching(/^localReply 403 .* \(10000[01] bytes\)$/)]);
  });

  it('without a body passes encodeHeaders with endStream', async () => {
    const seen: unknown[] = [];
    const stream = await open((callbacks) => ({
      decodeHeaders: () => callbacks.sendLocalReply(204),
      encodeHeaders(headers, endStream) {
        seen.push(endStream, [...headers]);
        callbacks.encoderFilterCallbacks().addData('added');
      },
      encodeData: () => void seen.push('data'),
    }));
    expect(stream.request().take()).toEqual(['localReply 204 grpc -1 "" [] ""']);
    expect(seen).toEqual([true, [[':status', '204']]]);
  });

  it('can be replaced by one from its own encode hooks, which goes as it is', async () => {
    const stream = await open((callbacks) => ({
      decodeHeaders: () => callbacks.sendLocalReply(403, { body: 'first' }),
      encodeHeaders: () => callbacks.sendLocalReply(500, { body: 'second' }),
    }));
    stream.request();
    await settled();
    expect(stream.take()).toEqual(['localReply 500 grpc -1 "" [] "second"']);
  });

  it('from an encode hook goes as it is', async () => {
    const stream = await open((callbacks) => ({
      async encodeHeaders() {
        await Promise.resolve();
        return callbacks.sendLocalReply(502, { body: 'bad upstream' });
      },
    }));
    stream.request().response().take();
    await settled();
    expect(stream.take()).toEqual(['localReply 502 grpc -1 "" [] "bad upstream"']);
  });

  it('may come long after Running', async () => {
    let callbacks: FilterCallbacks | undefined;
    const stream = await open((given) => {
      callbacks = given;
      return {
        decodeHeaders: () => S.Running,
        encodeHeaders: (headers) => void headers.set('x-own', '1'),
      };
    });
    stream.request();
    await settled();
    expect(callbacks!.sendLocalReply(429)).toBe(S.LocalReply);
    await settled();
    expect(stream.take()).toEqual(['localReply 429 grpc -1 "" [x-own: 1] ""']);
    expect(code(() => callbacks!.decoderFilterCallbacks().continue(S.Continue))).toBe('TSF_ALREADY_REPLIED');
  });

  it('from inside a transform ends the stream there', async () => {
    let cleaned = false;
    const stream = await open((callbacks) => ({
      async *transformRequest(body) {
        for await (const chunk of body) {
          callbacks.sendLocalReply(413, { body: 'too much' });
          try {
            yield chunk;
          } finally {
            cleaned = true;
          }
        }
      },
    }));
    stream.request().req('a').req('b', 'last');
    await settled();
    expect(stream.take().slice(2)).toEqual(['localReply 413 grpc -1 "" [] "too much"']);
    expect(cleaned).toBe(true);
  });

  it('stands when the hook then throws: that is only logged', async () => {
    const stream = await open((callbacks) => ({
      decodeHeaders() {
        callbacks.sendLocalReply(403);
        throw new Error('afterwards');
      },
    }));
    expect(stream.request().take()).toEqual(['localReply 403 grpc -1 "" [] ""']);
    expect(bench.logger.lines).toHaveLength(1);
  });

  it('fails the stream when its own encode hooks throw', async () => {
    const stream = await open((callbacks) => ({
      decodeHeaders: () => callbacks.sendLocalReply(403),
      encodeHeaders() {
        throw new Error('no');
      },
    }));
    expect(stream.request().take()).toEqual(['fail Request f: encodeHeaders: Error: no']);
  });

  it('refuses a second one, one that is too late, and bad values', async () => {
    const codes: string[] = [];
    const stream = await open((callbacks) => ({
      decodeHeaders() {
        for (const status of [99, 199, 600, 200.5, NaN]) codes.push(code(() => callbacks.sendLocalReply(status)));
        codes.push(code(() => callbacks.sendLocalReply(200, { grpcStatus: 17 })));
        codes.push(code(() => callbacks.sendLocalReply(200, { details: 'a\nb' })));
        codes.push(code(() => callbacks.sendLocalReply(200, { headers: { 'x a': '1' } })));
        codes.push(code(() => callbacks.sendLocalReply(200, { headers: { 'x-a': 'a\nb' } })));
        codes.push(code(() => callbacks.sendLocalReply(200, { headers: { ':status': '201' } })));
        codes.push(code(() => callbacks.sendLocalReply(200, { body: 1 as never })));
      },
      encodeTrailers() {
        codes.push(code(() => callbacks.sendLocalReply(500)));
      },
    }));
    const reply = 'TSF_REPLY_INVALID';
    stream.request().response().res('', 'trailers').trailers(Direction.Response, { a: '1' });
    expect(codes).toEqual([
      ...Array<string>(7).fill(reply),
      'TSF_HEADER_INVALID',
      'TSF_HEADER_INVALID',
      'TSF_HEADER_PSEUDO',
      'TSF_CHUNK_INVALID',
      'TSF_REPLY_LATE',
    ]);
    const twice: string[] = [];
    const second = await open((callbacks) => ({
      decodeHeaders() {
        callbacks.sendLocalReply(200);
        twice.push(
          code(() => callbacks.sendLocalReply(201)),
          code(() => callbacks.reply(201, {}, [])),
        );
        return S.LocalReply;
      },
    }));
    expect(second.request().take()).toHaveLength(1);
    expect(twice).toEqual(['TSF_ALREADY_REPLIED', 'TSF_ALREADY_REPLIED']);
  });

  it('does not abort the signal when the stream ends by it', async () => {
    let signal: AbortSignal | undefined;
    const reasons: string[] = [];
    const stream = await open((callbacks) => {
      ({ signal } = callbacks);
      return { decodeHeaders: () => callbacks.sendLocalReply(403), onDestroy: (reason) => void reasons.push(reason) };
    });
    stream.request(REQUEST, true).end(EndReason.LocalReply);
    expect([signal!.aborted, reasons]).toEqual([false, ['complete']]);
  });
});

describe('reply', () => {
  it('streams a body of any iterable', async () => {
    const stream = await open((callbacks) => ({
      decodeHeaders: () => callbacks.reply(200, { 'content-type': 'text/plain' }, ['a', Buffer.from('b')]),
      encodeHeaders() {
        throw new Error('not for streamed replies');
      },
    }));
    stream.request();
    await settled();
    expect(stream.take()).toEqual([
      'replyHeaders [:status: 200, content-type: text/plain, content-length: 2]',
      'replyData "a"',
      'replyData "b"',
      'replyData "" end',
    ]);
  });

  it.each([
    ['makes a bad chunk', 5 as never],
    ['is longer than its content-length', 'abc'],
  ])('whose body %s is closed: its finally runs', async (_name, chunk) => {
    let closed = 0;
    async function* body(): AsyncGenerator<string> {
      try {
        yield await Promise.resolve(chunk);
      } finally {
        closed++;
      }
    }
    const stream = await open((callbacks) => ({
      decodeHeaders: () => callbacks.reply(200, { 'content-length': '2' }, body()),
    }));
    stream.request();
    await settled();
    stream.end(EndReason.Downstream);
    await settled();
    expect([stream.take().at(-1)?.slice(0, 4), closed]).toEqual(['fail', 1]);
  });

  it('whose iterator throws in return() ends as ever', async () => {
    const reasons: string[] = [];
    const stream = await open((callbacks) => ({
      decodeHeaders: () =>
        callbacks.reply(
          200,
          {},
          {
            [Symbol.asyncIterator]: () => ({
              next: () => new Promise<never>(() => undefined),
              return: () => {
                throw new Error('in return');
              },
            }),
          },
        ),
      onDestroy: (reason) => void reasons.push(reason),
    }));
    stream.request();
    await settled();
    stream.end(EndReason.Downstream);
    expect(reasons).toEqual(['reset']);
  });

  it('has never more than the window on its way', async () => {
    const stream = await open(
      (callbacks) => ({ decodeHeaders: () => callbacks.reply(200, {}, ['x'.repeat(150), 'y'.repeat(30)]) }),
      {
        rules: { streamWindow: 100 },
      },
    );
    stream.request().take();
    await settled();
    expect(stream.take()).toEqual(['replyData (100 bytes)']);
    stream.sink.credit(30);
    await settled();
    expect(stream.take()).toEqual([`replyData "${'x'.repeat(30)}"`]);
    stream.sink.credit(100);
    await settled();
    expect(stream.take()).toEqual([
      `replyData "${'x'.repeat(20)}"`,
      `replyData "${'y'.repeat(30)}"`,
      'replyData "" end',
    ]);
  });

  it('cuts large chunks', async () => {
    const stream = await open((callbacks) => ({
      decodeHeaders: () => callbacks.reply(200, {}, ['x'.repeat(150_000)]),
    }));
    stream.request();
    await settled();
    expect(stream.take().slice(1)).toEqual([
      'replyData (65536 bytes)',
      'replyData (65536 bytes)',
      'replyData (18928 bytes)',
      'replyData "" end',
    ]);
  });

  it("runs the body's finally when the stream dies", async () => {
    const seen: string[] = [];
    const stream = await open(
      (callbacks) => ({
        decodeHeaders: () =>
          callbacks.reply(
            200,
            {},
            (async function* () {
              try {
                for (;;) yield await Promise.resolve('tick');
              } finally {
                seen.push('finally');
              }
            })(),
          ),
      }),
      { rules: { streamWindow: 20 } },
    );
    stream.request();
    await settled();
    stream.end(EndReason.Downstream);
    await settled();
    expect(seen).toEqual(['finally']);
  });

  it('that fails half way fails the stream', async () => {
    const stream = await open((callbacks) => ({
      decodeHeaders: () =>
        callbacks.reply(
          200,
          {},
          (function* () {
            yield 'a';
            throw new Error('broke');
          })(),
        ),
    }));
    stream.request();
    await settled();
    expect(stream.take().slice(1)).toEqual(['replyData "a"', 'fail Request f: decodeHeaders: Error: broke']);
  });

  it.each([
    ['a string', 'text'],
    ['bytes', new Uint8Array(3)],
    ['nothing', undefined],
  ])('refuses %s as a body', async (_name, body) => {
    const codes: string[] = [];
    const stream = await open((callbacks) => ({
      decodeHeaders: () => void codes.push(code(() => callbacks.reply(200, {}, body as never))),
    }));
    stream.request();
    expect(codes).toEqual(['TSF_REPLY_INVALID']);
  });
});

function async_(when: string, fn: () => S): () => S | Promise<S> {
  return when === 'sync' ? fn : () => Promise.resolve().then(fn);
}
