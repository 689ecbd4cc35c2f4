/** Any members, any chunks: what comes out of a list is what they make of a message one after the other. */
import { setImmediate as tick } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { ListBench, type Message } from '../../test/support/list.js';
import { defineFilter } from '../api/filter.js';
import { perChunk } from '../api/transform.js';
import { StatusType as S, type StreamFilter } from '../api/types.js';
import type { Filter } from '../api/types-definition.js';
import type { BodyBuffer, BodyStream, Chunk, HeaderMap, TransformContext } from '../api/types-data.js';
import { BodyMode, Direction } from '../base/wire.js';

/** How a member treats a body: its code, and what must come of it. */
interface Style {
  readonly make: (name: string) => StreamFilter;
  /** undefined body: the message had none. */
  readonly body: (name: string, body: string | undefined) => string | undefined;
}

type Transform = (body: BodyStream, ctx: TransformContext<HeaderMap>) => AsyncGenerator<Chunk>;
const both = (transform: Transform): StreamFilter => ({ transformRequest: transform, transformResponse: transform });
const data = (hook: (data: BodyBuffer, end: boolean) => unknown): StreamFilter =>
  ({ decodeData: hook, encodeData: hook }) as StreamFilter;
const text = (chunk: Uint8Array): string => Buffer.from(chunk).toString('latin1');
const latin1 = (s: string): Uint8Array => Buffer.from(s, 'latin1');
const up = (s: string): string => [...s].map((c) => String.fromCharCode((c.charCodeAt(0) + 1) & 255)).join('');
const reversed = (s: string): string => [...s].reverse().join('');
const same = (_name: string, body: string | undefined): string | undefined => body;

const STYLES: { readonly [name: string]: Style } = {
  headers: { make: () => ({}), body: same },
  perChunk: {
    make: () => {
      const map = perChunk((chunk) => latin1(up(text(chunk))));
      return { transformRequest: map, transformResponse: map };
    },
    body: (_, body) => (body === undefined ? undefined : up(body)),
  },
  generator: {
    make: (name) =>
      both(async function* (body) {
        yield `<${name}`;
        for await (const chunk of body) {
          if (chunk.length % 2 === 0) await tick();
          yield chunk;
        }
        yield `${name}>`;
      }),
    body: (name, body) => (body === undefined ? undefined : `<${name}${body}${name}>`),
  },
  delegate: {
    make: () =>
      both(async function* (body) {
        yield* body;
      }),
    body: same,
  },
  keep: {
    make: () => {
      // Each direction for itself.
      const hook = (): ((chunk: BodyBuffer, end: boolean) => unknown) => {
        let seen = 0;
        return (chunk, end) => ((seen += chunk.length) < 5 && !end ? S.StopAndBufferWatermark : S.Continue);
      };
      return { decodeData: hook(), encodeData: hook() } as StreamFilter;
    },
    body: same,
  },
  late: {
    make: (name) =>
      both(async function* (body) {
        let all = '';
        for await (const chunk of body) all += text(chunk);
        await tick();
        yield latin1(`${name}${String(all.length)}${all}`);
      }),
    body: (name, body) => (body === undefined ? undefined : `${name}${String(body.length)}${body}`),
  },
  go: {
    make: () =>
      data((chunk) => {
        chunk.set(latin1(up(text(chunk.bytes()))));
        return chunk.length % 2 === 0 ? S.Continue : Promise.resolve(S.Continue);
      }),
    body: (_, body) => (body === undefined ? undefined : up(body)),
  },
  gather: {
    make: () =>
      data((chunk, end) => {
        chunk.set(latin1(up(text(chunk.bytes()))));
        return end ? S.Continue : S.StopAndBuffer;
      }),
    body: (_, body) => (body === undefined ? undefined : up(body)),
  },
  whole: {
    make: (name) => ({
      decodeHeaders: (_, end) => (end ? S.Continue : S.StopAndBuffer),
      encodeHeaders: (_, end) => (end ? S.Continue : S.StopAndBuffer),
      ...both(async function* (body) {
        for await (const chunk of body) yield latin1(`[${name}${reversed(text(chunk))}]`);
      }),
    }),
    body: (name, body) => (body === undefined ? undefined : body === '' ? '' : `[${name}${reversed(body)}]`),
  },
  hold: {
    make: (name) => ({
      decodeHeaders: (_, end) => (end ? S.Continue : S.StopAndBufferWatermark),
      encodeHeaders: (_, end) => (end ? S.Continue : S.StopAndBufferWatermark),
      ...both(async function* (body, ctx) {
        let first = true;
        for await (const chunk of body) {
          if (first) await tick();
          if (first) ctx.headers.set('x-held', name);
          first = false;
          yield chunk;
        }
      }),
    }),
    body: same,
  },
  early: {
    make: (name) =>
      both(async function* (body) {
        let head = '';
        for await (const chunk of body) {
          head += text(chunk);
          if (head.length >= 3) break;
        }
        yield latin1(`${name}!${head.slice(0, 3)}`);
      }),
    body: (name, body) => (body === undefined ? undefined : `${name}!${body.slice(0, 3)}`),
  },
  bypass: {
    make: (name) =>
      both(async function* (body, ctx) {
        for await (const chunk of body) {
          yield latin1(`${name}?`);
          yield chunk;
          break;
        }
        await tick();
        ctx.bypass();
      }),
    body: (name, body) => (body === undefined || body === '' ? body : `${name}?${body}`),
  },
  through: {
    make: () => {
      const pass = (): TransformStream<Uint8Array, Uint8Array> =>
        new TransformStream({
          transform: (chunk, to) => {
            to.enqueue(latin1(up(text(chunk))));
          },
        });
      return { transformRequest: pass(), transformResponse: pass() };
    },
    body: (_, body) => (body === undefined ? undefined : up(body)),
  },
};

