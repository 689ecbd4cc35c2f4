import { afterEach, describe, expect, it } from 'vitest';
import { Bench, filterOf, REQUEST, settled, type TestStream } from '../../test/support/recorder.js';
import type { FilterError } from '../api/errors.js';
import { perChunk } from '../api/transform.js';
import { StatusType, type StreamFilter } from '../api/types.js';
import type { FilterCallbacks } from '../api/types-callbacks.js';
import { Direction } from '../base/wire.js';

let bench: Bench;
afterEach(() => {
  expect(bench.violations).toEqual([]);
});

async function open(create: (callbacks: FilterCallbacks) => StreamFilter): Promise<TestStream> {
  bench = await Bench.of(filterOf(create));
  return bench.open();
}

const TRAILERS = { 'x-t': '1' };
const transform = perChunk((chunk) => Buffer.from(chunk).toString().toUpperCase());

describe('a trailers hook', () => {
  it('runs alone on a body that flows past', async () => {
    const stream = await open(() => ({ decodeTrailers: (trailers) => void trailers.set('x-t', '2').add('x-u', '3') }));
    stream.request().trailers(Direction.Request, TRAILERS);
    expect(stream.take()).toEqual(['answer Request Pass []', 'answer RequestTrailers Pass [set x-t 2, add x-u 3]']);
  });

  it('that takes its time holds the end of the body, and says from when its time counts', async () => {
    const stream = await open(() => ({
      transformResponse: transform,
      encodeTrailers: (trailers) => settled().then(() => void trailers.delete('x-t')),
    }));
    stream.request().response().res('ab').take();
    stream.res('cd', 'trailers').trailers(Direction.Response, TRAILERS);
    expect(stream.take()).toEqual(['output Response Trailing ack 2 "CD"']);
    await settled();
    await settled();
    expect(stream.take()).toEqual(['output Response Last', 'answer ResponseTrailers Pass [delete x-t]']);
  });

  it('that is all of its direction gets trailers whose headers and body were never sent', async () => {
    const stream = await open((callbacks) => ({
      encodeTrailers(trailers) {
        trailers.set('x-t', '2');
        callbacks.encoderFilterCallbacks().addData('bar');
        expect(callbacks.request.path).toBe('/a?b=1');
        expect(() => callbacks.sendLocalReply(403)).toThrow(
          expect.objectContaining({ code: 'TSF_REPLY_LATE' }) as Error,
        );
      },
    }));
    stream.request().trailers(Direction.Response, TRAILERS);
    expect(stream.take()).toEqual([
      'answer Request Pass []',
      'output Response Added "bar"',
      'answer ResponseTrailers Pass [set x-t 2]',
    ]);
  });

  it.each([Direction.Request, Direction.Response])(
    'makes its filter when nothing came before, direction %i',
    async (way) => {
      const stream = await open((callbacks) => {
        const hook = (): void => {
          expect(() => callbacks.request).toThrow(expect.objectContaining({ code: 'TSF_NOT_SUBSCRIBED' }) as Error);
        };
        return { decodeTrailers: hook, encodeTrailers: hook };
      });
      stream.trailers(way, TRAILERS);
      expect(stream.take()).toEqual([`answer ${way === Direction.Request ? 'Request' : 'Response'}Trailers Pass []`]);
    },
  );

  it('does not run on what follows a reply', async () => {
    const stream = await open((callbacks) => ({
      decodeHeaders: () => callbacks.sendLocalReply(403),
      encodeTrailers: () => expect.unreachable(),
    }));
    stream.request().take();
    stream.trailers(Direction.Response, TRAILERS);
    expect(stream.take()).toEqual([]);
  });

  it('adds bytes after the body', async () => {
    const stream = await open((callbacks) => ({
      transformRequest: transform,
      async decodeTrailers() {
        await Promise.resolve();
        callbacks.decoderFilterCallbacks().addData('bar');
      },
    }));
    stream.request().req('foo', 'trailers').trailers(Direction.Request, TRAILERS);
    await settled();
    expect(stream.sink.body(Direction.Request).toString()).toBe('FOObar');
    expect(stream.take().at(-1)).toBe('answer RequestTrailers Pass []');
  });

  it('adds bytes after a body that flowed past', async () => {
    const stream = await open((callbacks) => ({
      encodeTrailers: () => callbacks.encoderFilterCallbacks().addData('bar'),
    }));
    stream.request().response().trailers(Direction.Response, TRAILERS);
    expect(stream.take().slice(2)).toEqual(['output Response Added "bar"', 'answer ResponseTrailers Pass []']);
  });

  it('cannot add bytes to a body that its transform has ended already', async () => {
    const codes: string[] = [];
    const stream = await open((callbacks) => ({
      // eslint-disable-next-line require-yield -- ends the body at once
      async *transformRequest() {
        await Promise.resolve();
      },
      decodeTrailers() {
        try {
          callbacks.decoderFilterCallbacks().addData('bar');
        } catch (e) {
          codes.push((e as FilterError).code);
        }
      },
    }));
    stream.request();
    await settled();
    stream.req('a', 'trailers').trailers(Direction.Request, TRAILERS);
    expect(stream.take().slice(1)).toEqual([
      'output Request Last',
      'output Request ack 1',
      'answer RequestTrailers Pass []',
    ]);
    expect(codes).toEqual(['TSF_WRONG_PHASE']);
  });

  it.each([StatusType.StopAndBuffer, StatusType.StopAndBufferWatermark, StatusType.StopNoBuffer])(
    'cannot stop: nothing comes after trailers (%i)',
    async (status) => {
      const stream = await open(() => ({ decodeTrailers: () => status as never }));
      stream.request().trailers(Direction.Request, TRAILERS);
      expect(stream.take().at(-1)).toMatch(/^fail Request f: decodeTrailers: FilterError TSF_STATUS_INVALID/);
    },
  );

  it('that answers Running goes on by continue()', async () => {
    let callbacks: FilterCallbacks | undefined;
    const stream = await open((given) => {
      callbacks = given;
      return { decodeTrailers: () => StatusType.Running };
    });
    stream.request().trailers(Direction.Request, TRAILERS).take();
    callbacks!.decoderFilterCallbacks().continue(StatusType.Continue);
    expect(stream.take()).toEqual(['answer RequestTrailers Pass []']);
  });

  it('is not needed: trailers go on after the last output of the transform', async () => {
    const stream = await open(() => ({
      async *transformRequest(body) {
        for await (const chunk of body) {
          await settled();
          yield chunk;
        }
      },
    }));
    stream.request().req('ab', 'trailers').trailers(Direction.Request, TRAILERS);
    expect(stream.take()).toEqual(['answer Request Stream []', 'output Request Digested']);
    await settled();
    await settled();
    expect(stream.take()).toEqual(['output Request Last ack 2 "ab"', 'answer RequestTrailers Pass []']);
  });

  it('of a whole body: its length is not told, for trailers need chunks', async () => {
    const stream = await open(() => ({
      decodeHeaders: () => StatusType.StopAndBuffer,
      transformRequest: transform,
      decodeTrailers() {},
    }));
    stream
      .request({ ...REQUEST, 'content-length': '2' })
      .req('ab', 'trailers')
      .trailers(Direction.Request, TRAILERS);
    expect(stream.take()).toEqual([
      'answer Request Whole []',
      'output Request Last ack 2 "AB"',
      'answer RequestTrailers Pass []',
    ]);
  });
});
