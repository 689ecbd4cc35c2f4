// The shared file of one side of a channel, byte for byte. README.md draws the map; a C++ twin with the same bytes
// exists, and golden vectors hold the two together. All words are little endian u32, written by the file's owner alone.

/** The bytes `TSFR`. */
export const MAGIC = 0x52465354;
export const VERSION = 2;

/** Where `data` begins; everything before it is the header page. */
export const DATA_OFFSET = 4096;
export const MIN_CAPACITY = 64 * 1024;
export const MAX_CAPACITY = 256 * 1024 * 1024;

/** Byte offsets of the header's words. Those that change lie on cache lines of their own. */
export const OFFSET = {
  magic: 0,
  version: 4,
  capacity: 8,
  tail: 64,
  head: 128,
  sleep: 192,
  starved: 256,
  taken: 320,
  closed: 384,
} as const;

/** `{u32 length, u32 kind}` in front of every payload. */
export const RECORD_HEADER = 8;

/** The kind of a record that only fills the rest of `data`. */
export const PADDING_KIND = 0;

/** Bytes in `data` of a record with `length` payload bytes. */
export function recordSize(length: number): number {
  return RECORD_HEADER + ((length + 7) & ~7);
}

/** A record is at most a quarter of the ring: with the padding in front of it it always fits an empty one. */
export function maxPayload(capacity: number): number {
  return capacity / 4 - RECORD_HEADER;
}

/** Throws a RangeError unless `capacity` is a power of two from 64 KiB to 256 MiB. */
export function checkCapacity(capacity: number): void {
  const valid =
    Number.isInteger(capacity) &&
    capacity >= MIN_CAPACITY &&
    capacity <= MAX_CAPACITY &&
    (capacity & (capacity - 1)) === 0;
  if (!valid) throw new RangeError(`capacity must be a power of two from 64 KiB to 256 MiB, not ${capacity}`);
}

/** The capacity that a file's size and header name; throws a RangeError when they disagree or are of another layout. */
export function readCapacity(file: ArrayBufferLike): number {
  const capacity = file.byteLength - DATA_OFFSET;
  checkCapacity(capacity);
  const words = new Int32Array(file, 0, 3);
  if (words[0] !== MAGIC || words[1] !== VERSION || words[2] !== capacity) {
    throw new RangeError('not a ring file of this layout: magic, version or capacity differ');
  }
  return capacity;
}

/** Writes the header of a new file into zeroed memory. */
export function formatFile<T extends ArrayBufferLike>(file: T): T {
  const capacity = file.byteLength - DATA_OFFSET;
  checkCapacity(capacity);
  new Int32Array(file, 0, 3).set([MAGIC, VERSION, capacity]);
  return file;
}
