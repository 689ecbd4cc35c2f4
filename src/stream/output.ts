/**
 * The output of one flow: small pieces are joined, and this decides when what has gathered is pushed on.
 *
 * Envoy lets us push once per frame that it has sent (docs/lifecycle.md, "Pushing"), so a push too early makes the rest
 * wait: we push when the filter asks for its next input and none is there, when PUSH_BYTES have gathered, or PUSH_DELAY
 * after the first byte that was not pushed. After the input's end there is one piece left, and no push is needed.
 */
import { joinBytes } from '../buffer.js';
import { type Direction, type HeaderType, OutputFlag, type BodyMode, type OpList } from '../wire.js';
import type { FilledDeps } from './deps.js';

/** Where output goes. */
export interface OutputPort {
  output(direction: Direction, flags: number, acknowledged: number, bytes: Uint8Array | undefined): void;
}

/** Where a flow speaks to: Envoy, or the local reply that is being made of this flow. */
export interface FlowPort extends OutputPort {
  answer(type: HeaderType, mode: BodyMode, ops: OpList): void;
  ops(type: HeaderType, ops: OpList): void;
  backpressure(direction: Direction): Promise<void> | undefined;
}

export const PUSH_BYTES = 64 * 1024;
export const PUSH_DELAY = 20;
/** The largest piece given to the sink at once. */
const PIECE = 64 * 1024;
/** From here on joining costs more than a frame of its own. */
const DIRECT = 32 * 1024;
const FIRST_BUFFER = 4 * 1024;
/** What is kept back to know its length exactly; more than the module takes by default (`max_pending_output`). */
const HOLD_LIMIT = 32 * 1024 * 1024;

export interface OutputOwner {
  readonly deps: FilledDeps;
  /** Acknowledgements below so many bytes wait for an output to ride with: half a frame less per chunk, and far from
   *  what would stop the module from sending. */
  readonly ackAt: number;
  /** Called before bytes or the end go out; `total` is the body's length where all of it goes now. */
  beforeOutput(total: number | undefined): void;
}

export class FlowOutput {
  private readonly owner: OutputOwner;
  private readonly port: OutputPort;
  private readonly direction: Direction;
  /** Small pieces, joined. The sink copies, so the memory is used again. */
  private buffer: Uint8Array | undefined;
  private used = 0;
  /** Everything so far, when it is kept back until the end (whole-body mode). */
  private kept: Uint8Array[] | undefined;
  private keptBytes = 0;
  /** Bytes written since the last push that Envoy could act on. */
  private unpushed = 0;
  /** A frame came with a hook of its own and no push has used it. Not so before the first frame: a push that cannot
   *  happen yet would be remembered there, and would use up the next hook before its input was worked on. */
  private possible = false;
  /** A first push is owed even when there is nothing to say: it lets the headers go. */
  private owesPush: boolean;
  private timer: unknown;
  private ended = false;
  /** Input bytes consumed and not told yet. */
  acknowledged = 0;
  inputEnded = false;

  constructor(owner: OutputOwner, port: OutputPort, direction: Direction, owesPush: boolean, whole: boolean) {
    this.owner = owner;
    this.port = port;
    this.direction = direction;
    this.owesPush = owesPush;
    if (whole) this.kept = [];
  }

  /** `owned`: nobody else will write to that memory. */
  write(bytes: Uint8Array, owned: boolean): void {
    const { length } = bytes;
    if (length === 0) return;
    if (this.kept !== undefined) {
      this.kept.push(owned ? bytes : Uint8Array.prototype.slice.call(bytes));
      this.keptBytes += length;
      if (this.keptBytes > HOLD_LIMIT) this.letGo();
      return;
    }
    this.unpushed += length;
    const push = this.unpushed >= PUSH_BYTES && this.possible && !this.inputEnded ? OutputFlag.Push : 0;
    if (length >= DIRECT) this.send(push, bytes);
    else {
      if (this.used + length > PIECE) this.send(0, undefined);
      this.copy(bytes);
      if (push !== 0) this.send(push, undefined);
    }
  }

