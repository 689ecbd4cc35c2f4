// The TypeScript ring takes every step of the golden vectors that the C++ ring wrote, with the same results and bytes.
import { readFileSync } from 'node:fs';
import { Endpoint, MalformedRingError, OFFSET, createChannel } from 'sharedarraybuffer-ring';
import { expect, test } from 'vitest';

type SideName = 'a' | 'b';
type Words = Record<'tail' | 'head' | 'sleep' | 'starved' | 'taken' | 'closed', number>;
type Image = Words & { data: [offset: number, hex: string][] };
type Step = [SideName, string, ...unknown[]];
type Scenario = {
  name: string;
  capacity: number;
  aTail: number;
  bTail: number;
  steps: Step[];
  end: Record<SideName, Image>;
};

// cpp/test/shm/golden.h tells what a step is.
const { scenarios } = JSON.parse(readFileSync(new URL('ring.json', import.meta.url), 'utf8')) as {
  scenarios: Scenario[];
};

function fill(bytes: Uint8Array, kind: number): void {
  for (let i = 0; i < bytes.length; i++) {
    const edge = i < 16 || i + 16 >= bytes.length;
    bytes[i] = edge ? Math.imul(kind, 31) + i * 7 + bytes.length : 0;
  }
}

function checksum(bytes: Uint8Array): number {
  return bytes.reduce((sum, byte, i) => (sum + byte * (i + 1)) >>> 0, 0);
}

function malformedOr<T>(act: () => T): T | 'malformed' {
  try {
    return act();
  } catch (error) {
    if (error instanceof MalformedRingError) return 'malformed';
    throw error;
  }
}

class Replay {
  readonly #files: Record<SideName, SharedArrayBuffer>;
  readonly #sides: Record<SideName, { endpoint: Endpoint; rings: number }>;

  constructor({ capacity, aTail, bTail }: Scenario) {
    const { a, b } = createChannel(capacity);
    this.#files = { a: a.own, b: b.own };
    this.set('a', OFFSET.tail, aTail);
    this.set('b', OFFSET.head, aTail);
    this.set('b', OFFSET.tail, bTail);
    this.set('a', OFFSET.head, bTail);
    const side = (own: SharedArrayBuffer, peer: SharedArrayBuffer) => {
      const made = { rings: 0, endpoint: new Endpoint(own, peer, { ring: () => made.rings++ }) };
      return made;
    };
    this.#sides = { a: side(a.own, a.peer), b: side(b.own, b.peer) };
  }

  set(name: SideName, offset: number, value: number): void {
    new Uint32Array(this.#files[name])[offset >> 2] = value;
  }

  /** The step as it came out here: what was asked, then our results. */
  take(step: Step): Step {
    const [name, what, ...numbers] = step;
    const [first, second, third] = numbers as number[];
    const side = this.#sides[name];
    const { endpoint } = side;
    const before = side.rings;
    const rang = () => side.rings > before;
    switch (what) {
      case 'put': {
        const offset = endpoint.claim(first!, second!);
        if (offset >= 0) {
          fill(endpoint.ownBytes.subarray(offset, offset + third!), first!);
          endpoint.commit(third);
        }
        return [name, what, first, second, third, offset];
      }
      case 'abort': {
        const offset = endpoint.claim(first!, second!);
        endpoint.abort();
        return [name, what, first, second, offset];
      }
      case 'publish':
        endpoint.publish();
        return [name, what, rang()];
      case 'drain': {
        const frames: number[][] = [];
        const read = malformedOr(() =>
          endpoint.drain((kind, offset, length) => {
            frames.push([kind, offset, length, checksum(endpoint.peerBytes.subarray(offset, offset + length))]);
          }, first),
        );
        return read === 'malformed' ? [name, what, first, read] : [name, what, first, frames, rang()];
      }
      case 'sleep':
        return [name, what, endpoint.sleep()];
      case 'wake':
        endpoint.wake();
        return [name, what];
      case 'unread':
        return [name, what, malformedOr(() => endpoint.unread)];
      case 'close':
        endpoint.close();
        return [name, what];
      case 'untaken':
        return [name, what, endpoint.untaken];
      case 'set':
        this.set(name, first!, second!);
        return step;
      default:
        throw new Error(`unknown step ${what}`);
    }
  }

  image(name: SideName): Image {
    const words = new Uint32Array(this.#files[name], 0, 1024);
    const bytes = new Uint8Array(this.#files[name], 4096);
    const data: Image['data'] = [];
    let open = false;
    for (let at = 0; at < bytes.length; at += 8) {
      const piece = bytes.subarray(at, at + 8);
      const zero = piece.every((byte) => byte === 0);
      if (!zero && !open) data.push([at, '']);
      if (!zero) data[data.length - 1]![1] += Buffer.from(piece).toString('hex');
      open = !zero;
    }
    const word = (offset: number) => words[offset >> 2]!;
    return {
      tail: word(OFFSET.tail),
      head: word(OFFSET.head),
      sleep: word(OFFSET.sleep),
      starved: word(OFFSET.starved),
      taken: word(OFFSET.taken),
      closed: word(OFFSET.closed),
      data,
    };
  }
}

test.each(scenarios)('the ring does as the C++ ring: $name', (scenario) => {
  const replay = new Replay(scenario);
  scenario.steps.forEach((step, number) => {
    expect(replay.take(step), `step ${number}`).toEqual(step);
  });
  expect(replay.image('a')).toEqual(scenario.end.a);
  expect(replay.image('b')).toEqual(scenario.end.b);
});
