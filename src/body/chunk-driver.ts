/** The fast path of transforms: a plain function per frame, no promise anywhere, one frame back per frame. */
import { joinBytes, toBytes } from './buffer.js';
import { FilterError } from '../api/errors.js';
import type { ChunkFunction } from '../api/transform.js';
import type { Chunk } from '../api/types-data.js';
import type { BodyDriver, BodyHost } from './ports.js';

export class ChunkDriver implements BodyDriver {
  private readonly host: BodyHost;
  private readonly fn: ChunkFunction;
  /** Frames that wait for room in the ring; undefined = none wait. */
  private waiting: { bytes: Uint8Array; last: boolean }[] | undefined;
  /** Behind the one that is at work, another is here. */
  private more = false;

  constructor(host: BodyHost, fn: ChunkFunction) {
    this.host = host;
    this.fn = fn;
  }

  /** The function never outlives its call. */
  get busy(): boolean {
    return false;
  }

  data(bytes: Uint8Array, last: boolean): void {
    if (this.waiting !== undefined) this.waiting.push({ bytes, last });
    else this.step(bytes, last);
  }

  start(): void {
    this.host.out.asks();
  }

  abort(): void {
    this.waiting = undefined;
  }

  private step(bytes: Uint8Array, last: boolean): void {
    const { host } = this;
    let result: Uint8Array | undefined;
    try {
      result = host.author.run(host.names.transform, this.apply as never, this, bytes, last);
    } catch (e) {
      host.failed(e);
      return;
    }
    if (host.dead) return;
    const { out } = host;
    out.consumed(bytes.length);
    if (last) host.finish(result);
    else {
      out.step(result, !this.more);
      const room = host.room();
      if (room !== undefined) this.waitFor(room);
    }
  }

  private apply(bytes: Uint8Array, last: boolean): Uint8Array | undefined {
    const result = this.fn.call(this.host.author.filter, bytes, last);
    if (result === undefined || result === null) return undefined;
    if (typeof result === 'string' || ArrayBuffer.isView(result)) return toBytes(result as Chunk);
    if (typeof (result as Iterable<Chunk>)[Symbol.iterator] === 'function') return collect(result as Iterable<Chunk>);
    if (typeof (result as { then?: unknown }).then === 'function') {
      (result as unknown as Promise<unknown>).then(undefined, () => undefined);
      throw new FilterError(
        'TSF_TRANSFORM_INVALID',
        'the function of perChunk cannot be async: use an async generator',
      );
    }
    return toBytes(result as Chunk);
  }

  /** Asked after each step. */
  private isWaiting(): boolean {
    return this.waiting !== undefined;
  }

  private waitFor(room: Promise<void>): void {
    this.waiting ??= [];
    void room.then(() => {
      const { waiting } = this;
      this.waiting = undefined;
      for (let i = 0; waiting !== undefined && i < waiting.length && !this.host.dead; i++) {
        const { bytes, last } = waiting[i]!;
        // A step may find the ring full again: the rest then waits behind it, in order.
        if (this.isWaiting()) this.data(bytes, last);
        else {
          this.more = i < waiting.length - 1;
          this.step(bytes, last);
          this.more = false;
        }
      }
    });
  }
}

/** What a sync generator made. Each piece is copied: its memory may change at the next. */
function collect(chunks: Iterable<Chunk>): Uint8Array | undefined {
  const parts: Uint8Array[] = [];
  for (const chunk of chunks) {
    const bytes = toBytes(chunk);
    if (bytes.length > 0) parts.push(typeof chunk === 'string' ? bytes : Uint8Array.prototype.slice.call(bytes));
  }
  return parts.length === 0 ? undefined : joinBytes(parts);
}
