import { afterEach, describe, expect, it } from 'vitest';
import { Bench, filterOf, REQUEST, settled } from '../../test/support/recorder.js';
import { StatusType as S, type StreamFilter } from '../api/types.js';
import type { BodyBuffer } from '../api/types-data.js';
import type { FilterCallbacks } from '../api/types-callbacks.js';
import { Direction } from '../base/wire.js';

let bench: Bench | undefined;
afterEach(() => {
  expect(bench?.violations ?? []).toEqual([]);
});

async function open(create: (callbacks: FilterCallbacks) => StreamFilter) {
  bench = await Bench.of(filterOf(create));
  return bench.open();
}

/** Records its calls; answers by a table. */
function scripted(answers: readonly (S | undefined)[], calls: string[] = [], async = false): StreamFilter {
  let i = 0;
  return {
    decodeData(data, endStream) {
      calls.push(`${data.text()}${endStream ? ' end' : ''}`);
      const answer = answers[i++];
      return async ? Promise.resolve().then(() => answer) : answer;
    },
  };
}

describe.each([
  ['sync', false],
  ['async', true],
])('a data hook, %s', (_name, isAsync) => {
  it('gets one piece at a time and lets each go', async () => {
    const calls: string[] = [];
    const stream = await open(() => scripted([S.Continue, undefined, S.Continue], calls, isAsync));
    stream.request();
    for (const piece of ['ab', 'cd']) {
      stream.req(piece);
      await settled();
    }
    stream.req('', 'last');
    await settled();
    expect(calls).toEqual(['ab', 'cd', ' end']);
    expect(stream.take()).toEqual([
      'answer Request Stream []',
      'output Request Digested',
      'output Request Digested ack 2 "ab"',
      'output Request Digested ack 2 "cd"',
      'output Request Last',
    ]);
  });

  it('that keeps pieces gets the next ones, and Continue sends them all in order', async () => {
    const stream = await open(() =>
      scripted([S.StopAndBufferWatermark, S.StopAndBufferWatermark, S.Continue], [], isAsync),
    );
    stream.request().req('ab').req('cd').req('ef');
    await settled();
    expect(stream.sink.body(Direction.Request).toString()).toBe('abcdef');
    expect(stream.sink.told[0].outstanding).toBe(0);
  });

  it('drops a piece with StopNoBuffer, but not those it kept', async () => {
    const stream = await open(() => scripted([S.StopAndBufferWatermark, S.StopNoBuffer, S.Continue], [], isAsync));
    stream.request().req('ab').req('cd').req('ef', 'last');
    await settled();
    expect(stream.sink.body(Direction.Request).toString()).toBe('abef');
    expect(stream.sink.told[0].last).toBe(true);
  });

  it('that drops the last piece ends the body with what it kept', async () => {
    const stream = await open(() => scripted([S.StopAndBufferWatermark, S.StopNoBuffer], [], isAsync));
    stream.request().req('ab').req('cd', 'last');
    await settled();
    expect(stream.sink.body(Direction.Request).toString()).toBe('ab');
    expect(stream.sink.told[0].last).toBe(true);
  });

  it('that answers StopAndBuffer is called once more, with all the rest', async () => {
    const calls: string[] = [];
    const stream = await open(() => scripted([S.Continue, S.StopAndBuffer, S.Continue], calls, isAsync));
    stream.request().req('ab');
    await settled();
    stream.req('cd');
    await settled();
    stream.req('ef').req('gh', 'last');
    await settled();
    expect(calls).toEqual(['ab', 'cd', 'efgh end']);
    expect(stream.take()).toEqual([
      'answer Request Stream []',
      'output Request Digested',
      'output Request Digested ack 2 "ab"',
      'output Request Digested ack 2',
      'output Request Digested ack 2',
      ...(isAsync
        ? ['output Request Timed ack 2', 'output Request Last "cdefgh"']
        : ['output Request Last ack 2 "cdefgh"']),
    ]);
  });

  it('that answers StopAndBuffer when the rest is here already needs nothing gathered', async () => {
    const calls: string[] = [];
    const stream = await open(() => scripted([S.StopAndBufferWatermark, S.StopAndBuffer, S.Continue], calls, true));
    stream.request().req('ab').req('cd').req('ef').req('gh', 'last');
    await settled();
    expect(calls).toEqual(['ab', 'cd', 'efgh end']);
    expect(stream.sink.body(Direction.Request).toString()).toBe('abcdefgh');
    expect(stream.sink.told[0].outstanding).toBe(0);
    expect(stream.take().join()).not.toContain('Digested ack');
  });

  it('gets a whole body in one call after StopAndBuffer from the headers, and leaves its length to the module', async () => {
    const stream = await open(() => ({
      decodeHeaders: () => S.StopAndBuffer,
      decodeData(data) {
        const work = (): S => {
          data.prepend('prepend_');
          data.append('_append');
          return S.Continue;
        };
        return isAsync ? Promise.resolve().then(work) : work();
      },
    }));
    stream
      .request({ ...REQUEST, 'content-length': '10' })
      .req('HELLO')
      .req('WORLD', 'last');
    await settled();
    expect(stream.take()).toEqual([
      'answer Request Whole []',
      'output Request Last ack 10 "prepend_HELLOWORLD_append"',
    ]);
  });

  it.each([S.StopAndBuffer, S.StopAndBufferWatermark])(
    'must not stop at the end of the stream (%i)',
    async (status) => {
      const stream = await open(() => scripted([status], [], isAsync));
      stream.request().req('ab', 'last');
      await settled();
      expect(stream.take().at(-1)).toMatch(/^fail Request f: decodeData: FilterError TSF_STATUS_INVALID/);
    },
  );

  it('with trailers to come is not called for an end without bytes, and never told endStream', async () => {
    const calls: string[] = [];
    const stream = await open(() => scripted([S.Continue, S.Continue], calls, isAsync));
    stream.request().req('ab').req('', 'trailers').trailers(Direction.Request, { 'x-t': '1' });
    await settled();
    expect(calls).toEqual(['ab']);
    expect(stream.sink.body(Direction.Request).toString()).toBe('ab');
    expect(stream.sink.told[0]).toMatchObject({ outstanding: 0, last: true, trailersAnswered: true });
  });

  it('of a whole body gets an empty one, too, when trailers follow it', async () => {
    const calls: string[] = [];
    const stream = await open(() => ({
      decodeHeaders: () => S.StopAndBuffer,
      ...scripted([S.Continue], calls, isAsync),
      decodeTrailers: () => void calls.push('trailers'),
    }));
    stream.request().trailers(Direction.Request, { 'x-t': '1' });
    await settled();
    expect(calls).toEqual(['', 'trailers']);
    expect(stream.sink.told[0]).toMatchObject({ last: true, trailersAnswered: true });
    const other = bench!.open().request().req('', 'trailers').trailers(Direction.Request, { 'x-t': '1' });
    await settled();
    expect(calls).toEqual(['', 'trailers', '', 'trailers']);
    expect(other.sink.told[0]).toMatchObject({ last: true, trailersAnswered: true });
  });

  it('may keep everything until the trailers hook continues', async () => {
    const order: string[] = [];
    const stream = await open(() => ({
      ...scripted([S.StopAndBufferWatermark, S.StopAndBufferWatermark], order, isAsync),
      decodeTrailers(trailers) {
        order.push('trailers');
        trailers.set('x-t', '2');
      },
    }));
    stream.request().req('ab').req('cd', 'trailers').trailers(Direction.Request, { 'x-t': '1' });
    await settled();
    expect(order).toEqual(['ab', 'cd', 'trailers']);
    expect(stream.take().slice(-2)).toEqual([
      expect.stringMatching(/^output Request Last ack \d "abcd"$/),
      'answer RequestTrailers Pass [set x-t 2]',
    ]);
  });
});

