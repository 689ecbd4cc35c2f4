import { afterEach, describe, expect, it } from 'vitest';
import { Bench, filterOf, REQUEST, RESPONSE, settled } from '../../test/support/recorder.js';
import { perChunk } from '../api/transform.js';
import { StatusType, type StreamFilter } from '../api/types.js';
import type { FilterCallbacks } from '../api/types-callbacks.js';
import { Direction, PhaseBit } from '../base/wire.js';

let bench: Bench | undefined;
afterEach(() => {
  expect(bench?.violations ?? []).toEqual([]);
});

async function open(create: (callbacks: FilterCallbacks) => StreamFilter, options = {}) {
  bench = await Bench.of(filterOf(create), options);
  return bench.open();
}

describe('a headers hook', () => {
  it('is answered at once when it is synchronous, with its writes in order', async () => {
    const stream = await open(() => ({
      decodeHeaders(headers) {
        headers.set('X-A', '1').add('x-a', '2').delete('x-b');
        headers.path = '/c';
      },
    }));
    expect(stream.request().take()).toEqual(['answer Request Pass [set x-a 1, add x-a 2, delete x-b, set :path /c]']);
  });

  it('is answered when its promise settles', async () => {
    const stream = await open(() => ({
      async decodeHeaders(headers) {
        await Promise.resolve();
        headers.set('x-a', headers.get(':path') ?? '');
      },
    }));
    expect(stream.request().take()).toEqual([]);
    await settled();
    expect(stream.take()).toEqual(['answer Request Pass [set x-a /a?b=1]']);
  });

  it('that answers Running goes on with continue(), once', async () => {
    let callbacks: FilterCallbacks | undefined;
    const stream = await open((given) => {
      callbacks = given;
      return { decodeHeaders: () => StatusType.Running };
    });
    stream.request();
    expect(stream.take()).toEqual([]);
    const decoder = callbacks!.decoderFilterCallbacks();
    decoder.continue(StatusType.Continue);
    expect(stream.take()).toEqual(['answer Request Pass []']);
    expect(() => decoder.continue(StatusType.Continue)).toThrow(expect.objectContaining({ code: 'TSF_NOT_RUNNING' }));
  });

  it('may answer Running by its promise, too', async () => {
    let callbacks: FilterCallbacks | undefined;
    const stream = await open((given) => {
      callbacks = given;
      return { decodeHeaders: () => Promise.resolve(StatusType.Running) };
    });
    stream.request();
    expect(() => callbacks!.decoderFilterCallbacks().continue(StatusType.Continue)).toThrow(/TSF_NOT_RUNNING|Running/);
    await settled();
    callbacks!.decoderFilterCallbacks().continue(StatusType.Continue);
    expect(stream.take()).toEqual(['answer Request Pass []']);
  });

  it('may be absent: a stream without one goes on', async () => {
    const stream = await open(() => ({ encodeTrailers() {} }));
    expect(stream.request().response().take()).toEqual(['answer Request Pass []', 'answer Response Pass []']);
  });

  it('tells with the first answer, and only there, which phases its filter has', async () => {
    const stream = await open(() => ({
      decodeHeaders() {},
      transformResponse: perChunk(() => undefined),
      onDestroy() {},
    }));
    stream.request().response();
    expect(stream.sink.phases).toBe(PhaseBit.decodeHeaders | PhaseBit.transformResponse | PhaseBit.onDestroy);
  });

  it('runs on the response of a stream that begins there, and can read the request', async () => {
    const stream = await open((callbacks) => ({
      decodeHeaders() {
        throw new Error('must not run');
      },
      encodeHeaders(headers) {
        headers.set('x-path', callbacks.request.path);
      },
    }));
    stream.request(REQUEST, false, true).response();
    expect(stream.take()).toEqual(['answer Response Pass [set x-path /a?b=1]']);
  });

  it('finds no request when its headers were never sent', async () => {
    const stream = await open((callbacks) => ({
      encodeHeaders(headers) {
        try {
          void callbacks.request;
        } catch (e) {
          headers.set('x-code', (e as { code: string }).code);
        }
      },
    }));
    expect(stream.response().take()).toEqual(['answer Response Pass [set x-code TSF_NOT_SUBSCRIBED]']);
  });
});

