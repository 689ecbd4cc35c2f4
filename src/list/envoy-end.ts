/** Behind the last member of a list: the module, for which the list is one filter. */
import { joinBytes } from '../body/buffer.js';
import { FlowOutput, type OutputOwner, type OutputPort } from '../body/output.js';
import {
  BodyMode,
  type Direction,
  type HeaderBlock,
  HeaderOp,
  headersOf,
  isTrailers,
  type HeaderType,
  type OpList,
  OutputFlag,
  type StreamSink,
  trailersOf,
} from '../base/wire.js';
import type { FilledDeps } from '../base/deps.js';
import { LENGTH } from '../headers/framing.js';
import { NO_OPS } from '../headers/headers.js';
import { type Head, type ModuleControl, Piece, type Receiver, type SaidLength } from './receiver.js';

/** What it has of the list. */
export interface EnvoyPort {
  readonly sink: StreamSink;
  readonly deps: FilledDeps;
  /** Bytes that may be on their way without a credit. */
  readonly window: number;
  /** Phase bits for an answer. */
  phasesToTell(): number;
}

/**
 * - asked: the module has no answer to the headers
 * - held: it holds them until there is output
 * - whole: it holds them, and sends nothing before it has all of the body
 * - gone: they have gone, or go as soon as there is output to go with them
 */
type HeadersState = 'asked' | 'held' | 'whole' | 'gone';

/**
 * - open: the members make the output
 * - drained: it is complete before the input
 * - past: the rest of the body goes past the members, and what is on its way to them is echoed
 * - complete: so is the input
 */
type OutputState = 'open' | 'drained' | 'past' | 'complete';

export class EnvoyEnd implements Receiver, ModuleControl, OutputPort, OutputOwner {
  private readonly port: EnvoyPort;
  private readonly direction: Direction;
  /** Nothing follows the headers: what the members make of it goes with the answer, in one piece. */
  private readonly made: Uint8Array[] | undefined;
  private headersState: HeadersState;
  private outputState: OutputState = 'open';
  /** When the body goes through some member. */
  private body: FlowOutput | undefined;
  private inputEnded = false;
  /** Operations that the module has not been told. */
  private headerOps: OpList = NO_OPS;
  private trailerOps: OpList = NO_OPS;
  /** A member is waited for, behind one that holds the headers; and the module knows. */
  private timing = false;
  private timingTold = false;
  /** Goes with the next output. */
  private due = 0;

  /** state: 'gone' without any member's word where only trailers come. */
  constructor(port: EnvoyPort, direction: Direction, state: 'asked' | 'gone', headersOnly: boolean) {
    this.port = port;
    this.direction = direction;
    this.made = headersOnly ? [] : undefined;
    this.headersState = state;
  }

  // ---- from the list ----

  /** A frame has come. */
  given(last: boolean): void {
    this.inputEnded ||= last;
    this.body?.given(last);
  }

  /** Operations that cannot wait for the answer. */
  flush(): void {
    const ops = this.takeOps();
    if (ops.length > 0) this.port.sink.ops(headersOf(this.direction), ops);
  }

  dispose(): void {
    this.outputState = 'drained';
    this.body?.dispose();
  }

  // ---- Receiver ----

  headers({ lead, taken, length }: Head): void {
    this.addLength(length);
    if (this.made !== undefined) {
      this.made.push(...lead);
      return;
    }
    if (this.headersState === 'asked') {
      // Before the answer: with the answer the headers may go, and these bytes come first.
      if (lead.length > 0) this.say(OutputFlag.Added, 0, joinBytes([...lead]));
      this.answer(taken ? BodyMode.Stream : BodyMode.Pass);
      this.headersState = 'gone';
      return;
    }
    this.flush();
    if (this.headersState === 'held') {
      this.due = OutputFlag.Release;
      this.headersState = 'gone';
    }
    for (const bytes of lead) this.body!.write(bytes, true);
  }

  data(bytes: Uint8Array, traits: number): void {
    const { body } = this;
    const owned = (traits & Piece.Owned) !== 0;
    const input = (traits & Piece.Input) !== 0 ? bytes.length : 0;
    if (bytes.length === 0) return;
    if (this.made !== undefined) this.made.push(owned ? bytes : Uint8Array.prototype.slice.call(bytes));
    // Behind a body that the module lets pass: added with the trailers.
    else if (body === undefined) this.say(OutputFlag.Added, 0, bytes);
    else if (this.outputState === 'past') this.say(OutputFlag.Digested, input, bytes);
    else {
      body.write(bytes, owned);
      body.consumed(input);
    }
  }