describe('a data hook', () => {
  it('that answers Running goes on by continue()', async () => {
    let decoder: ReturnType<FilterCallbacks['decoderFilterCallbacks']> | undefined;
    const calls: string[] = [];
    const stream = await open((callbacks) => {
      decoder = callbacks.decoderFilterCallbacks();
      return scripted([S.Running, S.Running], calls);
    });
    stream.request().req('ab').req('cd', 'last').take();
    expect(calls).toEqual(['ab']);
    decoder!.continue(S.StopNoBuffer);
    expect(calls).toEqual(['ab', 'cd end']);
    decoder!.continue(S.Continue);
    expect(stream.sink.body(Direction.Request).toString()).toBe('cd');
  });

  it('has its buffer until it settles', async () => {
    let kept: BodyBuffer | undefined;
    const stream = await open(() => ({
      async decodeData(data) {
        kept = data;
        await Promise.resolve();
        data.set('x');
      },
    }));
    stream.request().req('ab');
    await settled();
    expect(() => kept!.text()).toThrow(expect.objectContaining({ code: 'TSF_BUFFER_GONE' }));
    expect(stream.sink.body(Direction.Request).toString()).toBe('x');
  });

  it('injects bytes before its chunk once it waits, and not before', async () => {
    const codes: string[] = [];
    const stream = await open((callbacks) => ({
      async decodeData(data) {
        const decoder = callbacks.decoderFilterCallbacks();
        try {
          decoder.injectData('no');
        } catch (e) {
          codes.push((e as { code: string }).code);
        }
        await Promise.resolve();
        decoder.injectData('To be, ');
        await Promise.resolve();
        decoder.injectData('or not to be, ');
        data.append('!');
      },
      decodeHeaders() {
        try {
          callbacks.decoderFilterCallbacks().injectData('no');
        } catch (e) {
          codes.push((e as { code: string }).code);
        }
      },
    }));
    stream.request().req('that is the question', 'last');
    await settled();
    expect(stream.sink.body(Direction.Request).toString()).toBe('To be, or not to be, that is the question!');
    expect(codes).toEqual(['TSF_WRONG_PHASE', 'TSF_WRONG_PHASE']);
  });

  it('injecting into a whole body gives up its length', async () => {
    const stream = await open((callbacks) => ({
      encodeHeaders: () => S.StopAndBuffer,
      async encodeData() {
        await Promise.resolve();
        callbacks.encoderFilterCallbacks().injectData('a');
      },
    }));
    stream.request().response({ ':status': '200', 'content-length': '1' }).res('b', 'last');
    await settled();
    expect(stream.take().slice(2)).toEqual(['output Response Last ack 1 "ab"']);
  });

  it('that throws fails the stream', async () => {
    const stream = await open(() => ({
      encodeData() {
        throw new RangeError('no');
      },
    }));
    stream.request().response().res('a');
    expect(stream.take().at(-1)).toBe('fail Response f: encodeData: RangeError: no');
    stream.res('b', 'last');
    expect(stream.take()).toEqual([]);
  });

  it('waits while the ring is full', async () => {
    const calls: string[] = [];
    const stream = await open(() => scripted([S.Continue, S.Continue, S.Continue], calls));
    let free: () => void = () => undefined;
    stream.sink.room = new Promise((resolve) => (free = resolve));
    stream.request().req('ab').req('cd').req('ef', 'last');
    await settled();
    expect(calls).toEqual(['ab']);
    stream.sink.room = undefined;
    free();
    await settled();
    expect(calls).toEqual(['ab', 'cd', 'ef end']);
  });
});

