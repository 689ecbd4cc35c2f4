/**
 * The output of one flow. Small pieces are joined, and go on when the filter asks for more input (with the word that it
 * has digested what it had), when a frame is full, or at the end of the event loop's turn, so that what is made between
 * two awaits does not wait for the second. When bytes go to the peer is for the module to decide.
 */
import { joinBytes } from './buffer.js';
import {
  type BodyMode,
  type Direction,
  type HeaderType,
  type OpList,
  OutputFlag,
  type StreamSink,
} from '../base/wire.js';
import type { FilledDeps } from '../base/deps.js';
import type { Turning } from '../base/turns.js';

/** Where output goes. */
export type OutputPort = Pick<StreamSink, 'output'>;

/** Where a flow speaks to: Envoy, or the local reply that is being made of this flow. */
export interface FlowPort extends Pick<StreamSink, 'output' | 'ops'> {
  answer(type: HeaderType, mode: BodyMode, ops: OpList): void;
  backpressure(direction: Direction): Promise<void> | undefined;
}

/** The largest piece given to the sink at once. */
const PIECE = 64 * 1024;
/** From here on joining costs more than a frame of its own. */
const DIRECT = 32 * 1024;
const FIRST_BUFFER = 4 * 1024;
/** What is kept back to know its length exactly; more than the module takes by default (`max_pending_output`). */
const HOLD_LIMIT = 32 * 1024 * 1024;

export interface OutputOwner {
  readonly deps: FilledDeps;
  /** Acknowledgements below so many bytes wait for an output to ride with while the filter has more input at hand: half a
   *  frame less per chunk, and far from what would stop the module from sending. */
  readonly ackAt: number;
  /** Called before bytes or the end go out. */
  beforeOutput(): void;
}

export class FlowOutput implements Turning {
  private readonly owner: OutputOwner;
  private readonly port: OutputPort;
  private readonly direction: Direction;
  /** Small pieces, joined. The sink copies, so the memory is used again. */
  private buffer: Uint8Array | undefined;
  private used = 0;
  /** Instead of them one large piece that nobody else writes to. */
  private piece: Uint8Array | undefined;
  /** Everything so far, when it is kept back until the end (whole-body mode). */
  private kept: Uint8Array[] | undefined;
  private keptBytes = 0;
  /** The filter asks for input and has none: what it has got is digested. */
  private asking = false;
  /** And the module knows. */
  private told = false;
  private turning = false;
  private ended = false;
  /** Input bytes consumed and not told yet. */
  private acknowledged = 0;
  inputEnded = false;

  constructor(owner: OutputOwner, port: OutputPort, direction: Direction, whole: boolean) {
    this.owner = owner;
    this.port = port;
    this.direction = direction;
    if (whole) this.kept = [];
  }

  // ---- the input ----

  /** The filter was given something. */
  given(last: boolean): void {
    this.asking = this.told = false;
    if (last) this.inputEnded = true;
  }

  /** The filter is done with that much of it. */
  consumed(bytes: number): void {
    this.acknowledged += bytes;
  }

  /** It goes on with what else there is. */
  goesOn(): void {
    if (this.acknowledged >= this.owner.ackAt && this.kept === undefined) this.send(0, undefined, false);
  }

  /** It asks for its next input and none is there. */
  asks(): void {
    this.digested(undefined);
  }

  // ---- the output ----

  /** `owned`: nobody else will write to that memory. */
  write(bytes: Uint8Array, owned: boolean): void {
    const { length } = bytes;
    if (length === 0 || this.ended) return;
    if (this.kept !== undefined) {
      this.kept.push(owned ? bytes : Uint8Array.prototype.slice.call(bytes));
      this.keptBytes += length;
      if (this.keptBytes > HOLD_LIMIT) this.letGo();
      return;
    }
    if (this.gathered > 0 && this.gathered + length > PIECE) this.send(0, undefined, false);
    const rest = this.sendPieces(bytes, owned);
    if (owned && this.gathered === 0 && rest.length >= DIRECT) this.piece = rest;
    else this.join(rest);
  }

