/**
 * One member in one message. It stands between two others as the module stands between Envoy's filters: headers go on when
 * the member lets them, its output is the next one's input, the message ends for the next one when it has ended here, and
 * trailers come last (docs/lifecycle.md, "One crossing").
 */
import { applyOps } from '../base/header-block.js';
import { BodyMode, type HeaderBlock, isTrailers, type HeaderType, type OpList, OutputFlag } from '../base/wire.js';
import { withoutLength } from '../headers/framing.js';
import { NO_OPS } from '../headers/headers.js';
import { type Head, Piece, type Receiver } from './receiver.js';
import { StageBody } from './stage-body.js';
import { StageHead } from './stage-head.js';
import type { MemberPlace, StageMember, StagePass } from './stage-ports.js';

const EMPTY = new Uint8Array(0);

/** What waits for a member that has not answered for its headers. */
interface Waiting {
  readonly bytes: Uint8Array;
  readonly traits: number;
}
const NONE: Waiting[] = [];

/** The end of a member's input, and the trailers behind it. */
interface Ending {
  input: 'open' | 'here' | 'told';
  trailers: 'none' | 'awaited' | 'here' | 'asked' | 'answered';
  block: HeaderBlock | undefined;
  /** On that block, by this member. */
  ops: OpList;
  /** The next one has been told. */
  passed: boolean;
}

export class Stage implements Receiver, MemberPlace {
  readonly member: StageMember;
  /** asked: the member has the headers. held: it lets them go with its output. */
  state: 'asked' | 'held' | 'gone' = 'asked';
  readonly body: StageBody;
  /** From the moment when the headers have come to it. */
  head: StageHead | undefined;
  private readonly pass: StagePass;
  private readonly ending: Ending = { input: 'open', trailers: 'none', block: undefined, ops: NO_OPS, passed: false };
  private behind: Receiver | undefined;
  private waiting = NONE;
  private waitingBytes = 0;
  /** An answer is waited for. */
  private timed = false;

  constructor(pass: StagePass, member: StageMember) {
    this.pass = pass;
    this.member = member;
    this.body = new StageBody(pass.control);
  }

  // ---- for the pass ----

  /** The headers have gone without the member's word, and the body with them. */
  skipHeaders(before: Head, behind: Receiver): void {
    this.head = new StageHead(before, this.body);
    this.state = 'gone';
    this.behind = behind;
  }

  kill(): void {
    this.waiting = NONE;
    this.body.relieve();
  }

  /** Nothing comes out of it until there is more to go in. */
  get digested(): boolean {
    return this.state !== 'asked' && this.body.isDigested(this.ending.input === 'told');
  }

  /** The message cannot end without the member. */
  get needed(): boolean {
    return this.state !== 'gone' || this.body.open;
  }

  // ---- Receiver: from whoever is before ----

  headers(before: Head): void {
    const head = (this.head = new StageHead(before, this.body));
    for (const bytes of before.lead) this.waitingBytes += bytes.length;
    this.member.headers(this.pass.message, head.came, head.alone);
    if (this.state === 'asked' && !this.pass.dead) this.ask();
  }

  data(bytes: Uint8Array, traits: number): void {
    if (this.pass.dead) return;
    if ((traits & Piece.Last) !== 0) this.inputEnds((traits & Piece.Trailers) !== 0);
    if (this.state === 'asked') this.keep(bytes, traits);
    else {
      this.route(bytes, traits);
      this.advance();
    }
  }

  end(trailers: HeaderBlock | undefined): void {
    const { ending } = this;
    this.inputEnds(trailers !== undefined);
    if (trailers !== undefined) {
      ending.trailers = 'here';
      ending.block = trailers;
    }
    this.advance();
  }

  room(): Promise<void> | undefined {
    if (this.pass.dead) return undefined;
    if (this.state !== 'asked' && !this.body.open) return this.behind?.room();
    return this.isFull ? this.body.wait() : undefined;
  }

  // ---- from the member ----

