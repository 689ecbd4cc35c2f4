/**
 * Encoding without a Builder. A frame is a constant prefix with patched numbers, followed by its one byte vector
 * (schema/exchange.fbs, rules at its head). The prefix is built once per message kind by the Builder itself, with every
 * default forced, so that each number has a place; where the places are is asked of the generated accessors.
 */
import { Builder, ByteBuffer } from 'flatbuffers';

/** A generated table with mutable accessors. */
export interface Table {
  bb: ByteBuffer | null;
  bb_pos: number;
  __init(position: number, buffer: ByteBuffer): Table;
}

/** Payload bytes start on a multiple of this (schema: force_align), as ring records do. */
export const ALIGNMENT = 8;

export const aligned = (length: number): number => (length + ALIGNMENT - 1) & -ALIGNMENT;

/** Room in a ring or on the heap where one frame is written. */
export interface Room {
  readonly bytes: Buffer;
  readonly view: DataView;
}

export interface TemplateSpec<T extends Table> {
  readonly table: new () => T;
  /** Fills a started Builder and returns the table's offset; `vector` is 0 when the kind has no vector. */
  readonly build: (builder: Builder, vector: number) => number;
  readonly vector: boolean;
}

export class Template<T extends Table> {
  /** The prefix: everything before the vector's first byte. */
  readonly prefix: Uint8Array;
  /** Where the vector's length stands in the prefix, -1 without a vector. */
  readonly lengthAt: number;
  readonly size: number;
  readonly #words: Uint32Array;
  readonly #table: new () => T;

  constructor(spec: TemplateSpec<T>) {
    this.#table = spec.table;
    const empty = buildFrame(spec, new Uint8Array(0));
    const words = new Uint32Array(Math.ceil(empty.length / 4));
    this.prefix = new Uint8Array(words.buffer, 0, empty.length);
    this.prefix.set(empty);
    this.#words = words;
    this.size = empty.length;
    this.lengthAt = spec.vector ? this.size - 4 : -1;
    if (this.size % ALIGNMENT !== 0) throw new Error('frame prefix is not a multiple of 8');
  }

  /** The place of one number, found by letting the generated accessor write to a copy. */
  place(mutate: (table: T) => boolean): number {
    const copy = this.prefix.slice();
    const buffer = new ByteBuffer(copy);
    const table = new this.#table();
    table.__init(buffer.readInt32(0), buffer);
    if (!mutate(table)) throw new Error('field is not in the template');
    const at = copy.findIndex((byte, index) => byte !== this.prefix[index]);
    if (at < 0) throw new Error('field has no place in the template');
    return at;
  }

  /** Bytes that a frame with this payload takes, padding included. */
  frameSize(payload: number): number {
    return this.size + aligned(payload);
  }

  /** Writes the prefix, the vector's length and the padding after it; returns where the payload goes. */
  open(room: Room, at: number, payload: number): number {
    const { view } = room;
    const words = this.#words;
    // A loop of words beats TypedArray.set for a prefix of this size, and `at` is a multiple of 8.
    for (let i = 0, to = at; i < words.length; i++, to += 4) view.setUint32(to, words[i] as number, true);
    if (this.lengthAt >= 0) view.setUint32(at + this.lengthAt, payload, true);
    const start = at + this.size;
    for (let to = start + payload, end = start + aligned(payload); to < end; to++) room.bytes[to] = 0;
    return start;
  }
}

/** The same frame by the Builder: makes the templates, and is what the golden tests compare with. */
export function buildFrame<T extends Table>(spec: TemplateSpec<T>, payload: Uint8Array): Uint8Array {
  const builder = new Builder(payload.length + 256);
  builder.forceDefaults(true);
  let vector = 0;
  if (spec.vector) {
    // flatc's TypeScript ignores force_align, so the alignment is said here.
    builder.startVector(1, payload.length, ALIGNMENT);
    for (let i = payload.length - 1; i >= 0; i--) builder.addInt8(payload[i] as number);
    vector = builder.endVector();
  } else {
    builder.prep(ALIGNMENT, 0);
  }
  builder.finish(spec.build(builder, vector));
  return builder.asUint8Array().slice();
}
