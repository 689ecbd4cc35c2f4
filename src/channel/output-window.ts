/**
 * Output of one direction on its way to the module: so many bytes may go without a Credit, the rest waits here, in order
 * with whatever else of that direction comes behind it.
 */
import { flagsOfPart } from '../base/wire.js';

/** Writes one output; the bytes are read before it returns. */
export type SendOutput = (flags: number, acknowledged: number, bytes: Uint8Array | undefined) => void;

/** An output, or a frame that must not overtake one. */
type Waiting = Output | (() => void);
interface Output {
  readonly flags: number;
  acknowledged: number;
  bytes: Uint8Array;
}

export class OutputWindow {
  /** Bytes that wait. */
  waitingBytes = 0;
  readonly #window: number;
  readonly #send: SendOutput;
  /** Bytes that may still go. */
  #left: number;
  #queue: Waiting[] = [];
  #drained: Promise<void> | undefined;
  #settle: (() => void) | undefined;

  constructor(window: number, send: SendOutput) {
    this.#window = this.#left = Math.max(1, window);
    this.#send = send;
  }

  /** `owned`: nobody else will write to that memory, so what waits need not be copied. */
  output(flags: number, acknowledged: number, bytes: Uint8Array | undefined, owned: boolean): void {
    const length = bytes?.length ?? 0;
    if (this.#queue.length === 0 && length <= this.#left) {
      this.#left -= length;
      this.#send(flags, acknowledged, bytes);
      return;
    }
    const rest: Output = { flags, acknowledged, bytes: bytes ?? NOTHING };
    if (this.#queue.length === 0) this.#sendPart(rest);
    if (!owned) rest.bytes = Uint8Array.prototype.slice.call(rest.bytes);
    this.waitingBytes += rest.bytes.length;
    this.#queue.push(rest);
  }

  /** A frame behind the output so far. */
  behind(send: () => void): void {
    if (this.#queue.length === 0) send();
    else this.#queue.push(send);
  }

  /** The module has taken that much. */
  credit(bytes: number): void {
    this.#left = Math.min(this.#window, this.#left + bytes);
    const queue = this.#queue;
    let gone = 0;
    for (const next of queue) {
      if (queue !== this.#queue) return; // closed by what was sent
      if (typeof next === 'function') next();
      else {
        const { length } = next.bytes;
        if (length > this.#left) {
          this.waitingBytes -= this.#sendPart(next);
          break;
        }
        this.#left -= length;
        this.waitingBytes -= length;
        this.#send(next.flags, next.acknowledged, next.bytes);
      }
      gone++;
    }
    queue.splice(0, gone);
    if (queue.length === 0) this.#release();
  }

  /** undefined: nothing waits. */
  backpressure(): Promise<void> | undefined {
    if (this.#queue.length === 0) return undefined;
    return (this.#drained ??= new Promise((resolve) => (this.#settle = resolve)));
  }

  /** What waits has no taker any more. */
  close(): void {
    this.#queue = [];
    this.waitingBytes = 0;
    this.#release();
  }

  /** As much of it as may go. */
  #sendPart(output: Output): number {
    const part = this.#left;
    if (part === 0) return 0;
    this.#left = 0;
    this.#send(flagsOfPart(output.flags), output.acknowledged, output.bytes.subarray(0, part));
    output.acknowledged = 0;
    output.bytes = output.bytes.subarray(part);
    return part;
  }

  #release(): void {
    this.#settle?.();
    this.#settle = this.#drained = undefined;
  }
}

const NOTHING = new Uint8Array(0);
