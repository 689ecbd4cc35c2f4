/** Where a message goes behind the last filter of a chain: on to Envoy, or out as a reply. */
import { joinBytes } from '../body/buffer.js';
import { HeaderLines } from '../base/header-block.js';
import {
  BodyMode,
  CreditOf,
  type Direction,
  type HeaderBlock,
  headersOf,
  type HeaderType,
  type OpList,
  OutputFlag,
  trailersOf,
} from '../base/wire.js';
import type { ChainStream } from './chain.js';
import type { Pass, PassEnd } from './chain-pass.js';
import type { FilledDeps } from '../base/deps.js';
import { FlowOutput, type OutputOwner, type OutputPort } from '../body/output.js';

/** To the module: the chain is one filter for it. */
export class EnvoyEnd implements PassEnd, OutputPort, OutputOwner {
  private readonly chain: ChainStream;
  private readonly pass: Pass;
  private readonly type: HeaderType;
  /** Nothing follows the headers: what the members make of it goes with the answer, in one piece. */
  private readonly headersOnly: boolean;
  private readonly made: Uint8Array[] = [];
  private answered: boolean;
  /** The module holds the headers until there is output. */
  private held = false;
  private timing = false;
  private timingTold = false;
  /** Goes with the next output. */
  private due = 0;
  private inputEnded = false;
  /** The module sends nothing before it has all of the body. */
  private whole = false;
  private finished = false;
  private passedBy = false;
  private complete = false;
  /** When the body goes through some member. */
  private body: FlowOutput | undefined;

  /** answered: the headers have gone, without any member's word. */
  constructor(chain: ChainStream, pass: Pass, headersOnly: boolean, answered = false) {
    this.chain = chain;
    this.pass = pass;
    this.type = headersOf(pass.direction);
    this.headersOnly = headersOnly;
    this.answered = answered;
  }

  // ---- from the module ----

  /** A frame has come. */
  given(last: boolean): void {
    this.inputEnded ||= last;
    this.body?.given(last);
  }

  dispose(): void {
    this.finished = true;
    this.body?.dispose();
  }

  // ---- PassEnd ----

  hold(whole: boolean): boolean {
    if (this.answered || this.headersOnly) return this.whole;
    this.held = !whole;
    this.whole = whole;
    this.openWith(whole ? BodyMode.Whole : BodyMode.StreamHold);
    return whole;
  }

  headers(lead: readonly Uint8Array[], takes: boolean): void {
    if (this.headersOnly) {
      this.made.push(...lead);
      return;
    }
    if (this.answered) {
      this.flush();
      if (this.held) this.due = OutputFlag.Release;
      for (const bytes of lead) this.body!.write(bytes, true);
      return;
    }
    // Before the answer: with the answer the headers may go, and these bytes come first.
    if (lead.length > 0) this.say(OutputFlag.Added, 0, joinBytes(lead));
    this.openWith(takes ? BodyMode.Stream : BodyMode.Pass);
  }

  data(bytes: Uint8Array, owned: boolean, source: boolean): void {
    const { body } = this;
    if (this.headersOnly) this.made.push(owned ? bytes : Uint8Array.prototype.slice.call(bytes));
    // Behind a body that the module lets pass, or lets pass by now: added with the trailers, or still on its way.
    else if (body === undefined) this.say(OutputFlag.Added, 0, bytes);
    else if (this.passedBy) this.say(OutputFlag.Digested, source ? bytes.length : 0, bytes);
    else {
      body.write(bytes, owned);
      if (source) body.consumed(bytes.length);
    }
  }

  turn(digested: boolean): void {
    if (this.complete) return;
    const body = this.finished || this.passedBy ? undefined : this.body;
    if (body !== undefined && !this.whole) {
      if (digested) body.asks();
      else body.turn();
    }
    // What no output has taken along.
    if (this.due === 0 && this.timing === this.timingTold) return;
    if (body === undefined) this.say(0, 0, undefined);
    else body.flush(0);
  }

  finish(): void {
    this.finished = true;
    this.body!.finish(undefined);
  }

  end(trailers: HeaderBlock | undefined, ops: OpList): void {
    this.complete = true;
    if (this.headersOnly) {
      const made = joinBytes(this.made);
      if (made.length > 0) this.say(OutputFlag.Added, 0, made);
      this.openWith(BodyMode.Pass);
      return;
    }
    if (this.passedBy) {
      if (trailers === undefined) this.say(OutputFlag.Last, 0, undefined);
    } else if (!this.finished) this.body?.finish(undefined);
    if (trailers === undefined) return;
    if (this.timingTold) this.say(0, 0, undefined);
    this.chain.sink.answer(trailersOf(this.pass.direction), BodyMode.Pass, this.chain.phasesToTell(), ops);
  }

