/** BodyBuffer: a list of parts, joined only when somebody wants the bytes. */
import { FilterError } from '../api/errors.js';
import type { BodyBuffer, Chunk } from '../api/types-data.js';

const EMPTY = new Uint8Array(0);

/** Bytes of a chunk; strings become UTF-8. Throws `TSF_CHUNK_INVALID` for anything else. */
export function toBytes(chunk: Chunk): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk;
  if (typeof chunk === 'string') return Buffer.from(chunk, 'utf8');
  // Another realm's Uint8Array (a vm context's) is as good.
  if (ArrayBuffer.isView(chunk) && Object.prototype.toString.call(chunk) === '[object Uint8Array]')
    return chunk as Uint8Array;
  const what =
    chunk === null
      ? 'null'
      : typeof chunk === 'object'
        ? Object.prototype.toString.call(chunk).slice(8, -1)
        : typeof chunk;
  throw new FilterError('TSF_CHUNK_INVALID', `body chunks are Uint8Arrays or strings, not ${what}`);
}

/** The same on memory that nobody else has. */
export function ownBytes(chunk: Chunk): Uint8Array {
  return typeof chunk === 'string' ? toBytes(chunk) : Uint8Array.prototype.slice.call(toBytes(chunk));
}

export function joinBytes(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 0) return EMPTY;
  if (parts.length === 1) return parts[0]!;
  let length = 0;
  for (const part of parts) length += part.length;
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

export class BodyBufferImpl implements BodyBuffer {
  /** Undefined once the hook has settled. */
  #parts: Uint8Array[] | undefined;

  /** Owns the parts. */
  constructor(parts: Uint8Array[]) {
    this.#parts = parts;
  }

  get length(): number {
    let length = 0;
    for (const part of this.#live('length')) length += part.length;
    return length;
  }

  bytes(): Uint8Array {
    return Uint8Array.prototype.slice.call(this.#join('bytes()'));
  }

  text(): string {
    const all = this.#join('text()');
    return Buffer.from(all.buffer, all.byteOffset, all.length).toString('utf8');
  }

  set(data: Chunk): void {
    const parts = this.#live('set()');
    const bytes = ownBytes(data); // first: a bad value leaves the buffer as it was
    parts.length = 0;
    parts.push(bytes);
  }

  append(data: Chunk): void {
    this.#live('append()').push(ownBytes(data));
  }

  prepend(data: Chunk): void {
    this.#live('prepend()').unshift(ownBytes(data));
  }

  drain(n: number): void {
    const parts = this.#live('drain()');
    if (!(n > 0)) return;
    let left = Math.trunc(n);
    while (left > 0 && parts.length > 0) {
      const first = parts[0]!;
      if (first.length > left) {
        parts[0] = first.subarray(left);
        return;
      }
      left -= first.length;
      parts.shift();
    }
  }

  /** Ends the buffer's life; its bytes belong to the caller. */
  take(): Uint8Array[] {
    const parts = this.#parts ?? [];
    this.#parts = undefined;
    return parts;
  }

  #join(call: string): Uint8Array {
    const parts = this.#live(call);
    if (parts.length > 1) parts.splice(0, parts.length, joinBytes(parts));
    return parts[0] ?? EMPTY;
  }

  #live(call: string): Uint8Array[] {
    if (this.#parts === undefined) {
      throw new FilterError('TSF_BUFFER_GONE', `BodyBuffer.${call}: a buffer is valid until its hook settles`);
    }
    return this.#parts;
  }
}