/** What a member does besides: each sees what those before it wrote. */
interface Extra {
  readonly slow: boolean;
  /** Adds bytes before the body, in its headers hook. */
  readonly adds: boolean;
  /** Adds bytes behind it, in its trailers hook. */
  readonly addsLast: boolean;
}

function member(name: string, style: Style, extra: Extra): Filter {
  const note = (map: HeaderMap): void => {
    map.set('x-order', `${map.get('x-order') ?? ''}${name}`);
    map.add('x-each', name);
  };
  return defineFilter({
    name,
    create: (_config, callbacks) => {
      const made = style.make(name);
      const onHeaders =
        (hook: ((map: never, end: boolean) => unknown) | undefined, add: (chunk: Chunk) => void) =>
        async (map: HeaderMap, end: boolean): Promise<unknown> => {
          if (extra.slow) await tick();
          note(map);
          if (extra.adds) add(`+${name}`);
          return hook?.(map as never, end);
        };
      const onTrailers =
        (add: (chunk: Chunk) => void) =>
        (map: HeaderMap): unknown => {
          note(map);
          if (extra.addsLast) add(`-${name}`);
          return extra.slow ? tick() : undefined;
        };
      const decoder = callbacks.decoderFilterCallbacks();
      const encoder = callbacks.encoderFilterCallbacks();
      const decodeHeaders = made.decodeHeaders?.bind(made) as never;
      const encodeHeaders = made.encodeHeaders?.bind(made) as never;
      return {
        ...made,
        decodeHeaders: onHeaders(decodeHeaders, (chunk) => {
          decoder.addData(chunk);
        }),
        encodeHeaders: onHeaders(encodeHeaders, (chunk) => {
          encoder.addData(chunk);
        }),
        decodeTrailers: onTrailers((chunk) => {
          decoder.addData(chunk);
        }),
        encodeTrailers: onTrailers((chunk) => {
          encoder.addData(chunk);
        }),
      } as StreamFilter as object;
    },
  });
}

const SEED = Number(process.env['TSF_SEED'] ?? Date.now() % 1_000_000);

