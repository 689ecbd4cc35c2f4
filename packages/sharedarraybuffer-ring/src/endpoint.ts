// One side of a channel: a lock-free single-producer single-consumer ring each way over two files.
//
//   position   a u32 that counts bytes and wraps at 2^32, kept here as int32 (`| 0`); `position & mask` is the offset
//              in data, always a multiple of 8. used = (tail - head) >>> 0.
//   producer   claim() room behind the private tail, write, commit() or abort(); publish() makes all commits visible
//              at once. A record never wraps: a padding record fills the rest of data in front of it.
//   consumer   drain() behind the private head; it gives the room back as it goes and at the end.
//   marks      before each record drain() says that it takes it and then looks whether the producer has closed; a
//              producer closes and then looks what was taken. What was not taken then never will be.
//   invariant  head <= published tail <= head + capacity, on both rings; each side writes its own file only.
//   wake-ups   a side that is about to wait makes its `sleep` odd and then looks again; the other side makes its news
//              visible and then looks at `sleep`. Atomics are sequentially consistent, so one of them sees the other.
//
// Plain reads and writes of records lie between Atomics operations on tail and head, which publish them.

import { DATA_OFFSET, OFFSET, PADDING_KIND, RECORD_HEADER, maxPayload, readCapacity, recordSize } from './layout.js';

/** Wakes the other side. Called only when it sleeps and has not been rung for this sleep. */
export interface Doorbell {
  ring(): void;
}

/** `offset` is an offset in `peerBytes`, a multiple of 8; the bytes are valid until the handler returns. */
export type FrameHandler = (kind: number, offset: number, length: number) => void;

/** The other side wrote something that no ring can contain; the endpoint is of no further use. */
export class MalformedRingError extends Error {
  override readonly name = 'MalformedRingError';
  readonly code = 'ERR_RING_MALFORMED';
}

const TAIL = OFFSET.tail >> 2;
const HEAD = OFFSET.head >> 2;
const SLEEP = OFFSET.sleep >> 2;
const STARVED = OFFSET.starved >> 2;
const TAKEN = OFFSET.taken >> 2;
const CLOSED = OFFSET.closed >> 2;
const DATA = DATA_OFFSET >> 2;

/** Room goes back to the producer at the latest after so many frames or bytes, so that it does not wait for all. */
const RELEASE_FRAMES = 32;
const RELEASE_BYTES = 64 * 1024;

export class Endpoint {
  /** The own file: where claim() points. */
  readonly ownBytes: Uint8Array;
  /** The peer's file: where drain() points. Only to be read. */
  readonly peerBytes: Uint8Array;
  readonly capacity: number;
  /** Longest payload of one frame. */
  readonly maxPayload: number;

  readonly #own: Int32Array;
  readonly #peer: Int32Array;
  readonly #doorbell: Doorbell;
  readonly #mask: number;
  readonly #releaseBytes: number;

  // Producer. Own words are never read back: these are the truth.
  #tail: number;
  #publishedTail: number;
  #peerHead: number; // cached: rereading it for every claim would bounce its cache line
  #starved: number;
  #starvedHead: number; // the peer's head when a claim last found no room; sleep() compares
  #claimKind = PADDING_KIND; // PADDING_KIND: no open claim
  #claimLength = 0;
  #padding = 0;

  // Consumer.
  #head: number;
  #releasedHead: number;
  #peerTail: number; // cached, as above
  #draining = false;
  #peerClosed = false;

  #sleep: number;
  #rung = 0; // the peer's sleep value last rung for; never odd before the first ring
  #broken: string | undefined;