  acknowledge(bytes: number): void {
    const { body } = this;
    if (bytes === 0 || body === undefined) return;
    if (this.passedBy || this.finished) {
      this.say(0, bytes, undefined);
      return;
    }
    body.consumed(bytes);
  }

  letGo(): boolean {
    if (this.body === undefined) return false;
    this.body.flush(OutputFlag.Bypass | OutputFlag.Digested);
    this.body.dispose();
    return (this.passedBy = true);
  }

  flush(): void {
    const ops = this.pass.takeOps();
    if (ops.length > 0) this.chain.sink.ops(this.type, ops);
  }

  timed(on: boolean): void {
    if (this.answered) this.timing = on;
  }

  backpressure(): Promise<void> | undefined {
    return this.chain.sink.backpressure(this.pass.direction);
  }

  // ---- for its output ----

  get deps(): FilledDeps {
    return this.chain.deps;
  }

  /** A frame would end the time of a hook that is waited for. */
  get ackAt(): number {
    return this.timing ? Infinity : this.chain.window >>> 2;
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
    this.chain.sink.output(direction, flags | more, acknowledged, bytes, owned);
  }

  // ---- inside ----

  private openWith(mode: BodyMode): void {
    this.answered = true;
    const { chain, pass } = this;
    if (mode !== BodyMode.Pass) {
      this.body = new FlowOutput(this, this, pass.direction, false);
      if (this.inputEnded) this.body.given(true);
    }
    chain.sink.answer(this.type, mode, chain.phasesToTell(), pass.takeOps());
  }

  private say(flags: number, acknowledged: number, bytes: Uint8Array | undefined): void {
    this.output(this.pass.direction, flags, acknowledged, bytes, false);
  }
}

/** A reply that is complete when it goes: gathered behind the members' encode hooks. */
export class WholeReplyEnd implements PassEnd {
  private readonly pass: Pass;
  private readonly parts: Uint8Array[] = [];
  private readonly sent: (lines: HeaderLines, parts: readonly Uint8Array[]) => void;

  constructor(pass: Pass, sent: (lines: HeaderLines, parts: readonly Uint8Array[]) => void) {
    this.pass = pass;
    this.sent = sent;
  }

  /** It is all here already. */
  hold(): boolean {
    return true;
  }
  headers(lead: readonly Uint8Array[]): void {
    this.parts.push(...lead);
  }
  data(bytes: Uint8Array, owned: boolean): void {
    this.parts.push(owned ? bytes : Uint8Array.prototype.slice.call(bytes));
  }
  turn(): void {}
  finish(): void {}
  end(): void {
    this.sent(HeaderLines.of(this.pass.headersNow()), this.parts);
  }
  acknowledge(): void {}
  letGo(): boolean {
    return false;
  }
  flush(): void {}
  timed(): void {}
  backpressure(): undefined {
    return undefined;
  }
}

/** A reply that streams: Envoy's credit bounds it, as one that no other member sees. */
export class StreamedReplyEnd implements PassEnd {
  private readonly chain: ChainStream;
  private readonly pass: Pass;
  /** Told to be all of it. */
  private ended = false;
  private readonly headersOnly: boolean;

  constructor(chain: ChainStream, pass: Pass, headersOnly: boolean) {
    this.chain = chain;
    this.pass = pass;
    this.headersOnly = headersOnly;
  }

  hold(): boolean {
    return false;
  }

  headers(lead: readonly Uint8Array[]): void {
    this.ended = this.headersOnly && lead.length === 0;
    this.chain.sink.replyHeaders(HeaderLines.of(this.pass.headersNow()).flat(), this.ended);
    for (const bytes of lead) this.data(bytes);
  }

  data(bytes: Uint8Array): void {
    this.chain.sink.replyData(bytes, false);
  }

  turn(): void {}
  finish(): void {}

  end(trailers: HeaderBlock | undefined): void {
    if (trailers !== undefined) this.chain.sink.replyTrailers(HeaderLines.of(trailers).flat());
    else if (!this.ended) this.chain.sink.replyData(new Uint8Array(0), true);
  }

  acknowledge(): void {}
  letGo(): boolean {
    return false;
  }
  flush(): void {}
  timed(): void {}

  backpressure(): Promise<void> | undefined {
    return this.chain.sink.backpressure(CreditOf.Reply);
  }
}