describe('the status of a headers hook', () => {
  const S = StatusType;
  const data = { decodeData: () => S.Continue } as const;
  const transform = { transformRequest: perChunk((chunk) => chunk) };
  const length = { ...REQUEST, 'content-length': '3' };
  const rows: [string, number | undefined, StreamFilter, typeof REQUEST, boolean, string][] = [
    ['nothing, no body hook: Pass', undefined, {}, REQUEST, false, 'answer Request Pass []'],
    ['Continue with a data hook: Stream', S.Continue, data, REQUEST, false, 'answer Request Stream []'],
    ['Continue with a transform: Stream', S.Continue, transform, REQUEST, false, 'answer Request Stream []'],
    [
      'Stream leaves the content-length to the module',
      S.Continue,
      transform,
      length,
      false,
      'answer Request Stream []',
    ],
    [
      'Watermark with a data hook: StreamHold',
      S.StopAndBufferWatermark,
      data,
      REQUEST,
      false,
      'answer Request StreamHold []',
    ],
    ['and so does StreamHold', S.StopAndBufferWatermark, data, length, false, 'answer Request StreamHold []'],
    ['StopAndBuffer with a transform: Whole', S.StopAndBuffer, transform, length, false, 'answer Request Whole []'],
    ['StopAndBuffer without body hooks: Pass', S.StopAndBuffer, {}, length, false, 'answer Request Pass []'],
    ['Watermark without body hooks: Pass', S.StopAndBufferWatermark, {}, length, false, 'answer Request Pass []'],
    ['Continue, headers-only: Pass', S.Continue, transform, length, true, 'answer Request Pass []'],
  ];
  it.each(rows)('%s', async (_name, status, hooks, headers, end, line) => {
    const stream = await open(() => ({ ...hooks, decodeHeaders: () => status as never }) as StreamFilter);
    // A body that streams is asked for at once.
    const asks = line.includes(' Stream') ? ['output Request Digested'] : [];
    expect(stream.request(headers, end).take()).toEqual([line, ...asks]);
  });

  const wrong: [string, unknown, boolean, string][] = [
    ['StopAndBuffer, headers-only', S.StopAndBuffer, true, 'TSF_STATUS_INVALID'],
    ['StopAndBufferWatermark, headers-only', S.StopAndBufferWatermark, true, 'TSF_STATUS_INVALID'],
    ['StopNoBuffer', S.StopNoBuffer, false, 'TSF_STATUS_INVALID'],
    ['a number that is no status', 9, false, 'TSF_STATUS_INVALID'],
    ['a string', 'Continue', false, 'TSF_STATUS_INVALID'],
    ['LocalReply without a reply', S.LocalReply, false, 'TSF_NO_REPLY'],
  ];
  describe.each(['sync', 'async'])('%s', (when) => {
    it.each(wrong)("%s is the author's mistake", async (_name, status, end, code) => {
      const answer = (): never => (when === 'sync' ? status : Promise.resolve(status)) as never;
      const stream = await open(() => ({ ...data, decodeHeaders: answer, encodeHeaders: answer }));
      stream.request(REQUEST, end);
      await settled();
      expect(stream.take()).toEqual([expect.stringContaining(`fail Request f: decodeHeaders: FilterError ${code}`)]);
      expect(bench!.logger.lines).toEqual([expect.stringMatching(`^error decodeHeaders: FilterError ${code}`)]);
    });
  });

  it.each([
    ['a 204', { ':status': '204' }, false],
    ['a 304', { ':status': '304' }, false],
    ['an answer to HEAD', RESPONSE, true],
  ])('%s has no body: its transform does not run, its hook does', async (_name, response, head) => {
    const stream = await open(
      (callbacks) => ({
        encodeHeaders(headers) {
          headers.set('x-a', '1');
          callbacks.encoderFilterCallbacks().addData('for nobody');
        },
        transformResponse: perChunk(() => 'never'),
      }),
      { head },
    );
    stream.request().response(response);
    expect(stream.take()).toEqual(['answer Request Pass []', 'answer Response Pass [set x-a 1]']);
  });

  it('on an upgraded stream is always Pass', async () => {
    const stream = await open(() => transform, { tunnel: true });
    expect(stream.request().take()).toEqual(['answer Request Pass []']);
  });
});

describe('an error in a hook', () => {
  it.each([
    [
      'thrown',
      () => {
        throw new Error('oh\nno');
      },
    ],
    ['rejected', () => Promise.reject(new Error('oh\nno'))],
  ])('%s fails the stream once, in one line', async (_name, decodeHeaders) => {
    const reasons: string[] = [];
    const stream = await open(() => ({ decodeHeaders, onDestroy: (reason) => void reasons.push(reason) }));
    stream.request();
    await settled();
    expect(stream.take()).toEqual(['fail Request f: decodeHeaders: Error: oh']);
    expect(bench!.logger.lines).toEqual(['error decodeHeaders: Error: oh']);
    stream.req('late').response().end();
    expect(stream.take()).toEqual([]);
    expect(reasons).toEqual(['reset']);
  });

  it('in create() fails the stream', async () => {
    const stream = await open(() => {
      throw new TypeError('no');
    });
    expect(stream.request().take()).toEqual(['fail Request f: TypeError: no']);
  });

  it('in one stream leaves the others alone', async () => {
    const stream = await open(() => ({
      decodeHeaders(headers) {
        if (headers.has('x-bad')) throw new Error('bad');
      },
    }));
    const other = bench!.open();
    stream.request({ ...REQUEST, 'x-bad': '1' });
    expect(other.request().take()).toEqual(['answer Request Pass []']);
    expect(stream.take()).toHaveLength(1);
  });

  it('after the end of the stream is only logged', async () => {
    let reject: (e: Error) => void = () => undefined;
    const stream = await open(() => ({ decodeHeaders: () => new Promise((_resolve, no) => (reject = no)) }));
    stream.request().end();
    reject(new Error('too late'));
    await settled();
    expect(stream.take()).toEqual([]);
    expect(bench!.logger.lines).toEqual(['error decodeHeaders after its stream had ended: Error: too late']);
  });
});