  /**
   * `own` is written by this side alone, `peer` only read; both are whole files of one capacity. Goes on where the own
   * file's words stand.
   */
  constructor(own: ArrayBufferLike, peer: ArrayBufferLike, doorbell: Doorbell) {
    this.capacity = readCapacity(own);
    if (readCapacity(peer) !== this.capacity) throw new RangeError('the two files differ in capacity');
    this.maxPayload = maxPayload(this.capacity);
    this.ownBytes = new Uint8Array(own);
    this.peerBytes = new Uint8Array(peer);
    this.#own = new Int32Array(own);
    this.#peer = new Int32Array(peer);
    this.#doorbell = doorbell;
    this.#mask = this.capacity - 1;
    this.#releaseBytes = Math.min(RELEASE_BYTES, this.capacity / 4);
    this.#tail = this.#publishedTail = Atomics.load(this.#own, TAIL);
    this.#head = this.#releasedHead = this.#peerTail = Atomics.load(this.#own, HEAD);
    this.#sleep = Atomics.load(this.#own, SLEEP);
    this.#starved = Atomics.load(this.#own, STARVED);
    this.#peerHead = this.#starvedHead = (this.#tail - this.capacity) | 0; // the furthest back that a head can be
    if (((this.#tail | this.#head) & 7) !== 0) this.#malformed('own positions are not multiples of 8');
    this.#refreshHead();
    this.#refreshTail();
  }

  // ---- producer ----

  /**
   * Room for a frame with up to `length` payload bytes: their offset in `ownBytes`, a multiple of 8, or -1 when there
   * is no room now. The peer then rings when it has consumed. An open claim is given up by the next one.
   */
  claim(kind: number, length: number): number {
    this.#claimKind = PADDING_KIND;
    if (kind >>> 0 !== kind || kind === PADDING_KIND) throw new RangeError(`kind must be a u32 above 0, not ${kind}`);
    this.#checkLength(length);
    if (!this.#fits(length)) {
      this.#refreshHead();
      if (!this.#fits(length)) this.#starve();
      if (!this.#fits(length)) return -1;
    }
    if ((this.#starved & 1) !== 0) this.#storeStarved();
    const rest = this.capacity - (this.#tail & this.#mask);
    this.#padding = rest < recordSize(length) ? rest : 0;
    this.#claimKind = kind;
    this.#claimLength = length;
    return DATA_OFFSET + ((this.#tail + this.#padding) & this.#mask) + RECORD_HEADER;
  }

  /** Makes the claim a frame, of all claimed bytes or fewer. Visible after publish(). */
  commit(length: number = this.#claimLength): void {
    if (this.#claimKind === PADDING_KIND) throw new Error('commit without a claim');
    if (!(length >= 0 && length <= this.#claimLength)) {
      throw new RangeError(`commit of ${length} bytes, ${this.#claimLength} are claimed`);
    }
    // Padding is written only now, so an aborted claim leaves no trace.
    if (this.#padding !== 0) this.#append(this.#padding - RECORD_HEADER, PADDING_KIND, this.#padding);
    this.#append(length, this.#claimKind, recordSize(length));
    this.#claimKind = PADDING_KIND;
  }

  abort(): void {
    this.#claimKind = PADDING_KIND;
  }

  /** Would claim() of so many bytes succeed? Asks for no doorbell when not. */
  hasRoom(length: number): boolean {
    this.#checkLength(length);
    if (this.#fits(length)) return true;
    this.#refreshHead();
    return this.#fits(length);
  }

  /** Makes all commits visible, and rings when the peer sleeps. */
  publish(): void {
    if (this.#tail === this.#publishedTail) return;
    this.#publishedTail = this.#tail;
    // Publishes the records; before our look at the peer's sleep.
    Atomics.store(this.#own, TAIL, this.#tail);
    this.#ringIfAsleep();
  }

  /** Bytes published that the peer has not given back. */
  get unread(): number {
    this.#refreshHead();
    return (this.#publishedTail - this.#peerHead) >>> 0;
  }

  /** The last claim() found no room. */
  get starved(): boolean {
    return (this.#starved & 1) !== 0;
  }

  /** The peer handles nothing more of what was published, for good. */
  close(): void {
    Atomics.store(this.#own, CLOSED, 1);
  }

  /**
   * Bytes published that the peer's handler has certainly not seen; after close() it never will. A mark that cannot be
   * right leaves none.
   */
  get untaken(): number {
    const taken = Atomics.load(this.#peer, TAKEN);
    this.#refreshHead();
    const behind = (this.#publishedTail - taken) >>> 0;
    return behind > (this.#publishedTail - this.#peerHead) >>> 0 ? 0 : behind;
  }

  // ---- consumer ----

  /**
   * Hands every published frame to `handler`, up to `limit`, and returns how many. When the handler throws, its frame
   * counts as consumed and the error goes to the caller. Once the peer has closed nothing is handed over any more.
   */
  drain(handler: FrameHandler, limit = Infinity): number {
    if (this.#draining) throw new Error('drain inside a drain handler');
    this.#draining = true;
    let frames = 0;
    let unreleased = 0;
    try {
      while (frames < limit && !this.#peerClosed && this.#refreshTail()) {
        const word = DATA + ((this.#head & this.#mask) >> 2);
        const length = this.#peer[word]! >>> 0; // read once, checked, then used
        const kind = this.#peer[word + 1]! >>> 0;
        if (kind === PADDING_KIND) {
          this.#skipPadding(length);
          continue;
        }
        const size = this.#checkRecord(length);
        const offset = DATA_OFFSET + (this.#head & this.#mask) + RECORD_HEADER;
        this.#head = (this.#head + size) | 0;
        if (!this.#take()) break;
        frames++;
        handler(kind, offset, length);
        if (++unreleased === RELEASE_FRAMES || ((this.#head - this.#releasedHead) | 0) >= this.#releaseBytes) {
          this.#release();
          unreleased = 0;
        }
      }
    } finally {
      this.#draining = false;
      this.#release();
    }
    return frames;
  }

  /** The peer has published something that was not handled. */
  get pending(): boolean {
    return !this.#peerClosed && Atomics.load(this.#peer, TAIL) !== this.#head;
  }

  // ---- sleeping ----

  /**
   * Call with everything published and drained, just before waiting for the doorbell. False: something came meanwhile
   * (a frame, or room while starved): do not wait. True: the peer will ring.
   */
  sleep(): boolean {
    // Always a new odd number: the peer may have rung for the one that stands there, and rings once for each.
    this.#sleep = (this.#sleep + 1) | 1 | 0;
    // Before the looks below.
    Atomics.store(this.#own, SLEEP, this.#sleep);
    const frames = this.pending;
    const room = (this.#starved & 1) !== 0 && Atomics.load(this.#peer, HEAD) !== this.#starvedHead;
    if (!frames && !room) return true;
    this.wake();
    return false;
  }

  /** Call after waiting. Without effect when awake. */
  wake(): void {
    if ((this.#sleep & 1) === 0) return;
    this.#sleep = (this.#sleep + 1) | 0;
    Atomics.store(this.#own, SLEEP, this.#sleep);
  }

  get asleep(): boolean {
    return (this.#sleep & 1) !== 0;
  }

  // ---- inside ----

  #checkLength(length: number): void {
    if (!(length >= 0 && length <= this.maxPayload && Number.isInteger(length))) {
      throw new RangeError(`length must be an integer from 0 to ${this.maxPayload}, not ${length}`);
    }
  }

  #fits(length: number): boolean {
    if (this.#broken !== undefined) return false;
    const size = recordSize(length);
    const rest = this.capacity - (this.#tail & this.#mask);
    const need = rest < size ? rest + size : size;
    return need <= this.capacity - ((this.#tail - this.#peerHead) >>> 0);
  }

  #append(length: number, kind: number, size: number): void {
    const word = DATA + ((this.#tail & this.#mask) >> 2);
    this.#own[word] = length;
    this.#own[word + 1] = kind;
    this.#tail = (this.#tail + size) | 0;
  }

  #refreshHead(): void {
    if (this.#broken !== undefined) throw new MalformedRingError(this.#broken);
    const head = Atomics.load(this.#peer, HEAD);
    // A head only goes forward, and never past what was published.
    const unread = (this.#publishedTail - head) >>> 0;
    if (unread > (this.#publishedTail - this.#peerHead) >>> 0 || (head & 7) !== 0) {
      this.#malformed('the read position of the other side is impossible');
    }
    this.#peerHead = head;
  }

  /** No room: say so, then look once more, or a consumer that was just done would never be heard of. */
  #starve(): void {
    if ((this.#starved & 1) === 0) this.#storeStarved();
    this.#refreshHead();
    this.#starvedHead = this.#peerHead;
  }

  #storeStarved(): void {
    this.#starved = (this.#starved + 1) | 0;
    Atomics.store(this.#own, STARVED, this.#starved);
  }

  /** False: nothing to read. */
  #refreshTail(): boolean {
    if (this.#broken !== undefined) throw new MalformedRingError(this.#broken);
    if (this.#peerTail !== this.#head) return true;
    const tail = Atomics.load(this.#peer, TAIL);
    const unreleased = (this.#head - this.#releasedHead) | 0;
    if ((tail - this.#head) >>> 0 > this.capacity - unreleased || (tail & 7) !== 0) {
      this.#malformed('the write position of the other side is impossible');
    }
    this.#peerTail = tail;
    return tail !== this.#head;
  }

  #skipPadding(length: number): void {
    const rest = this.capacity - (this.#head & this.#mask);
    // The limit of the length also refuses padding at the start of data, so padding never follows padding.
    if (length !== rest - RECORD_HEADER || length > this.maxPayload || rest > (this.#peerTail - this.#head) >>> 0) {
      this.#malformed('a padding record does not end where data ends');
    }
    this.#head = (this.#head + rest) | 0;
  }

  #checkRecord(length: number): number {
    if (length > this.maxPayload) this.#malformed(`a record of ${length} bytes, more than ${this.maxPayload}`);
    const size = recordSize(length);
    const rest = this.capacity - (this.#head & this.#mask);
    if (size > rest || size > (this.#peerTail - this.#head) >>> 0) {
      this.#malformed('a record goes past the end of what was published');
    }
    return size;
  }

  /** Says that everything up to the head may be handled. False: the peer has closed. */
  #take(): boolean {
    // Before our look at closed.
    Atomics.store(this.#own, TAKEN, this.#head);
    this.#peerClosed = Atomics.load(this.#peer, CLOSED) !== 0;
    return !this.#peerClosed;
  }

  #release(): void {
    if (this.#head === this.#releasedHead) return;
    this.#releasedHead = this.#head;
    // Our reads are over; before our look at starved and sleep.
    Atomics.store(this.#own, HEAD, this.#head);
    if ((Atomics.load(this.#peer, STARVED) & 1) !== 0) this.#ringIfAsleep();
  }

  #ringIfAsleep(): void {
    const sleep = Atomics.load(this.#peer, SLEEP);
    if ((sleep & 1) === 0 || sleep === this.#rung) return;
    this.#rung = sleep;
    this.#doorbell.ring();
  }

  #malformed(message: string): never {
    this.#broken = message;
    throw new MalformedRingError(message);
  }
}
