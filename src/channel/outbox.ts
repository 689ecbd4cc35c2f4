/**
 * What goes to the module, in order: the ring, and behind it a queue on the heap for the time that the ring is full. A
 * full ring is back-pressure and never loss.
 */
import type { FrameKind, FrameRoom, Room } from './codec/index.js';

/** The part of a ring endpoint that writing needs. */
export interface RingWriter {
  readonly ownBytes: Uint8Array;
  readonly maxPayload: number;
  /** Offset in ownBytes, or -1 while the ring is full. */
  claim(kind: number, length: number): number;
  commit(length?: number): void;
  publish(): void;
}

/** Frames written between two looks at the doorbell: fewer and the peer wakes for nothing, more and the first frame of a
 *  batch waits for the last. */
const PUBLISH_EVERY = 32;
/** The same for bodies, so that Envoy takes the first chunks while the next ones are made. */
const PUBLISH_BYTES = 64 * 1024;

interface Waiting {
  readonly kind: FrameKind;
  readonly bytes: Buffer;
}

export class Outbox implements FrameRoom {
  room: Room;
  readonly maxRecord: number;
  /** Something was committed and not yet published. */
  dirty = false;
  /** Bytes that wait on the heap. */
  queuedBytes = 0;
  readonly #ring: RingWriter;
  readonly #ringRoom: Room;
  readonly #onBroken: (error: unknown) => void;
  #broken = false;
  /** What has gone from its front leaves undefined, so that its memory goes too. */
  #queue: (Waiting | undefined)[] = [];
  #first = 0;
  #unpublished = 0;
  #unpublishedBytes = 0;
  #claimed = 0;
  #inRing = true;
  /** Somebody waits for the queue to go. */
  #drained: { readonly promise: Promise<void>; readonly settle: () => void } | undefined;

  /** `onBroken`: the peer wrote positions that cannot be. Nothing goes out any more, and no writer hears of it. */
  constructor(ring: RingWriter, onBroken: (error: unknown) => void) {
    this.#ring = ring;
    this.#onBroken = onBroken;
    this.maxRecord = ring.maxPayload;
    this.#ringRoom = roomOf(Buffer.from(ring.ownBytes.buffer, ring.ownBytes.byteOffset, ring.ownBytes.byteLength));
    this.room = this.#ringRoom;
  }

  claim(kind: FrameKind, size: number): number {
    if (this.#queue.length === this.#first) {
      const at = this.#claimRing(kind, size);
      if (at >= 0) {
        this.room = this.#ringRoom;
        this.#claimed = size;
        this.#inRing = true;
        return at;
      }
    }
    const bytes = Buffer.allocUnsafeSlow(size);
    this.room = roomOf(bytes);
    this.#inRing = false;
    if (!this.#broken) {
      this.#queue.push({ kind, bytes });
      this.queuedBytes += size;
    }
    return 0;
  }

  commit(): void {
    if (!this.#inRing) return;
    this.#ring.commit();
    this.dirty = true;
    this.#unpublishedBytes += this.#claimed;
    if (++this.#unpublished >= PUBLISH_EVERY || this.#unpublishedBytes >= PUBLISH_BYTES) this.publish();
  }

  publish(): void {
    if (this.#broken) return;
    this.dirty = false;
    this.#unpublished = 0;
    this.#unpublishedBytes = 0;
    this.#ring.publish();
  }

  /** Moves what waits into the ring; true when nothing waits any more. */
  flush(): boolean {
    const queue = this.#queue;
    while (this.#first < queue.length) {
      const { kind, bytes } = queue[this.#first] as Waiting;
      const at = this.#claimRing(kind, bytes.length);
      if (at < 0) {
        this.#compact();
        return false;
      }
      this.#ringRoom.bytes.set(bytes, at);
      this.#ring.commit();
      this.dirty = true;
      this.#unpublished++;
      this.queuedBytes -= bytes.length;
      queue[this.#first++] = undefined;
    }
    if (this.#first > 0) {
      this.#queue = [];
      this.#first = 0;
      this.#release();
    }
    return true;
  }

  /** undefined while there is room; else settles when the queue has gone, or the channel. */
  backpressure(): Promise<void> | undefined {
    if (this.#queue.length === this.#first) return undefined;
    if (this.#drained === undefined) {
      let settle!: () => void;
      const promise = new Promise<void>((resolve) => (settle = resolve));
      this.#drained = { promise, settle };
    }
    return this.#drained.promise;
  }

  /** The channel is gone: nothing goes out any more, and nobody waits for it. */
  close(): void {
    this.#broken = true;
    this.#queue = [];
    this.#first = 0;
    this.queuedBytes = 0;
    this.#release();
  }

  /** Once in as many frames as it moves. */
  #compact(): void {
    if (this.#first * 2 < this.#queue.length) return;
    this.#queue.splice(0, this.#first);
    this.#first = 0;
  }

  #claimRing(kind: FrameKind, size: number): number {
    if (this.#broken) return -1;
    try {
      const at = this.#ring.claim(kind, size);
      if (at >= 0 || this.#unpublished === 0) return at;
      // The peer frees only what it has seen.
      this.publish();
      return this.#ring.claim(kind, size);
    } catch (error) {
      this.close();
      this.#onBroken(error);
      return -1;
    }
  }

  #release(): void {
    this.#drained?.settle();
    this.#drained = undefined;
  }
}

function roomOf(bytes: Buffer): Room {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
}
