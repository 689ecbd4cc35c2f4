/** The two peers of a stream: how their bodies come, and what they get. */
import type { HeaderView } from '../api/types-data.js';
import { HeaderLines } from '../base/header-block.js';
import type { Receiver } from './module/passage.js';
import { plainView, trailersView } from './lines.js';
import type { Piece, SeenMessage, TestBody } from './types.js';

/** What a peer holds that it has not read. */
const BUFFER_BYTES = 64 * 1024;
/** Of a body in one frame of Envoy's. */
const PIECE_BYTES = 64 * 1024;
const EMPTY = new Uint8Array(0);

export const isWhole = (body: TestBody | undefined): body is Uint8Array | string =>
  typeof body === 'string' || body instanceof Uint8Array;

export const bytesOf = (chunk: Uint8Array | string): Uint8Array =>
  typeof chunk === 'string' ? Buffer.from(chunk) : Uint8Array.from(chunk);

/** Wakes those who wait for a change. */
export class Changes {
  private readonly waiting: (() => void)[] = [];

  happened(): void {
    for (const wake of this.waiting.splice(0)) wake();
  }

  next(): Promise<void> {
    return new Promise((resolve) => this.waiting.push(resolve));
  }
}

/** The pieces of a body; those that are given whole as Envoy would read them. */
export async function* piecesOf(body: TestBody | undefined): AsyncGenerator<Uint8Array> {
  if (body === undefined) return;
  if (isWhole(body)) {
    const bytes = bytesOf(body);
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) yield bytes.subarray(at, at + PIECE_BYTES);
    return;
  }
  for await (const piece of body as AsyncIterable<Piece>) {
    if (typeof piece === 'number') await new Promise((resolve) => setTimeout(resolve, piece));
    else if (piece.length > 0) yield bytesOf(piece);
  }
}

/** A message on its way into the stream. */
export interface Feed {
  readonly body: TestBody | undefined;
  readonly trailers: HeaderLines | undefined;
  /** Nobody takes it any more. */
  readonly isOver: () => boolean;
  readonly isFull: () => boolean;
  readonly data: (bytes: Uint8Array, last: boolean) => void;
  readonly end: (trailers: HeaderLines) => void;
}

/** Rejects as the body does. */
export async function feed(changes: Changes, { body, trailers, isOver, isFull, data, end }: Feed): Promise<void> {
  for await (const bytes of piecesOf(body)) {
    while (!isOver() && isFull()) await changes.next();
    if (isOver()) return;
    data(bytes, false);
  }
  if (isOver()) return;
  if (trailers === undefined) data(EMPTY, true);
  else end(trailers);
}

type End = 'open' | 'complete' | 'cut';

/** A peer that reads a message over HTTP/1.1. */
export class Reader implements Receiver {
  lines: HeaderLines | undefined;
  readonly pieces: Uint8Array[] = [];
  private last: HeaderLines | undefined;
  private state: End = 'open';
  private readonly queue: Uint8Array[] = [];
  private queued = 0;
  private isReading = false;
  private readonly changes = new Changes();
  /** It has room again. */
  onRoom: () => void = () => undefined;
  /** Awaited before the next piece. */
  private readonly read: ((bytes: Uint8Array) => void | Promise<void>) | undefined;

  /** `read`: undefined: whoever asks for `body` reads it. */
  constructor(read?: (bytes: Uint8Array) => void | Promise<void>) {
    this.read = read;
  }

  // ---- Receiver ----

  headers(lines: HeaderLines, end: boolean): void {
    this.lines = lines;
    this.changed();
    if (end) this.end(undefined);
  }

  data(bytes: Uint8Array): void {
    this.pieces.push(bytes);
    this.queue.push(bytes);
    this.queued += bytes.length;
    this.changed();
    if (this.read !== undefined && !this.isReading) void this.pump(this.read);
  }

  end(trailers: HeaderLines | undefined): void {
    // A message that names its length is not sent in chunks, and only those have a place for trailers (RFC 9112, 7.1.2).
    const namesLength = this.lines?.get('content-length') !== undefined;
    this.last = namesLength ? undefined : trailers;
    this.finish('complete');
  }

  get isFull(): boolean {
    return this.queued >= BUFFER_BYTES;
  }

  // ---- what it has ----

  private get headersView(): HeaderView {
    return plainView(this.lines ?? new HeaderLines());
  }

  get trailers(): HeaderView | undefined {
    return trailersView(this.last);
  }

  get complete(): boolean {
    return this.state === 'complete';
  }

  get body(): Uint8Array {
    return Buffer.concat(this.pieces);
  }

  get text(): string {
    return Buffer.concat(this.pieces).toString();
  }

  // ---- its reader ----

  cut(): void {
    this.finish('cut');
  }

  get isOver(): boolean {
    return this.state !== 'open' && (this.state === 'cut' || (this.queue.length === 0 && !this.isReading));
  }

  /** It has read something. */
  room(): Promise<void> {
    return this.changes.next();
  }

  async over(): Promise<void> {
    while (!this.isOver) await this.changes.next();
  }

  /** As it is read; rejects where the message is cut. */
  async *stream(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const bytes = this.take();
      if (bytes !== undefined) yield bytes;
      else if (this.state === 'cut') throw new Error('the request was cut');
      else if (this.state === 'complete') return;
      else await this.changes.next();
    }
  }

  private take(): Uint8Array | undefined {
    const bytes = this.queue.shift();
    if (bytes === undefined) return undefined;
    this.queued -= bytes.length;
    this.changed();
    this.onRoom();
    return bytes;
  }

  private async pump(read: (bytes: Uint8Array) => void | Promise<void>): Promise<void> {
    this.isReading = true;
    for (let bytes = this.queue[0]; bytes !== undefined; bytes = this.queue[0]) {
      const done = read(bytes);
      if (done !== undefined) await done;
      this.take();
    }
    this.isReading = false;
    this.changed();
  }

  private finish(state: End): void {
    if (this.state === 'open') this.state = state;
    this.changed();
  }

  /** Somebody who is told may make it change again. */
  private changed(): void {
    this.changes.happened();
  }

  /** So far. */
  seen(): SeenMessage {
    const { pieces, body, text, trailers, complete } = this;
    return { headers: this.headersView, pieces, body, text, trailers, complete };
  }
}