describe('writing headers after they went on', () => {
  it('throws, and names the call and the phase', async () => {
    const seen: unknown[] = [];
    const stream = await open((callbacks) => {
      let kept: { set(name: string, value: string): unknown } | undefined;
      return {
        decodeHeaders(headers) {
          kept = headers;
        },
        encodeHeaders() {
          try {
            kept!.set('x-a', '1');
          } catch (e) {
            seen.push((e as Error).message);
          }
          try {
            callbacks.clearRouteCache();
          } catch (e) {
            seen.push((e as Error).message);
          }
        },
      };
    });
    stream.request().response();
    expect(seen).toEqual([
      'headers.set("x-a") in encodeHeaders: the request headers have gone on',
      'clearRouteCache() in encodeHeaders: the request headers have gone on',
    ]);
  });

  it('is still possible after StopAndBuffer, until the body goes', async () => {
    const stream = await open(() => ({
      decodeHeaders: (headers) => {
        headers.set('x-a', '1');
        return StatusType.StopAndBuffer;
      },
      async *transformRequest(body, ctx) {
        for await (const chunk of body) {
          ctx.headers.set('x-size', String(chunk.length));
          yield chunk;
        }
      },
    }));
    stream.request({ ...REQUEST, 'content-length': '4' });
    expect(stream.take()).toEqual(['answer Request Whole [set x-a 1]']);
    stream.req('ab').req('cd', 'last');
    await settled();
    expect(stream.take()).toEqual(['ops Request [set x-size 4]', 'output Request Last ack 4 "abcd"']);
  });

  it('is ordered with the route cache', async () => {
    const stream = await open((callbacks) => ({
      decodeHeaders(headers) {
        headers.path = '/one';
        callbacks.clearRouteCache();
        headers.path = '/two';
        callbacks.refreshRouteCache();
      },
    }));
    expect(stream.request().take()).toEqual([
      'answer Request Pass [set :path /one, clearroutecache, set :path /two, refreshroutecache]',
    ]);
  });

  it("obeys the operator's lists", async () => {
    const codes: unknown[] = [];
    const stream = await open(
      () => ({
        decodeHeaders(headers) {
          headers.set('x-ok', '1');
          for (const name of ['x-other', 'X-No']) {
            try {
              headers.set(name, '1');
            } catch (e) {
              codes.push((e as { code: string }).code);
            }
          }
        },
      }),
      { rules: { allow: ['x-ok', 'x-no'], deny: ['x-no'] } },
    );
    expect(stream.request().take()).toEqual(['answer Request Pass [set x-ok 1]']);
    expect(codes).toEqual(['TSF_HEADER_REFUSED', 'TSF_HEADER_REFUSED']);
  });
});

describe('addData in a headers hook', () => {
  it('makes a body of a headers-only message', async () => {
    const stream = await open((callbacks) => ({
      decodeHeaders(headers) {
        headers.method = 'POST';
        callbacks.decoderFilterCallbacks().addData('fo');
        callbacks.decoderFilterCallbacks().addData(Buffer.from('o'));
      },
    }));
    stream.request({ ...REQUEST, ':method': 'HEAD' }, true);
    expect(stream.take()).toEqual(['output Request Added "foo"', 'answer Request Pass [set :method POST]']);
  });

  it.each([
    ['a known length', { 'content-length': '4' }],
    ['an unknown one', {}],
    ['a length that is none', { 'content-length': 'x' }],
  ])('before a body leaves %s to the module', async (_name, extra) => {
    const stream = await open((callbacks) => ({
      async encodeHeaders() {
        await Promise.resolve();
        callbacks.encoderFilterCallbacks().addData('foo');
      },
    }));
    stream.request().take();
    stream.response({ ...RESPONSE, ...extra });
    await settled();
    expect(stream.take()).toEqual(['output Response Added "foo"', 'answer Response Pass []']);
  });

  it('goes before a whole body', async () => {
    const stream = await open((callbacks) => ({
      decodeHeaders: () => {
        callbacks.decoderFilterCallbacks().addData('foo');
        return StatusType.StopAndBuffer;
      },
      decodeData: () => StatusType.Continue,
    }));
    stream.request({ ...REQUEST, 'content-length': '2' }).req('ab', 'last');
    expect(stream.take()).toEqual([
      'output Request Added "foo"',
      'answer Request Whole []',
      'output Request Last ack 2 "ab"',
    ]);
  });

  it('is refused while a body is worked on', async () => {
    const messages: string[] = [];
    const stream = await open((callbacks) => ({
      decodeData() {
        try {
          callbacks.decoderFilterCallbacks().addData('no');
        } catch (e) {
          messages.push((e as Error).message);
        }
      },
    }));
    stream.request().req('a', 'last');
    expect(messages).toEqual(['addData() in decodeData: only in a headers or trailers hook']);
    expect(Buffer.from(stream.sink.body(Direction.Request)).toString()).toBe('a');
  });
});