  answer(type: HeaderType, mode: BodyMode, ops: OpList): void {
    if (this.pass.dead) return;
    this.pass.enter();
    this.answered();
    this.record(type, ops);
    if (isTrailers(type)) this.ending.trailers = 'answered';
    else if (this.state === 'asked') {
      if (mode === BodyMode.Pass || mode === BodyMode.Stream) {
        if (mode === BodyMode.Stream) this.body.take('through');
        this.letGo();
      } else this.hold(mode === BodyMode.Whole);
    }
    this.advance();
    this.pass.leave();
  }

  record(type: HeaderType, ops: OpList): void {
    if (ops.length === 0 || this.pass.dead) return;
    const { ending, pass } = this;
    if (isTrailers(type)) {
      ending.ops = ending.ops.length === 0 ? ops : [...ending.ops, ...ops];
      pass.control?.ops(type, ops);
      return;
    }
    this.head!.record(ops);
    // A length is about the member's own output: what Envoy is to know of it shows behind the last member.
    pass.control?.ops(type, withoutLength(ops));
  }

  output(flags: number, acknowledged: number, bytes: Uint8Array = EMPTY, owned = false): void {
    if (this.pass.dead) return;
    this.pass.enter();
    if (acknowledged > 0) {
      this.body.acknowledge(acknowledged);
      this.relieve();
    }
    if ((flags & OutputFlag.Added) === 0) this.made(flags, bytes, owned);
    else if (this.state === 'asked') this.head!.added = owned ? bytes : copyOf(bytes);
    else this.passOn(bytes, owned ? Piece.Owned : 0);
    this.advance();
    this.pass.leave();
  }

  backpressure(): Promise<void> | undefined {
    return this.pass.dead ? undefined : this.behind?.room();
  }

  // ---- headers ----

  private hold(whole: boolean): void {
    this.state = 'held';
    this.body.take(whole ? 'gathered' : 'through');
    if (this.pass.hold(this.body, whole)) this.body.take('gathered at the source');
    this.feedWaiting();
  }

  /** The headers are the next one's, with what was put before the body; then comes the body. */
  private letGo(): void {
    const head = this.head!;
    this.state = 'gone';
    head.letGo(this.pass.message, this.pass.limits.head);
    this.behind = this.pass.next();
    this.behind.headers(head);
    this.feedWaiting();
  }

  // ---- the body ----

  private keep(bytes: Uint8Array, traits: number): void {
    if (bytes.length === 0) return;
    if (this.waiting === NONE) this.waiting = [];
    this.waiting.push({
      bytes: (traits & Piece.Owned) === 0 ? copyOf(bytes) : bytes,
      traits: Piece.Owned | (traits & Piece.Input),
    });
    this.waitingBytes += bytes.length;
  }

  /** The member has answered: what came meanwhile is its own, or goes on. */
  private feedWaiting(): void {
    if (this.waitingBytes === 0) return;
    const { lead, ends } = this.head!.before;
    // Past a member that does not take it, it has gone with the headers.
    const own = this.body.takes ? lead.length : 0;
    for (let i = 0; i < own; i++) this.route(lead[i]!, ends && i === own - 1 ? Piece.Owned | Piece.Last : Piece.Owned);
    for (const { bytes, traits } of this.waiting) this.route(bytes, traits);
    this.waiting = NONE;
    this.waitingBytes = 0;
    this.relieve();
  }

  /** A piece that is the member's, or goes past it. */
  private route(bytes: Uint8Array, traits: number): void {
    const { body, ending } = this;
    if (this.pass.dead) return;
    if (body.takes) {
      this.give(bytes, traits);
      return;
    }
    // A member that hears of the end hears of it first: it may still add bytes with the trailers.
    if (ending.trailers !== 'none' || body.taken) traits &= ~(Piece.Last | Piece.Trailers);
    if ((traits & Piece.Last) !== 0) ending.input = 'told';
    this.passOn(bytes, traits);
  }

  private give(bytes: Uint8Array, traits: number): void {
    const { body, pass } = this;
    const last = (traits & Piece.Last) !== 0;
    if (!last && bytes.length === 0) return;
    if (!last && body.state === 'complete') {
      if ((traits & Piece.Input) !== 0) pass.control?.acknowledge(bytes.length);
      return;
    }
    const has = body.give(bytes.length, traits);
    if (body.state === 'gathered' && has > pass.limits.maxBodyBytes) {
      this.member.bodyTooLarge(pass.message.direction);
      return;
    }
    // An author may hand a chunk's buffer to another thread, so it shares it with no other chunk.
    const alone = (traits & Piece.Owned) !== 0 && bytes.length === bytes.buffer.byteLength;
    const own = alone ? bytes : copyOf(bytes);
    if (last) this.tellEnd(own);
    else this.member.data(pass.message.direction, own, 'more');
  }