  end(trailers: HeaderBlock | undefined): void {
    const { sink } = this.port;
    const before = this.outputState;
    this.outputState = 'complete';
    if (this.made !== undefined) {
      const made = joinBytes(this.made);
      if (made.length > 0) this.say(OutputFlag.Added, 0, made);
      this.answer(BodyMode.Pass);
      return;
    }
    if (before === 'open') this.body?.finish(undefined);
    else if (before === 'past' && trailers === undefined) this.say(OutputFlag.Last, 0, undefined);
    if (trailers === undefined) return;
    if (this.timingTold) this.say(0, 0, undefined);
    sink.answer(trailersOf(this.direction), BodyMode.Pass, this.port.phasesToTell(), this.trailerOps);
  }

  room(): Promise<void> | undefined {
    return this.port.sink.backpressure(this.direction);
  }

  // ---- ModuleControl ----

  ops(type: HeaderType, ops: OpList): void {
    if (isTrailers(type)) this.trailerOps = joined(this.trailerOps, ops);
    else this.headerOps = joined(this.headerOps, ops);
  }

  hold(whole: boolean): boolean {
    if (this.headersState === 'asked' && this.made === undefined) {
      this.headersState = whole ? 'whole' : 'held';
      this.answer(whole ? BodyMode.Whole : BodyMode.StreamHold);
    }
    return this.headersState === 'whole';
  }

  acknowledge(bytes: number): void {
    const { body } = this;
    if (bytes === 0 || body === undefined) return;
    if (this.outputState === 'past' || this.outputState === 'drained') this.say(0, bytes, undefined);
    else body.consumed(bytes);
  }

  timed(on: boolean): void {
    if (this.headersState !== 'asked') this.timing = on;
  }

  turn(digested: boolean): void {
    const { outputState } = this;
    if (outputState === 'complete') return;
    const body = outputState === 'open' ? this.body : undefined;
    if (body !== undefined && this.headersState !== 'whole') {
      if (digested) body.asks();
      else body.turn();
    }
    // What no output has taken along.
    if (this.due === 0 && this.timing === this.timingTold) return;
    if (body === undefined) this.say(0, 0, undefined);
    else body.flush(0);
  }

  drain(): void {
    this.outputState = 'drained';
    this.body!.finish(undefined);
  }

  letGo(): boolean {
    if (this.body === undefined) return false;
    this.body.flush(OutputFlag.Bypass | OutputFlag.Digested);
    this.body.dispose();
    this.outputState = 'past';
    return true;
  }

  // ---- for its output ----

  get deps(): FilledDeps {
    return this.port.deps;
  }

  /** A frame would end the time of a hook that is waited for. */
  get ackAt(): number {
    return this.timing ? Infinity : this.port.window >>> 2;
  }

  beforeOutput(): void {}

  output(
    direction: Direction,
    flags: number,
    acknowledged: number,
    bytes: Uint8Array | undefined,
    owned: boolean,
  ): void {
    // Each output ends the time of a hook, so one that comes while it is waited for begins it anew.
    const more = this.due | (this.timing ? OutputFlag.Timed : 0);
    this.due = 0;
    this.timingTold = this.timing;
    this.port.sink.output(direction, flags | more, acknowledged, bytes, owned);
  }

  // ---- inside ----

  private answer(mode: BodyMode): void {
    const { port, direction } = this;
    if (mode !== BodyMode.Pass) {
      this.body = new FlowOutput(this, this, direction, false);
      if (this.inputEnded) this.body.given(true);
    }
    port.sink.answer(headersOf(direction), mode, port.phasesToTell(), this.takeOps());
  }

  private addLength(length: SaidLength): void {
    if (length === undefined) return;
    const op = length === 'none' ? HeaderOp.Delete : HeaderOp.Set;
    this.headerOps = joined(this.headerOps, [op, LENGTH, length === 'none' ? '' : String(length)]);
  }

  private takeOps(): OpList {
    const { headerOps } = this;
    this.headerOps = NO_OPS;
    return headerOps;
  }

  private say(flags: number, acknowledged: number, bytes: Uint8Array | undefined): void {
    this.output(this.direction, flags, acknowledged, bytes, false);
  }
}

const joined = (ops: OpList, more: OpList): OpList => (ops.length === 0 ? more : [...ops, ...more]);
