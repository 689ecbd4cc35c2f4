import { describe, expect, test } from 'vitest';
import {
  DATA_OFFSET,
  Endpoint,
  MalformedRingError,
  OFFSET,
  createChannel,
  formatFile,
  maxPayload,
} from '../src/index.ts';

const CAPACITY = 64 * 1024;

type Words = { tail?: number; head?: number };

/** Two endpoints on one channel, whose words can be set by hand before and after. */
function pair({ a = {}, b = {} }: { a?: Words; b?: Words } = {}, capacity = CAPACITY) {
  const channel = createChannel(capacity);
  const files = { a: new Uint32Array(channel.a.own), b: new Uint32Array(channel.b.own) };
  const set = (file: 'a' | 'b', words: Partial<Record<keyof typeof OFFSET, number>>) => {
    for (const [name, value] of Object.entries(words)) files[file][OFFSET[name as keyof typeof OFFSET] >> 2] = value;
  };
  const get = (file: 'a' | 'b', name: keyof typeof OFFSET) => files[file][OFFSET[name] >> 2];
  set('a', a);
  set('b', b);
  const rings = { a: 0, b: 0 };
  return {
    a: new Endpoint(channel.a.own, channel.a.peer, { ring: () => void rings.b++ }),
    b: new Endpoint(channel.b.own, channel.b.peer, { ring: () => void rings.a++ }),
    rings,
    set,
    get,
    channel,
  };
}

/** Where the ring from a to b starts. */
const startingAt = (position: number) => ({ a: { tail: position }, b: { head: position } });

function put(endpoint: Endpoint, kind: number, length: number, fill = 0xab): boolean {
  const offset = endpoint.claim(kind, length);
  if (offset < 0) return false;
  endpoint.ownBytes.fill(fill, offset, offset + length);
  endpoint.commit();
  return true;
}

/** As many frames as fit. */
function putAll(endpoint: Endpoint, length: number): number {
  let frames = 0;
  while (put(endpoint, 1 + frames, length)) frames++;
  return frames;
}

function take(endpoint: Endpoint, limit?: number) {
  const frames: { kind: number; offset: number; bytes: Uint8Array }[] = [];
  endpoint.drain((kind, offset, length) => {
    frames.push({ kind, offset, bytes: endpoint.peerBytes.slice(offset, offset + length) });
  }, limit);
  return frames;
}

describe('frames', () => {
  test('arrive in order, with kind and bytes, once they are published', () => {
    const { a, b } = pair();
    put(a, 7, 5, 0x11);
    put(a, 0xffffffff, 0);
    expect(b.pending).toBe(false);
    expect(take(b)).toEqual([]);
    a.publish();
    expect(b.pending).toBe(true);
    expect(take(b)).toMatchObject([
      { kind: 7, bytes: new Uint8Array(5).fill(0x11) },
      { kind: 0xffffffff, bytes: new Uint8Array() },
    ]);
    expect(b.pending).toBe(false);
  });

  test('begin at multiples of 8 in both sides’ bytes', () => {
    const { a, b } = pair();
    for (let length = 0; length < 40; length++) {
      expect(a.claim(1, length) % 8).toBe(0);
      a.commit();
    }
    a.publish();
    expect(take(b).every(({ offset }) => offset % 8 === 0)).toBe(true);
  });

  test('can be committed shorter than they were claimed', () => {
    const { a, b } = pair();
    a.claim(1, 1000);
    a.commit(3);
    a.publish();
    expect(take(b)[0]!.bytes).toHaveLength(3);
    expect(a.unread).toBe(0);
  });

  test('leave no trace when the claim is aborted or replaced', () => {
    const { a, b } = pair();
    a.claim(1, 100);
    a.abort();
    a.claim(2, 100);
    a.claim(3, 1);
    a.commit();
    a.publish();
    expect(take(b).map(({ kind }) => kind)).toEqual([3]);
  });

  test('of the longest length fit an empty ring wherever it stands', () => {
    for (let position = 0; position < CAPACITY; position += 1000) {
      const { a, b } = pair(startingAt(position));
      expect(put(a, 1, a.maxPayload)).toBe(true);
      a.publish();
      expect(take(b)).toHaveLength(1);
    }
  });

  test('travel both ways at once', () => {
    const { a, b } = pair();
    put(a, 1, 8);
    put(b, 2, 8);
    a.publish();
    b.publish();
    expect([take(a)[0]!.kind, take(b)[0]!.kind]).toEqual([2, 1]);
  });

  test('need no shared memory', () => {
    const files = [0, 1].map(() => formatFile(new ArrayBuffer(DATA_OFFSET + CAPACITY))) as [ArrayBuffer, ArrayBuffer];
    const a = new Endpoint(files[0], files[1], { ring() {} });
    const b = new Endpoint(files[1], files[0], { ring() {} });
    put(a, 1, 8);
    a.publish();
    expect(take(b)).toHaveLength(1);
  });
});

