/** The shapes of a transform: perChunk's value, and a TransformStream worn as an async generator. */
import { FilterError } from './errors.js';
import type { BodyStream, Chunk, ChunkTransform, HeaderMap, StreamTransform } from './types-data.js';

/** What perChunk takes. */
export type ChunkFunction = (chunk: Uint8Array, last: boolean) => Chunk | Iterable<Chunk> | void;
/**
 * For perChunk.
 *
 * @example
 * transformRequest: perChunk(
 *   (chunk) => {
 *     for (let i = 0; i < chunk.length; i++) chunk[i]! ^= 0x20;
 *     return chunk;
 *   },
 *   { sameLength: true },
 * ),
 */
export interface PerChunkOptions {
  /** The function only looks, or changes bytes without changing how many there are. The message then keeps its
   *  `content-length`, also when it streams. What is made is counted: a body that becomes longer or shorter fails the
   *  stream with `TSF_LENGTH_WRONG`. For data hooks: `sameLength(hook)`. */
  sameLength?: boolean;
}

// By Symbol.for, so that a filter bundled with its own copy of this package is understood.
const PER_CHUNK: unique symbol = Symbol.for('envoy-ts-filter.perChunk') as never;

/**
 * The fast path of a transform: a plain function, called for each piece of the body as it comes. It returns what goes
 * on in its place: bytes, a string, an iterable of these (so a sync generator is legal), or nothing. `last` is true
 * exactly once, on the last call, whose chunk may be empty.
 *
 * @example
 * transformResponse: perChunk((chunk) => chunk.map((byte) => byte ^ 0x20)),
 *
 * @example
 * transformRequest: perChunk(function* (chunk, last) {
 *   yield chunk;
 *   if (last) yield '\n-- end --\n';
 * }),
 */
export function perChunk(fn: ChunkFunction, options: PerChunkOptions = {}): ChunkTransform {
  if (typeof fn !== 'function') throw new FilterError('TSF_TRANSFORM_INVALID', 'perChunk(fn): fn is not a function');
  const { sameLength = false } = options;
  return Object.freeze({ [PER_CHUNK]: fn, sameLength }) as unknown as ChunkTransform;
}

/** Whether perChunk's value was declared to keep the length. */
export function chunksKeepLength(transform: object): boolean {
  return (transform as { sameLength?: unknown }).sameLength === true;
}

/** The function in perChunk's value, undefined for anything else. */
export function chunkFunction(transform: object): ChunkFunction | undefined {
  return (transform as { [PER_CHUNK]?: ChunkFunction })[PER_CHUNK];
}

/** Anything with the two ends of a TransformStream: also CompressionStream and the like. */
function isThrough(value: object): value is TransformStream<Uint8Array, Uint8Array> {
  return 'readable' in value && 'writable' in value;
}

export type TransformKind = 'chunk' | 'stream' | 'through' | undefined;

/** Which of the three shapes a value is; undefined = none. */
export function transformKind(value: unknown): TransformKind {
  if (typeof value === 'function') return 'stream';
  if (typeof value !== 'object' || value === null) return undefined;
  if (chunkFunction(value) !== undefined) return 'chunk';
  return isThrough(value) ? 'through' : undefined;
}

/** A function that runs the body through a TransformStream. */
export function throughStream(through: TransformStream<Uint8Array, Uint8Array>): StreamTransform<HeaderMap> {
  return async function* (body) {
    if (through.writable.locked || through.readable.locked) {
      throw new FilterError(
        'TSF_TRANSFORM_INVALID',
        'a TransformStream is good for one stream: make it inside create()',
      );
    }
    const reader = through.readable.getReader();
    const dry = new Dry();
    const feeding = feed(through.writable.getWriter(), body, dry);
    try {
      for (;;) {
        const reading = reader.read();
        dry.watch(reading);
        const { value, done } = await reading;
        if (done) break;
        yield value;
      }
    } finally {
      dry.over = true;
      dry.release();
      // Ended early or died: what still feeds it is told so. Its rejection was, or will be, the reader's.
      await reader.cancel().catch(() => undefined);
      feeding.catch(() => undefined);
    }
  };
}

/**
 * Whether all that came out of the readable side has been taken: its reader waits. Only then is the next input asked for,
 * so that asking means, as with a generator, that what there was is digested.
 */
class Dry {
  /** Nobody reads any more. */
  over = false;
  private waits = false;
  private settle: (() => void) | undefined;

  watch(reading: Promise<unknown>): void {
    this.waits = true;
    const wet = (): void => {
      this.waits = false;
    };
    reading.then(wet, wet);
    // What lies in the queue settles the read at once; then this comes after it.
    queueMicrotask(() => {
      if (this.waits) this.release();
    });
  }

  release(): void {
    this.settle?.();
    this.settle = undefined;
  }

  async wait(): Promise<void> {
    if (!this.waits && !this.over) await new Promise<void>((resolve) => (this.settle = resolve));
  }
}

/** One chunk after the other, whatever queues the author has asked for: a write settles when its transform() has. */
async function feed(writer: WritableStreamDefaultWriter<Uint8Array>, body: BodyStream, dry: Dry): Promise<void> {
  try {
    const input = body[Symbol.asyncIterator]();
    for (;;) {
      await dry.wait();
      if (dry.over) return;
      const { value, done } = await input.next();
      if (done === true) break;
      await writer.write(value);
    }
    await writer.close();
  } catch (e) {
    await writer.abort(e).catch(() => undefined);
  }
}
