/**
 * Reads frames in place with the generated accessors, on one ByteBuffer and one object of each table for the life of a
 * channel. What a stream keeps is copied out here; nothing else is allocated per frame.
 */
import { ByteBuffer } from 'flatbuffers';
import { CallEvent, Credit, Data, End, Headers, LogRun, QueryAnswer } from './generated/index.js';
import type { Table } from './template.js';

/** A frame that does not fit its record: the peer is broken and the channel with it. */
export class MalformedFrame extends Error {}

/** Remembers which vtable slot an accessor asks for; that is how slots are found without writing numbers down twice. */
class SlotProbe extends ByteBuffer {
  slot = 0;

  constructor() {
    super(new Uint8Array(8));
  }

  override __offset(_position: number, slot: number): number {
    this.slot = slot;
    return 0;
  }
}

function slotOf<T extends Table>(table: new () => T, read: (table: T) => unknown): number {
  const probe = new SlotProbe();
  const instance = new table();
  instance.__init(0, probe);
  read(instance);
  return probe.slot;
}

const BLOCK_SLOT = {
  headers: slotOf(Headers, (t) => t.blockLength()),
  data: slotOf(Data, (t) => t.bytesLength()),
  queryAnswer: slotOf(QueryAnswer, (t) => t.blockLength()),
  callEvent: slotOf(CallEvent, (t) => t.blockLength()),
  logRun: slotOf(LogRun, (t) => t.blockLength()),
};

/** Header blocks up to this size share Node's buffer pool. */
const POOLED_BYTES = 2048;
/**
 * From this size on the memory of a body's piece is not zeroed first, as slice() does it: with 64 KiB that is a third of
 * what the whole frame costs, for the pages go back to the system and come again.
 */
const UNZEROED_BYTES = 16 * 1024;
const EMPTY = Buffer.alloc(0);
const ROOT_BYTES = 4;

export class FrameReader {
  readonly headers = new Headers();
  readonly data = new Data();
  readonly end = new End();
  readonly credit = new Credit();
  readonly queryAnswer = new QueryAnswer();
  readonly callEvent = new CallEvent();
  readonly logRun = new LogRun();
  readonly #buffer: ByteBuffer;
  readonly #bytes: Uint8Array;
  #limit = 0;
  #start = 0;
  #length = 0;

  /** `peerBytes`: the memory that the offsets of records count in. */
  constructor(peerBytes: Uint8Array) {
    // A Buffer's slice() would be a view of the ring.
    this.#bytes = new Uint8Array(peerBytes.buffer, peerBytes.byteOffset, peerBytes.length);
    this.#buffer = new ByteBuffer(peerBytes);
  }

  /** Turns `table` to the record at `offset`. */
  open(table: Table, offset: number, length: number): void {
    const buffer = this.#buffer;
    const root = length >= ROOT_BYTES ? buffer.readInt32(offset) : -1;
    const limit = offset + length;
    const position = offset + root;
    if (root < ROOT_BYTES || position + 4 > limit) throw new MalformedFrame('root lies outside its frame');
    const vtable = position - buffer.readInt32(position);
    if (vtable < offset || vtable + 4 > limit || vtable + buffer.readUint16(vtable) > limit) {
      throw new MalformedFrame('vtable lies outside its frame');
    }
    if (position + buffer.readUint16(vtable + 2) > limit) throw new MalformedFrame('table lies outside its frame');
    table.__init(position, buffer);
    this.#start = offset;
    this.#limit = limit;
  }

  /** A copy of the header frame's block that `latin1Slice` works on. */
  headersBlock(): Buffer {
    const start = this.#vector(this.headers, BLOCK_SLOT.headers);
    return this.#keep(start);
  }

  queryBlock(): Buffer {
    return this.#keep(this.#vector(this.queryAnswer, BLOCK_SLOT.queryAnswer));
  }

  /** In memory of its own, as a body's bytes are. */
  callBlock(): Uint8Array {
    return this.#own(this.#vector(this.callEvent, BLOCK_SLOT.callEvent));
  }

  logBlock(): Buffer {
    return this.#keep(this.#vector(this.logRun, BLOCK_SLOT.logRun));
  }

  /** The body bytes in memory of their own: an author may keep them, or hand them to another thread. */
  dataBytes(): Uint8Array {
    return this.#own(this.#vector(this.data, BLOCK_SLOT.data));
  }

  /** Where a table's byte vector begins; sets `#length`. */
  #vector(table: Table, slot: number): number {
    const buffer = this.#buffer;
    const field = buffer.__offset(table.bb_pos, slot);
    this.#length = 0;
    if (field === 0) return this.#start;
    const at = table.bb_pos + field;
    const head = at + buffer.readInt32(at);
    if (head < this.#start || head + 4 > this.#limit) throw new MalformedFrame('vector lies outside its frame');
    const length = buffer.readUint32(head);
    if (length > this.#limit - head - 4) throw new MalformedFrame('vector is longer than its frame');
    this.#length = length;
    return head + 4;
  }

  #own(start: number): Uint8Array {
    const length = this.#length;
    if (length < UNZEROED_BYTES) return this.#bytes.slice(start, start + length);
    const copy = new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
    copy.set(this.#bytes.subarray(start, start + length));
    return copy;
  }

  #keep(start: number): Buffer {
    const length = this.#length;
    if (length === 0) return EMPTY;
    const copy = length <= POOLED_BYTES ? Buffer.allocUnsafe(length) : Buffer.allocUnsafeSlow(length);
    copy.set(this.#bytes.subarray(start, start + length));
    return copy;
  }
}