  private passOn(bytes: Uint8Array, traits: number): void {
    const { pass } = this;
    if (pass.dead) return;
    if (this.head!.bodiless && bytes.length > 0) {
      if ((traits & Piece.Input) !== 0) pass.control?.acknowledge(bytes.length);
      bytes = EMPTY;
    }
    if (bytes.length > 0 || (traits & Piece.Last) !== 0) this.behind!.data(bytes, traits);
  }

  /** What the member has made of its input. */
  private made(flags: number, bytes: Uint8Array, owned: boolean): void {
    const { body, ending, pass } = this;
    const last = (flags & OutputFlag.Last) !== 0 && body.takes;
    const bypass = (flags & OutputFlag.Bypass) !== 0;
    if (bytes.length > 0 || last || bypass) {
      // A body that was handed over whole may come back in pieces: its time is over with the first.
      this.answered();
      if (this.state === 'held') this.letGo();
    }
    if (pass.dead) return;
    if (last) body.complete();
    if (bytes.length > 0) {
      const ends = last && ending.input === 'told' && ending.trailers === 'none';
      this.passOn(bytes, (owned ? Piece.Owned : 0) | (ends ? Piece.Last : 0));
    }
    body.asks = (flags & OutputFlag.Digested) !== 0;
    if (bypass) body.letGo();
    if (last || bypass) this.relieve();
    if ((flags & (OutputFlag.Trailing | OutputFlag.Timed)) !== 0) this.ask();
  }

  private get isFull(): boolean {
    const { window } = this.pass.limits;
    return this.state === 'asked' ? this.waitingBytes >= window : this.body.isFull(window);
  }

  private relieve(): void {
    if (!this.isFull) this.body.relieve();
  }

  // ---- the end ----

  private inputEnds(trailers: boolean): void {
    const { ending } = this;
    if (ending.input === 'open') ending.input = 'here';
    if (trailers && ending.trailers === 'none') ending.trailers = 'awaited';
  }

  /** Tells the member what is due to it, then the next one. */
  private advance(): void {
    const { ending, body, pass } = this;
    if (pass.dead || this.state === 'asked' || this.waitingBytes > 0 || ending.input === 'open') return;
    if (ending.input === 'here') {
      if (body.taken) this.tellEnd(EMPTY);
      else ending.input = 'told';
    }
    if (ending.trailers === 'here' && !pass.dead) this.tellTrailers();
    const through = !body.open && (ending.trailers === 'none' || ending.trailers === 'answered');
    if (!through || ending.passed || pass.dead) return;
    ending.passed = true;
    this.behind!.end(ending.block === undefined ? undefined : applyOps(ending.block, ending.ops));
  }

  private tellEnd(bytes: Uint8Array): void {
    const { ending, body, pass } = this;
    ending.input = 'told';
    body.asks = false;
    // Before the call: what it answers inside ends the wait.
    if (body.state === 'gathered') this.ask();
    this.member.data(pass.message.direction, bytes, ending.trailers === 'none' ? 'nothing' : 'trailers');
  }

  private tellTrailers(): void {
    const { ending, body, pass } = this;
    ending.trailers = 'asked';
    this.member.trailers(pass.message.direction, ending.block!);
    // A member with a body of its own says when only the trailers hook is left (Trailing).
    if (this.isAsked() && !body.takes && !pass.dead) this.ask();
  }

  /** Asked after the member has had its say. */
  private isAsked(): boolean {
    return this.ending.trailers === 'asked';
  }

  // ---- time ----

  private ask(): void {
    const anew = !this.timed;
    this.timed = true;
    this.pass.asked(anew);
  }

  private answered(): void {
    if (!this.timed) return;
    this.timed = false;
    this.pass.answered();
  }
}

const copyOf = (bytes: Uint8Array): Uint8Array => Uint8Array.prototype.slice.call(bytes);