describe('the wrap', () => {
  test('is bridged by a padding record when a frame does not fit before the end', () => {
    const { a, b, get, channel } = pair(startingAt(CAPACITY - 24));
    put(a, 9, 17);
    a.publish();
    expect(get('a', 'tail')).toBe(CAPACITY + 32);
    const words = new Uint32Array(channel.a.own, DATA_OFFSET);
    expect([...words.subarray((CAPACITY - 24) >> 2, ((CAPACITY - 24) >> 2) + 2)]).toEqual([16, 0]);
    expect([...words.subarray(0, 2)]).toEqual([17, 9]);
    expect(take(b).map(({ kind, offset }) => [kind, offset])).toEqual([[9, DATA_OFFSET + 8]]);
    expect(get('b', 'head')).toBe(CAPACITY + 32);
  });

  test('needs no padding when a frame ends exactly there', () => {
    const { a, b, get } = pair(startingAt(CAPACITY - 24));
    put(a, 9, 16);
    put(a, 10, 0);
    a.publish();
    expect(get('a', 'tail')).toBe(CAPACITY + 8);
    expect(take(b)).toHaveLength(2);
  });

  test('takes a padding of no bytes when only a record’s header would fit', () => {
    const { a, b, get } = pair(startingAt(CAPACITY - 8));
    put(a, 9, 1);
    a.publish();
    expect(get('a', 'tail')).toBe(CAPACITY + 16);
    expect(take(b)).toHaveLength(1);
  });

  test('of positions at 2^32 is no event', () => {
    const { a, b, get } = pair(startingAt(2 ** 32 - 64));
    for (let i = 0; i < 20; i++) {
      expect(put(a, 1, 16, i)).toBe(true);
      a.publish();
      expect(take(b)[0]!.bytes[0]).toBe(i);
      expect(a.unread).toBe(0);
    }
    expect(get('a', 'tail')).toBe(20 * 24 + 16 - 64);
    expect(get('b', 'head')).toBe(20 * 24 + 16 - 64);
  });

  test('of a full ring across 2^32 loses nothing', () => {
    const { a, b } = pair(startingAt(2 ** 32 - CAPACITY / 2));
    const sent = putAll(a, 1000);
    a.publish();
    expect(a.unread).toBeGreaterThan(CAPACITY - 2100);
    expect(take(b).map(({ kind }) => kind)).toEqual(Array.from({ length: sent }, (_, i) => i + 1));
  });
});

describe('a full ring', () => {
  test('answers -1 until the peer has drained', () => {
    const { a, b } = pair();
    putAll(a, 1000);
    expect(a.starved).toBe(true);
    expect(a.hasRoom(1000)).toBe(false);
    a.publish();
    expect(a.claim(1, 1000)).toBe(-1);
    take(b);
    expect(a.hasRoom(1000)).toBe(true);
    expect(put(a, 1, 1000)).toBe(true);
    expect(a.starved).toBe(false);
  });

  test('can be filled to its last byte', () => {
    const { a } = pair();
    for (let i = 0; i < 4; i++) expect(put(a, 1, a.maxPayload)).toBe(true);
    a.publish();
    expect(a.unread).toBe(CAPACITY);
    expect(put(a, 1, 0)).toBe(false);
  });

  test('has room again while a long drain goes on', () => {
    const { a, b } = pair();
    putAll(a, 100);
    a.publish();
    let seen = 0;
    b.drain(() => {
      if (++seen === 33) expect(a.unread).toBe(CAPACITY - (CAPACITY % 112) - 32 * 112);
    });
    expect(seen).toBeGreaterThan(500);
  });

  test('asking whether there is room asks for no doorbell', () => {
    const { a } = pair();
    while (a.hasRoom(1000)) put(a, 1, 1000);
    expect(a.starved).toBe(false);
  });
});