describe('random bodies', () => {
  it('come out as every status says, whatever the chunks are', async () => {
    const seed = Number(process.env['TSF_SEED'] ?? Date.now() % 1_000_000);
    console.info(`seed ${String(seed)} (TSF_SEED)`);
    let state = seed;
    const random = (n: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * n);
    };
    for (let round = 0; round < 150; round++) {
      const isAsync = random(2) === 0;
      const trailers = random(3) === 0;
      const whole = random(5) === 0;
      let expected = '';
      let kept = '';
      let gathering = whole;
      const filter: StreamFilter = {
        decodeHeaders: () => (whole ? S.StopAndBuffer : random(2) === 0 ? S.Continue : S.StopAndBufferWatermark),
        decodeData(data, endStream) {
          const chunk = data.text();
          const choice = endStream || gathering ? 0 : random(4);
          const status = [S.Continue, S.StopAndBufferWatermark, S.StopNoBuffer, S.StopAndBuffer][choice]!;
          if (status === S.Continue) {
            expected += kept + chunk;
            kept = '';
          } else if (status !== S.StopNoBuffer) kept += chunk;
          if (status === S.StopAndBuffer) gathering = true;
          return isAsync ? Promise.resolve(status) : status;
        },
      };
      const stream = await open(() => filter);
      stream.request();
      const pieces = random(8);
      for (let i = 0; i < pieces; i++) {
        stream.req(String.fromCharCode(97 + random(26)).repeat(1 + random(5)));
        if (random(2) === 0) await settled();
      }
      stream.req(random(2) === 0 ? '' : 'end', trailers ? 'trailers' : 'last');
      if (trailers) stream.trailers(Direction.Request, { a: 'b' });
      await settled();
      const got = stream.sink.body(Direction.Request).toString();
      expect({ seed, round, got }).toEqual({ seed, round, got: expected + kept });
      expect({ seed, round, ...stream.sink.told[0] }).toMatchObject({
        seed,
        round,
        outstanding: 0,
        last: true,
        trailersAnswered: trailers,
      });
      expect(bench!.violations).toEqual([]);
    }
  });
});
