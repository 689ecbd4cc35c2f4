/** Frames and messages that no correct module sends: read to their own last byte at most, or refused. TSF_SEED=n repeats. */
import { Builder } from 'flatbuffers';
import { expect, test } from 'vitest';
import { decodeControl, FrameReader, MalformedFrame, MalformedMessage } from './index.js';
import * as schema from './generated/index.js';

const SEED = Number(process.env['TSF_SEED'] ?? Date.now() % 1_000_000);
const ROUNDS = Number(process.env['TSF_ROUNDS'] ?? '30000');
/** What lies around a frame, and in no frame. */
const OUTSIDE = 0xee;

class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed | 1;
  }
  below(n: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % n;
  }
}

function frame(build: (b: Builder, bytes: number) => number, length: number): Uint8Array {
  const b = new Builder(256);
  b.startVector(1, length, 8);
  for (let i = 0; i < length; i++) b.addInt8(i % 100);
  b.finish(build(b, b.endVector()));
  return b.asUint8Array().slice();
}

const { Headers, Data, QueryAnswer, CallEvent, LogRun, End, Credit } = schema;
interface Kind {
  readonly bytes: Uint8Array;
  read(reader: FrameReader, offset: number, length: number): Uint8Array | undefined;
}
const KINDS: readonly Kind[] = [
  {
    bytes: frame((b, v) => Headers.createHeaders(b, 1, 2, 0, 1, 3, 4, 1, 0, 1, 9, v), 90),
    read: (r, at, n) => (r.open(r.headers, at, n), r.headersBlock()),
  },
  {
    bytes: frame((b, v) => Data.createData(b, 1, 2, 0, 0, v), 40),
    read: (r, at, n) => (r.open(r.data, at, n), r.dataBytes()),
  },
  {
    bytes: frame((b, v) => QueryAnswer.createQueryAnswer(b, 1, 2, 3, true, v), 24),
    read: (r, at, n) => (r.open(r.queryAnswer, at, n), r.queryBlock()),
  },
  {
    bytes: frame((b, v) => CallEvent.createCallEvent(b, 1, 2, 7, 0, true, v), 24),
    read: (r, at, n) => (r.open(r.callEvent, at, n), r.callBlock()),
  },
  {
    bytes: frame((b, v) => LogRun.createLogRun(b, 1, 2, 0, v), 24),
    read: (r, at, n) => (r.open(r.logRun, at, n), r.logBlock()),
  },
  {
    bytes: frame((b) => End.createEnd(b, 1, 2, 0), 0),
    read: (r, at, n) => (r.open(r.end, at, n), void r.end.reason()),
  },
  {
    bytes: frame((b) => Credit.createCredit(b, 1, 2, 0, 9), 0),
    read: (r, at, n) => (r.open(r.credit, at, n), void r.credit.bytes()),
  },
];

/** Some bytes of it are others, or it is cut, or nothing is as it was. */
function spoilt(random: Random, bytes: Uint8Array): Uint8Array {
  const all = random.below(20) === 0;
  const out = bytes.slice(0, random.below(4) === 0 ? random.below(bytes.length + 1) : bytes.length);
  const edges = [0, 1, 4, 8, 0x7f, 0x80, 0xff];
  for (let i = all ? out.length : random.below(6); i-- > 0 && out.length > 0;) {
    const at = all ? i : random.below(out.length);
    const value = random.below(3) === 0 ? edges[random.below(edges.length)]! : random.below(256);
    out[at] = value === OUTSIDE ? 0 : value;
  }
  return out;
}

test('frames: what is read of one lies in it', () => {
  const random = new Random(SEED);
  const memory = new Uint8Array(4096);
  const reader = new FrameReader(memory);
  const seen = { read: 0, refused: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    const kind = KINDS[random.below(KINDS.length)]!;
    const bytes = spoilt(random, kind.bytes);
    memory.fill(OUTSIDE);
    // At the end of the memory, too: nothing lies behind it.
    const offset = random.below(2) === 0 ? 1024 : (memory.length - bytes.length) & ~7;
    memory.set(bytes, offset);
    try {
      const got = kind.read(reader, offset, bytes.length);
      seen.read++;
      if (got?.includes(OUTSIDE) === true) expect({ SEED, round, bytes, offset, got }).toBe('bytes of another frame');
    } catch (error) {
      if (!(error instanceof MalformedFrame)) throw new Error(`TSF_SEED=${SEED} round ${round}`, { cause: error });
      seen.refused++;
    }
  }
  expect(seen.read).toBeGreaterThan(ROUNDS / 20);
  expect(seen.refused).toBeGreaterThan(ROUNDS / 20);
});

test('messages: one is read, or refused, and never makes more than it is', () => {
  const b = new Builder(256);
  const text = b.createString('a text');
  const texts = schema.FilterConfig.createAllowVector(b, [text, text]);
  schema.FilterConfig.startFilterConfig(b);
  schema.FilterConfig.addId(b, 7);
  schema.FilterConfig.addName(b, text);
  schema.FilterConfig.addConfig(b, text);
  schema.FilterConfig.addAllow(b, texts);
  schema.FilterConfig.addDeny(b, texts);
  b.finish(schema.FilterConfig.endFilterConfig(b));
  const message = b.asUint8Array().slice();

  const random = new Random(SEED);
  const seen = { read: 0, refused: 0 };
  for (let round = 0; round < ROUNDS / 3; round++) {
    const bytes = spoilt(random, message);
    const kind = random.below(3) === 0 ? random.below(14) : schema.ControlKind.FilterConfig;
    const began = performance.now();
    try {
      decodeControl(kind, bytes);
      seen.read++;
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw new Error(`TSF_SEED=${SEED} round ${round}`, { cause: error });
      seen.refused++;
    }
    if (performance.now() - began > 1000) expect({ SEED, round, bytes }).toBe('a message that is read for long');
  }
  expect(seen.read).toBeGreaterThan(0);
  expect(seen.refused).toBeGreaterThan(0);
});