function randomness(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

describe('random lists', () => {
  it('make of a message what their members make of it one after the other', { timeout: 60_000 }, async () => {
    console.info(`seed ${String(SEED)} (TSF_SEED)`);
    const random = randomness(SEED);
    const names = Object.keys(STYLES);
    for (let round = 0; round < 250; round++) {
      const chosen = Array.from({ length: 1 + random(4) }, (_, i) => {
        const style = names[random(names.length)]!;
        // A body that its member ended, or let go of, before its end has none to add to.
        const ends = style === 'early' || style === 'bypass';
        const extra = { slow: random(2) === 0, adds: random(4) === 0, addsLast: random(4) === 0 && !ends };
        return { name: 'abcd'[i]!, style, extra };
      });
      const filters = chosen.map(({ name, style, extra }) => member(name, STYLES[style]!, extra));
      const window = [4096, 64, 9][random(3)]!;
      const bench = await ListBench.of(filters, { streamWindow: window });
      const driver = bench.open();
      for (const direction of [Direction.Request, Direction.Response]) {
        const chunks = Array.from({ length: random(7) }, () =>
          String.fromCharCode(65 + random(26)).repeat(random(9) === 0 ? 100 : random(7)),
        );
        const trailers = random(3) === 0 ? { 't-own': '1' } : undefined;
        const message: Message = { chunks, ...(trailers === undefined ? {} : { trailers }) };
        const what = JSON.stringify({ seed: SEED, round, direction, chosen, window, chunks, trailers });

        const order = direction === Direction.Request ? chosen : [...chosen].reverse();
        let body: string | undefined = chunks.length === 0 && trailers === undefined ? undefined : chunks.join('');
        for (const { name, style, extra } of order) {
          // The transform of a message that ends with its headers does not run; bytes that are added are not its own.
          const added = extra.adds ? `+${name}` : '';
          const made = STYLES[style]!.body(name, body);
          const addedLast = extra.addsLast && trailers !== undefined ? `-${name}` : '';
          body = made === undefined && added === '' ? undefined : `${added}${made ?? ''}${addedLast}`;
        }

        const passed = await driver.pass(direction, message, random(3)).catch((e: unknown) => {
          throw new Error(`${what}: ${(e as Error).message}`);
        });
        const wrote = order.map(({ name }) => name);
        expect({ what, body: passed.body }).toEqual({ what, body: body ?? '' });
        const valuesOf = (lines: [string, string][], name: string): string[] =>
          lines.filter((line) => line[0] === name).map((line) => line[1]);
        expect({ what, order: valuesOf(passed.headers, 'x-order') }).toEqual({ what, order: [wrote.join('')] });
        expect({ what, each: valuesOf(passed.headers, 'x-each') }).toEqual({ what, each: wrote });
        if (passed.trailers !== undefined)
          expect({ what, each: valuesOf(passed.trailers, 'x-each') }).toEqual({ what, each: wrote });
        expect({ what, fails: driver.sink.lines.filter((line) => line.startsWith('fail')) }).toEqual({
          what,
          fails: [],
        });
        expect({ what, timed: driver.sink.flows[direction].timed }).toEqual({ what, timed: false });
        expect({ what, violations: driver.sink.violations }).toEqual({ what, violations: [] });
      }
      driver.end();
    }
  });
});

/**
 * What of a body that has not ended has come out of a member, given all that the one before it has let out; undefined:
 * not even its headers.
 */
const SO_FAR: { readonly [style: string]: (name: string, body: string) => string | undefined } = {
  headers: (_, body) => body,
  perChunk: (_, body) => up(body),
  generator: (name, body) => `<${name}${body}`,
  delegate: (_, body) => body,
  keep: (_, body) => (body.length < 5 ? '' : body),
  late: () => '',
  go: (_, body) => up(body),
  gather: () => '',
  whole: () => undefined,
  hold: (_, body) => (body === '' ? undefined : body),
  early: (name, body) => (body.length < 3 ? '' : `${name}!${body.slice(0, 3)}`),
  bypass: (name, body) => (body === '' ? '' : `${name}?${body}`),
  through: (_, body) => up(body),
};

describe('random lists in the middle of a message', () => {
  it('let all go that they can make of it, and ask for more', { timeout: 60_000 }, async () => {
    const random = randomness(SEED);
    const names = Object.keys(SO_FAR);
    for (let round = 0; round < 250; round++) {
      const chosen = Array.from({ length: 1 + random(4) }, (_, i) => {
        const extra = { slow: random(2) === 0, adds: random(4) === 0, addsLast: false };
        return { name: 'abcd'[i]!, style: names[random(names.length)]!, extra };
      });
      const filters = chosen.map(({ name, style, extra }) => member(name, STYLES[style]!, extra));
      const window = [4096, 64, 9][random(3)]!;
      const bench = await ListBench.of(filters, { streamWindow: window });
      const driver = bench.open();
      for (const direction of [Direction.Request, Direction.Response]) {
        const flow = driver.sink.flows[direction];
        const told = driver.sink.told[direction];
        const order = direction === Direction.Request ? chosen : [...chosen].reverse();
        driver.headers(direction, { chunks: [''] });
        await driver.until('an answer to the headers', () => flow.mode !== undefined);
        if (flow.mode === BodyMode.Whole || flow.mode === BodyMode.Pass) continue;
        let sent = '';
        for (let i = 0; i < 6 && !flow.last && !flow.bypass; i++) {
          let body: string | undefined = sent;
          for (const { name, style, extra } of order) {
            const made: string | undefined = body === undefined ? undefined : SO_FAR[style]!(name, body);
            body = made === undefined ? undefined : `${extra.adds ? `+${name}` : ''}${made}`;
          }
          const expected = body ?? '';
          const is = (): { digested: boolean; outstanding: number; body: string } => ({
            digested: told.digested,
            outstanding: told.outstanding,
            body: driver.sink.body(direction).toString('latin1'),
          });
          for (let turns = 0; turns < 40; turns++) {
            await tick();
            if (told.digested && driver.sink.body(direction).length >= expected.length) break;
          }
          const what = JSON.stringify({ seed: SEED, round, direction, chosen, window, sent });
          if (!flow.last && !flow.bypass)
            expect({ what, ...is() }).toEqual({ what, digested: true, outstanding: 0, body: expected });
          else expect({ what, body: is().body }).toEqual({ what, body: expected });
          expect({ what, violations: driver.sink.violations }).toEqual({ what, violations: [] });
          const chunk = String.fromCharCode(65 + random(26)).repeat(1 + random(random(9) === 0 ? 100 : 6));
          if (flow.last || flow.bypass) continue;
          sent += chunk;
          driver.data(direction, chunk);
        }
      }
      driver.end();
    }
  });
});