  /** The output of one input chunk that is done with, and the wish for the next: one frame. */
  step(bytes: Uint8Array | undefined): void {
    if (bytes !== undefined) this.unpushed += bytes.length;
    const push = this.possible && (this.unpushed > 0 || this.owesPush) ? OutputFlag.Push : 0;
    if (push !== 0 || bytes !== undefined || this.acknowledged >= this.owner.ackAt) this.send(push, bytes);
  }

  /** The filter asks for its next input and none is there. */
  asks(): void {
    if (!this.inputEnded && this.kept === undefined) this.step(undefined);
  }

  /** The author's code has had its turn: what it left unpushed must not wait for ever. */
  turn(): void {
    if (this.unpushed === 0 || !this.possible || this.inputEnded || this.ended || this.timer !== undefined) return;
    if (this.unpushed >= PUSH_BYTES) this.send(OutputFlag.Push, undefined);
    else {
      this.timer = this.owner.deps.setTimeout(() => {
        this.timer = undefined;
        if (this.unpushed > 0 && !this.ended) this.send(OutputFlag.Push, undefined);
      }, PUSH_DELAY);
    }
  }

  /** A frame came with a hook of its own. */
  fresh(): void {
    this.possible = true;
  }

  /** What was kept back goes now, and so will the rest: its length is not to be known. */
  letGo(): void {
    const { kept } = this;
    this.kept = undefined;
    if (kept === undefined || kept.length === 0) return;
    this.unpushed += this.keptBytes;
    this.send(0, joinBytes(kept));
  }

  /** Everything goes now, with `flags`; used where the flow changes its mode. */
  flush(flags: number): void {
    this.letGo();
    this.send(flags | (this.unpushed > 0 && this.possible ? OutputFlag.Push : 0), undefined);
  }

  /** Flags with what was joined; what is kept back stays. */
  mark(flags: number): void {
    this.send(flags, undefined);
  }

  /** The output is complete. */
  finish(tail: Uint8Array | undefined): void {
    if (this.ended) return;
    const { kept } = this;
    if (kept !== undefined) {
      this.kept = undefined;
      if (tail !== undefined) kept.push(tail);
      const all = joinBytes(kept);
      this.owner.beforeOutput(all.length);
      this.send(OutputFlag.Last, all);
    } else {
      this.owner.beforeOutput(undefined);
      this.send(OutputFlag.Last, tail);
    }
    this.dispose();
  }

  /** Nothing will be sent any more. */
  dispose(): void {
    this.ended = true;
    this.stopTimer();
    this.buffer = undefined;
    this.used = 0;
    this.kept = undefined;
  }

  private copy(bytes: Uint8Array): void {
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

  /** What was joined, then `tail`; the flags go with the last piece. */
  private send(flags: number, tail: Uint8Array | undefined): void {
    if (this.ended) return;
    const { port, direction } = this;
    const tailLength = tail?.length ?? 0;
    if (this.used > 0 || tailLength > 0) this.owner.beforeOutput(undefined);
    if (this.used > 0) {
      const joined = this.buffer!.subarray(0, this.used);
      this.used = 0;
      if (tailLength === 0) {
        this.emit(flags, joined);
        return;
      }
      port.output(direction, 0, 0, joined);
    }
    let at = 0;
    while (tailLength - at > PIECE) {
      port.output(direction, 0, 0, tail!.subarray(at, at + PIECE));
      at += PIECE;
    }
    this.emit(flags, tailLength === 0 ? undefined : at === 0 ? tail : tail!.subarray(at));
  }

  private emit(flags: number, bytes: Uint8Array | undefined): void {
    const { acknowledged } = this;
    this.acknowledged = 0;
    if ((flags & OutputFlag.Push) !== 0) {
      this.owesPush = false;
      this.stopTimer();
      this.possible = false;
      this.unpushed = 0;
    }
    this.port.output(this.direction, flags, acknowledged, bytes);
  }

  private stopTimer(): void {
    if (this.timer === undefined) return;
    this.owner.deps.clearTimeout(this.timer);
    this.timer = undefined;
  }
}
