/** One table of cases over PROTOCOL.md for every language's library. */
import { afterAll, describe, expect, it } from 'vitest';
import { CallsError, load, type Loaded, type LoadOptions } from '../../filters/calls/core/index.js';
import { connect, type Connection } from '../../filters/calls/core/connection.js';
import {
  encodeFrame,
  type Frame,
  FrameReader,
  MAX_FRAME_BYTES,
  type Payload,
} from '../../filters/calls/core/frames.js';
import { endProcess, processEnded, startProcess } from '../../filters/calls/core/processes.js';
import { specOf } from '../../filters/calls/core/spec.js';
import { bundleWorker } from '../../filters/calls/core/worker-script.js';
import { eventually, within } from '../fixture/index.js';
import { LANGUAGES } from './languages.js';

interface Conformance {
  init(): unknown;
  echo(payload: unknown): unknown;
  fail(): never;
  crash(): never;
  size(count: number): Uint8Array;
  sleep(ms: number): number;
  cancelled(): number;
  exit(): never;
  nowhere(): void;
}

const BODY_OVERHEAD = 6;
const codeOf = (e: unknown): string => (CallsError.is(e) ? e.code : String(e));
const refused = (promise: Promise<unknown>): Promise<CallsError> =>
  promise.then(
    (value) => {
      throw new Error(`answered ${JSON.stringify(value)}`);
    },
    (e: unknown) => e as CallsError,
  );