  /** The output of one chunk of input that is done with, in one frame; digested: there is no other. */
  step(bytes: Uint8Array | undefined, digested: boolean): void {
    if (digested) this.digested(bytes);
    else if (bytes !== undefined) this.send(0, bytes, false);
    else this.goesOn();
  }

  /** The author's code has had its turn. */
  turn(): void {
    if (this.turning || (this.gathered === 0 && this.acknowledged < this.owner.ackAt)) return;
    this.turning = true;
    this.owner.deps.turns.atEnd(this);
  }

  turnEnded(): void {
    this.turning = false;
    if (this.gathered > 0) this.flush(0);
    else this.goesOn();
  }

  /** What was kept back goes now, and so will the rest: its length is not to be known. */
  letGo(): void {
    const { kept } = this;
    this.kept = undefined;
    if (kept !== undefined && kept.length > 0) this.send(0, joinBytes(kept), true);
  }

  /** What has gathered goes now, with these flags; what is kept back stays. */
  flush(flags: number): void {
    this.send(this.asking && !this.inputEnded ? flags | OutputFlag.Digested : flags, undefined, false);
  }

  /** The output is complete. */
  finish(tail: Uint8Array | undefined): void {
    if (this.ended) return;
    const { kept } = this;
    if (kept !== undefined) {
      this.kept = undefined;
      if (tail !== undefined) kept.push(tail);
      const all = joinBytes(kept);
      this.owner.beforeOutput();
      this.send(OutputFlag.Last, all, kept.length > 1 || tail === undefined);
    } else {
      this.owner.beforeOutput();
      this.send(OutputFlag.Last, tail, false);
    }
    this.dispose();
  }

  /** Nothing will be sent any more. */
  dispose(): void {
    this.ended = true;
    this.used = 0;
    this.buffer = this.piece = this.kept = undefined;
  }

  // ---- inside ----

  private get gathered(): number {
    return this.piece?.length ?? this.used;
  }

  private digested(bytes: Uint8Array | undefined): void {
    if (this.inputEnded || this.kept !== undefined) return;
    this.asking = true;
    if (this.told && this.acknowledged === 0 && this.gathered === 0 && bytes === undefined) return;
    this.told = true;
    this.send(OutputFlag.Digested, bytes, false);
  }

  private join(bytes: Uint8Array): void {
    const { piece } = this;
    if (piece !== undefined) {
      this.piece = undefined;
      this.join(piece);
    }
    const needed = this.used + bytes.length;
    let { buffer } = this;
    if (buffer === undefined || buffer.length < needed) {
      let size = buffer?.length ?? FIRST_BUFFER;
      while (size < needed) size *= 2;
      const larger = new Uint8Array(size);
      if (buffer !== undefined) larger.set(buffer.subarray(0, this.used));
      this.buffer = buffer = larger;
    }
    buffer.set(bytes, this.used);
    this.used = needed;
  }

  /** What has gathered, then `tail`; the flags go with the last piece. */
  private send(flags: number, tail: Uint8Array | undefined, owned: boolean): void {
    if (this.ended) return;
    const some = tail !== undefined && tail.length > 0;
    if (some || this.gathered > 0) this.owner.beforeOutput();
    if (this.gathered > 0) {
      const { piece } = this;
      const gathered = piece ?? this.buffer!.subarray(0, this.used);
      this.piece = undefined;
      this.used = 0;
      this.emit(some ? OutputFlag.Cut : flags, gathered, piece !== undefined);
      if (!some) return;
    }
    this.emit(flags, some ? this.sendPieces(tail, owned) : undefined, owned);
  }

  /** All but the last piece; that one comes back. */
  private sendPieces(bytes: Uint8Array, owned: boolean): Uint8Array {
    if (bytes.length <= PIECE) return bytes;
    this.owner.beforeOutput();
    let at = 0;
    for (; bytes.length - at > PIECE; at += PIECE) this.emit(OutputFlag.Cut, bytes.subarray(at, at + PIECE), owned);
    return bytes.subarray(at);
  }

  private emit(flags: number, bytes: Uint8Array | undefined, owned: boolean): void {
    const { acknowledged } = this;
    this.acknowledged = 0;
    this.port.output(this.direction, flags, acknowledged, bytes, owned);
  }
}
