/**
 * Where a message stands in Envoy: what has come and was not read, whether its headers have gone, and how it goes on to
 * whoever is next. It is the mount (docs/lifecycle.md, "Core and its mount") of an Envoy that has the `ts_filter_edge`
 * entries: output goes when it is made, as fast as its reader takes it.
 */
import type { HeaderLines } from '../../base/header-block.js';
import { afterTurn } from '../../base/turns.js';

/** Whoever gets the message: the upstream, or the client. */
export interface Receiver {
  headers(lines: HeaderLines, end: boolean): void;
  data(bytes: Uint8Array): void;
  end(trailers: HeaderLines | undefined): void;
  /** It has enough for now. */
  readonly isFull: boolean;
}

/** Bytes in pieces. */
export class Pieces {
  private pieces: Uint8Array[] = [];
  length = 0;

  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.pieces.push(bytes);
    this.length += bytes.length;
  }

  /** The first piece, `most` bytes of it at most. */
  shift(most = Infinity): Uint8Array | undefined {
    const first = this.pieces[0];
    if (first === undefined) return undefined;
    const taken = first.length <= most ? first : first.subarray(0, most);
    if (taken === first) this.pieces.shift();
    else this.pieces[0] = first.subarray(taken.length);
    this.length -= taken.length;
    return taken;
  }

  moveTo(other: Pieces): void {
    for (let piece = this.shift(); piece !== undefined; piece = this.shift()) other.push(piece);
  }

  clear(): void {
    this.pieces = [];
    this.length = 0;
  }
}

/** How long headers wait for the end of a message that is nearly here. */
const MOMENT_MS = 20;
const SMALL_BYTES = 100_000;

export class Passage {
  /** What has come and nobody has read. */
  readonly input = new Pieces();
  headersGone = false;
  private readonly lines: HeaderLines;
  private readonly receiver: Receiver;
  /** The headers are written as they are to go. */
  private readonly settle: () => void;
  private readonly ready: () => void;
  private mayGo = false;
  private momentOver = false;
  private moment: NodeJS.Timeout | undefined;
  private ended = false;

  constructor(lines: HeaderLines, receiver: Receiver, settle: () => void, ready: () => void) {
    this.lines = lines;
    this.receiver = receiver;
    this.settle = settle;
    this.ready = ready;
  }

  get isFull(): boolean {
    return this.receiver.isFull;
  }

  /** From now on; alone only when nothing more is to come at once. `near`: the message's end is in. */
  letHeadersGo(length: number | undefined, near: boolean): void {
    if (this.mayGo) return;
    this.mayGo = true;
    if (near || (length !== undefined && length < SMALL_BYTES)) {
      this.moment = setTimeout(() => {
        this.momentOver = true;
        this.goAlone();
        this.ready();
      }, MOMENT_MS);
      return;
    }
    this.momentOver = true;
    afterTurn(() => this.goAlone());
  }

  /** Output. What is left in `pieces` could not go yet; ready() is called when it is worth trying again. */
  inject(pieces: Pieces): void {
    if (!this.headersGone && (!this.mayGo || !this.momentOver)) return;
    this.goAlone();
    while (!this.receiver.isFull) {
      const piece = pieces.shift();
      if (piece === undefined) return;
      this.receiver.data(piece);
    }
  }

  /** The last output, the end, and the trailers where there are. False: not all of it could go yet. */
  finish(pieces: Pieces, trailers: HeaderLines | undefined): boolean {
    if (this.ended) return true;
    if (!this.headersGone && pieces.length === 0 && trailers === undefined) {
      this.go(true);
      this.ended = true;
      return true;
    }
    this.goAlone();
    while (pieces.length > 0) {
      if (this.receiver.isFull) return false;
      this.receiver.data(pieces.shift()!);
    }
    this.ended = true;
    this.receiver.end(trailers);
    return true;
  }

  drop(): void {
    clearTimeout(this.moment);
    this.ended = true;
    this.input.clear();
  }

  private goAlone(): void {
    if (!this.headersGone && !this.ended) this.go(false);
  }

  private go(end: boolean): void {
    clearTimeout(this.moment);
    this.headersGone = true;
    this.settle();
    this.receiver.headers(this.lines, end);
  }
}