describe.each(LANGUAGES)('$name', ({ name, conformance }) => {
  const INIT = { greeting: 'hällo', list: [1, 2.5, null, true], '': '😀' };
  const more: Partial<LoadOptions> = { timeoutMs: 8000 };
  const runtime: Loaded<Conformance> = load('conformance', INIT, { ...conformance, ...more } as LoadOptions);
  afterAll(() => runtime[Symbol.asyncDispose]());

  it('gets its init', async () => {
    expect(await runtime.init()).toEqual(INIT);
  });

  it.each([
    ['a string', 'foobar'],
    ['an empty string', ''],
    ['unicode', 'ä€😀\u0000\u2028'],
    ['a number', 0.1],
    ['null', null],
    ['a list', [[], {}, [1, 'two']]],
    ['an object', { a: { b: [1, 2, { c: 'd' }] } }],
    ['no bytes', new Uint8Array()],
    ['every byte', Uint8Array.from({ length: 256 }, (_, i) => i)],
  ])('echoes %s', async (_what, value) => {
    expect(await runtime.echo(value)).toEqual(value);
  });

  it('echoes nothing as nothing, or as the one empty value that it has', async () => {
    expect((await runtime.echo(undefined)) ?? undefined).toBeUndefined();
  });

  it.each([1 << 16, 5_000_001])('echoes %i bytes', async (size) => {
    const bytes = new Uint8Array(size).map((_, i) => (i * 31) ^ (i >> 8));
    const back = (await runtime.echo(bytes)) as Uint8Array;
    expect(Buffer.compare(back, bytes)).toBe(0);
  });

  it('answers the largest payload that fits, and says so of one that does not', async () => {
    const most = MAX_FRAME_BYTES - BODY_OVERHEAD;
    expect((await runtime.size(most)).length).toBe(most);
    expect(codeOf(await refused(runtime.size(most + 1)))).toBe('CALLS_TOO_LARGE');
  });

  it("gives an error's code and message", async () => {
    const error = await refused(runtime.fail());
    expect([error.code, error.remoteCode, error.message]).toEqual(['CALLS_REMOTE', 'NOPE', 'conformance: no: ä€😀']);
    expect((await refused(runtime.crash())).remoteCode).toBe('FAILED');
  });

  it('says so of a method that it does not have', async () => {
    expect(codeOf(await refused(runtime.nowhere()))).toBe('CALLS_METHOD');
    const inherited = runtime as unknown as Readonly<Record<'toString' | 'constructor', () => Promise<void>>>;
    expect(codeOf(await refused(inherited.toString()))).toBe('CALLS_METHOD');
    expect(codeOf(await refused(inherited.constructor()))).toBe('CALLS_METHOD');
  });

  it('runs calls at the same time, and each gets its own answer', async () => {
    const began = performance.now();
    const waits = Array.from({ length: 40 }, (_, i) => 300 + i);
    expect(await Promise.all(waits.map((ms) => runtime.sleep(ms)))).toEqual(waits);
    expect(performance.now() - began).toBeLessThan(3000);
  });

  it('hears of a call that nobody waits for', async () => {
    const before = await runtime.cancelled();
    const aborter = new AbortController();
    const call = refused(runtime.sleep(20_000, { signal: aborter.signal }));
    const late = refused(runtime.sleep(20_000, { timeoutMs: 100 }));
    setTimeout(() => aborter.abort(new Error('enough')), 100);
    expect((await call).message).toBe('enough');
    expect(codeOf(await late)).toBe('CALLS_DEADLINE');
    await eventually('both were cancelled', async () => (await runtime.cancelled()) === before + 2);
  });

  it('refuses a name that it does not serve, and an init that fails', async () => {
    for (const part of ['elsewhere', 'bad']) {
      const other = load<Conformance>(part, 1, conformance);
      const error = await refused(other.echo(1));
      expect(error.code).toBe('CALLS_LOAD_FAILED');
      expect(error.message).toContain(part === 'bad' ? 'bad init' : 'elsewhere');
      expect(codeOf(await refused(other.echo(1)))).toBe('CALLS_DOWN');
      await other[Symbol.asyncDispose]();
    }
  });

  it('answers what it has when it is to end, and ends', async () => {
    const other = load<Conformance>('conformance', 1, { ...conformance, ...more, graceMs: 10_000 } as LoadOptions);
    await other.echo(1);
    const last = other.sleep(300);
    const began = performance.now();
    await within(5000, 'it ends', Promise.resolve(other[Symbol.asyncDispose]()));
    expect(await last).toBe(300);
    expect(performance.now() - began).toBeGreaterThan(250);
    expect(codeOf(await refused(other.echo(1)))).toBe('CALLS_CLOSED');
  });

  it('that ends of itself fails its calls, and the next call starts it again', async () => {
    const calls = [runtime.sleep(5000), runtime.sleep(5000)].map(refused);
    const error = await refused(runtime.exit());
    expect([error.code, error.message]).toEqual(['CALLS_DIED', 'conformance: exit code 3']);
    expect((await Promise.all(calls)).map(codeOf)).toEqual(['CALLS_DIED', 'CALLS_DIED']);
    expect(await runtime.echo('again')).toBe('again');
  });

  const nothing: Payload = { format: 0, bytes: new Uint8Array() };
  const raw = (bytes: number[]): Uint8Array<ArrayBuffer> => Uint8Array.from(bytes);
  it('ends when it is sent what is no frame, or what is not due', async () => {
    const wrong = [
      ['a length over the limit', raw([1, 0, 0, 1, 3, 0, 0, 0, 0, 1, 0])],
      ['a length below that of a header', raw([0, 0, 0, 5, 7, 0, 0, 0, 0, 0, 0])],
      ['an unknown kind', raw([0, 0, 0, 6, 99, 0, 0, 0, 0, 0])],
      ['an unknown format', raw([0, 0, 0, 7, 3, 9, 0, 0, 0, 1, 0])],
      ['a name that is longer than its frame', raw([0, 0, 0, 7, 3, 0, 0, 0, 0, 1, 200])],
      ['a kind that runtimes send', encodeFrame({ kind: 'answer', id: 1, payload: nothing })],
      ['a second load', encodeFrame({ kind: 'load', name: 'conformance', payload: nothing })],
      ['a call before its load', encodeFrame({ kind: 'call', id: 1, name: 'echo', payload: nothing })],
    ] as const;
    const ends = wrong.map(async ([what, frame]) => {
      const peer = await Peer.of(conformance);
      if (what !== 'a call before its load') await peer.load();
      peer.connection.write(frame);
      return [what, (await within(10_000, `it ends after ${what}`, peer.closed)) === 'exit code 0'];
    });
    expect(await Promise.all(ends)).toEqual(wrong.map(([what]) => [what, false]));
  });

  it('reads frames that come in pieces, and many in one piece', async () => {
    if (name === 'TypeScript') return; // between threads a piece is a frame
    const peer = await Peer.of(conformance);
    await peer.load();
    const call = (id: number): Uint8Array =>
      encodeFrame({ kind: 'call', id, name: 'echo', payload: { format: 1, bytes: raw([id]) } });
    for (const byte of call(7)) {
      peer.connection.write(raw([byte]));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    peer.connection.write(new Uint8Array(Buffer.concat([call(8), call(9)])));
    await eventually('three answers', () => peer.frames.length === 5);
    const answers = peer.frames.slice(2).map((frame) => ('id' in frame ? [frame.kind, frame.id] : [frame.kind]));
    expect(answers.sort()).toEqual([
      ['answer', 7],
      ['answer', 8],
      ['answer', 9],
    ]);
    await peer.connection.end(0);
  });
});

/** The other end of a runtime, which can say what no host says. */
class Peer {
  readonly frames: Frame[] = [];
  readonly closed: Promise<string>;
  readonly #reader = new FrameReader();

  constructor(readonly connection: Connection) {
    this.closed = new Promise((resolve) => {
      connection.listen({
        bytes: (piece) => this.frames.push(...this.#reader.push(piece)),
        drained: () => undefined,
        closed: resolve,
      });
    });
  }

  static async of(program: LoadOptions): Promise<Peer> {
    const { spec } = specOf('conformance', undefined, program);
    const peer = new Peer(await connect(spec, { startProcess, processEnded, endProcess, bundleWorker }));
    await eventually('hello', () => peer.frames[0]?.kind === 'hello');
    return peer;
  }

  async load(): Promise<void> {
    this.connection.write(
      encodeFrame({ kind: 'load', name: 'conformance', payload: { format: 0, bytes: new Uint8Array() } }),
    );
    await eventually('loaded', () => this.frames[1]?.kind === 'answer');
  }
}