describe('drain', () => {
  test('stops at its limit and goes on there', () => {
    const { a, b } = pair();
    for (let kind = 1; kind <= 5; kind++) put(a, kind, 8);
    a.publish();
    expect(take(b, 2).map(({ kind }) => kind)).toEqual([1, 2]);
    expect(take(b, 0)).toEqual([]);
    expect(a.unread).toBe(3 * 16);
    expect(take(b).map(({ kind }) => kind)).toEqual([3, 4, 5]);
  });

  test('counts the frame of a handler that throws as consumed and passes the error on', () => {
    const { a, b } = pair();
    for (let kind = 1; kind <= 3; kind++) put(a, kind, 8);
    a.publish();
    const handle = (kind: number) => {
      if (kind === 2) throw new Error('handler');
    };
    expect(() => b.drain(handle)).toThrow('handler');
    expect(a.unread).toBe(16);
    expect(take(b).map(({ kind }) => kind)).toEqual([3]);
  });

  test('inside its own handler is refused', () => {
    const { a, b } = pair();
    put(a, 1, 8);
    a.publish();
    expect(() => b.drain(() => b.drain(() => undefined))).toThrow('drain inside a drain handler');
    expect(b.drain(() => undefined)).toBe(0);
  });

  test('hands over frames that are published while it runs', () => {
    const { a, b } = pair();
    put(a, 1, 8);
    a.publish();
    let frames = 0;
    b.drain((kind) => {
      frames++;
      if (kind < 5) {
        put(a, kind + 1, 8);
        a.publish();
      }
    });
    expect(frames).toBe(5);
  });
});

describe('the doorbell', () => {
  test('is rung once for each sleep', () => {
    const { a, b, rings } = pair();
    expect(b.sleep()).toBe(true);
    for (let i = 0; i < 3; i++) {
      put(a, 1, 8);
      a.publish();
    }
    expect(rings.b).toBe(1);
    b.wake();
    take(b);
    put(a, 1, 8);
    a.publish();
    expect(rings.b).toBe(1);
    take(b);
    expect(b.sleep()).toBe(true);
    put(a, 1, 8);
    a.publish();
    expect(rings.b).toBe(2);
  });

  test('is not needed when something came before the sleep', () => {
    const { a, b, rings } = pair();
    put(a, 1, 8);
    a.publish();
    expect(b.sleep()).toBe(false);
    expect(b.asleep).toBe(false);
    expect(rings.b).toBe(0);
  });

  test('is rung again for a sleep that follows a sleep without a wake', () => {
    const { a, b, rings, get } = pair();
    b.sleep();
    put(a, 1, 8);
    a.publish();
    take(b);
    expect(b.sleep()).toBe(true);
    expect(get('b', 'sleep')).toBe(3);
    put(a, 1, 8);
    a.publish();
    expect(rings.b).toBe(2);
  });

  test('is rung for a sleeping producer that waits for room', () => {
    const { a, b, rings } = pair();
    putAll(a, 1000);
    a.publish();
    expect(a.sleep()).toBe(true);
    take(b, 1);
    expect(rings.a).toBe(1);
  });

  test('is not rung for a producer that is awake or wants no room', () => {
    const { a, b, rings } = pair();
    put(a, 1, 8);
    a.publish();
    a.sleep();
    take(b);
    a.wake();
    putAll(a, 1000);
    a.publish();
    take(b);
    expect(rings.a).toBe(0);
    expect(a.sleep()).toBe(false);
  });

  test('sees room that came between a failed claim and a look at unread', () => {
    const { a, b } = pair();
    putAll(a, 1000);
    a.publish();
    take(b);
    expect(a.unread).toBe(0);
    expect(a.sleep()).toBe(false);
  });

  test('counts sleeps past 2^32', () => {
    const { a, b, channel, rings } = pair();
    new Uint32Array(channel.b.own)[OFFSET.sleep >> 2] = 2 ** 32 - 2;
    const late = new Endpoint(channel.b.own, channel.b.peer, { ring() {} });
    for (let i = 1; i <= 4; i++) {
      expect(late.sleep()).toBe(true);
      put(a, 1, 8);
      a.publish();
      expect(rings.b).toBe(i);
      late.wake();
      take(late);
    }
    expect(b.asleep).toBe(false);
  });
});

describe('what was taken', () => {
  test('is told while the handler runs, record by record', () => {
    const { a, b } = pair(startingAt(2 ** 32 - 32));
    for (let kind = 1; kind <= 4; kind++) put(a, kind, 8);
    a.publish();
    const seen: number[] = [];
    b.drain(() => void seen.push(a.untaken));
    expect(seen).toEqual([48, 32, 16, 0]);
  });

  test('ends when the producer closes, in the middle of a drain too', () => {
    const { a, b } = pair();
    for (let kind = 1; kind <= 4; kind++) put(a, kind, 8);
    a.publish();
    const kinds: number[] = [];
    const drain = () =>
      b.drain((kind) => {
        kinds.push(kind);
        if (kind === 2) a.close();
      });
    expect(drain()).toBe(2);
    put(a, 5, 8);
    a.publish();
    expect(drain()).toBe(0);
    expect(kinds).toEqual([1, 2]);
    expect(b.pending).toBe(false);
    expect(b.sleep()).toBe(true);
  });

  test('is all, where the mark cannot be right', () => {
    const { a, b, set } = pair();
    put(a, 1, 8);
    put(a, 2, 8);
    a.publish();
    expect(a.untaken).toBe(32);
    take(b, 1);
    for (const taken of [0, 40, 2 ** 31]) {
      set('b', { taken });
      expect(a.untaken).toBe(0);
    }
    set('b', { taken: 16 });
    expect(a.untaken).toBe(16);
  });
});

describe('wrong use', () => {
  test('is refused with what is wrong', () => {
    const { a } = pair();
    expect(() => a.claim(0, 8)).toThrow('kind must be a u32 above 0, not 0');
    expect(() => a.claim(1.5, 8)).toThrow('kind must be a u32 above 0, not 1.5');
    expect(() => a.claim(1, a.maxPayload + 1)).toThrow(`from 0 to ${maxPayload(CAPACITY)}`);
    expect(() => a.claim(1, -1)).toThrow(RangeError);
    expect(() => a.claim(1, NaN)).toThrow(RangeError);
    expect(() => a.claim(1, 1.5)).toThrow(RangeError);
    expect(() => a.commit()).toThrow('commit without a claim');
    a.claim(1, 8);
    expect(() => a.commit(9)).toThrow('commit of 9 bytes, 8 are claimed');
    expect(() => createChannel(100_000)).toThrow('power of two');
    expect(() => createChannel(4096)).toThrow('power of two');
  });

  test('of memory that is no ring file is refused', () => {
    const { channel } = pair();
    const bell = { ring() {} };
    const plain = new SharedArrayBuffer(DATA_OFFSET + CAPACITY);
    expect(() => new Endpoint(channel.a.own, plain, bell)).toThrow('not a ring file');
    expect(() => new Endpoint(channel.a.own, createChannel(CAPACITY * 2).a.peer, bell)).toThrow('differ in capacity');
    expect(() => new Endpoint(new ArrayBuffer(8), plain, bell)).toThrow(RangeError);
  });
});

describe('a peer that writes nonsense', () => {
  const hostile = (length: number, kind: number, published: number, head = 0) => {
    const { a, set, channel } = pair({ a: { head }, b: { tail: head } });
    new Uint32Array(channel.b.own, DATA_OFFSET + (head & (CAPACITY - 1)), 2).set([length, kind]);
    set('b', { tail: (head + published) >>> 0 });
    let handled = 0;
    const drain = () => a.drain(() => void handled++);
    expect(drain).toThrow(MalformedRingError);
    expect(handled).toBe(0);
    // For good: also when it behaves again.
    set('b', { tail: head });
    expect(drain).toThrow(MalformedRingError);
    expect(() => a.claim(1, 8)).toThrow(MalformedRingError);
  };

  test.each([
    ['a record longer than what was published', 9, 1, 16, 0],
    ['a record past the end of data', 9, 1, 64, CAPACITY - 16],
    ['a length over the limit', CAPACITY / 4 - 7, 1, CAPACITY, 0],
    ['a length that wraps', 0xfffffff9, 1, CAPACITY, 0],
    ['a tail beyond the capacity', 8, 1, CAPACITY + 8, 0],
    ['a tail that is no multiple of 8', 8, 1, 20, 0],
    ['a tail behind the head', 8, 1, -8, 64],
    ['padding that does not reach the end', 48, 0, 64, CAPACITY - 64],
    ['padding as long as the ring', CAPACITY - 8, 0, CAPACITY, 0],
  ])('is stopped at %s', (_name, length, kind, published, head) => hostile(length, kind, published, head));

  test.each([
    ['goes back', 0],
    ['passes the tail', 40],
    ['is no multiple of 8', 20],
  ])('is stopped at a head that %s', (_name, head) => {
    const { a, set } = pair();
    put(a, 1, 8);
    put(a, 1, 8);
    a.publish();
    set('b', { head: 16 });
    expect(a.unread).toBe(16);
    set('b', { head });
    expect(() => a.unread).toThrow(MalformedRingError);
  });
});
