/**
 * One message on its way through the filters of a chain, in one direction. Between two members stands what Envoy and the
 * module are between two filters: headers go on when the member lets them, its output is the next one's input, a message
 * ends for one when it has ended for the one before, trailers come last (docs/lifecycle.md, "One crossing").
 */
import { applyOps, HeaderLines } from '../base/header-block.js';
import { NO_OPS } from '../headers/headers.js';
import {
  BodyMode,
  Direction,
  type HeaderBlock,
  HeaderOp,
  type HeaderType,
  isTrailers,
  type OpList,
  OutputFlag,
  PhaseBit,
  PHASES_UNCHANGED,
} from '../base/wire.js';
import type { ChainMember } from './chain-member.js';
import { isBodiless, LENGTH, lengthIn, withoutLength } from '../headers/framing.js';

const EMPTY = new Uint8Array(0);
const TRAILERS = [PhaseBit.decodeTrailers, PhaseBit.encodeTrailers] as const;

/** Where the message goes behind the last member. */
export interface PassEnd {
  /** A member keeps its headers back; `whole`: it is the first that takes the body, all at once. True: then the source
   *  bounds that body. */
  hold(whole: boolean): boolean;
  /** Every member has let the headers go. `lead`: bytes before the body; `takes`: the body goes through some member. */
  headers(lead: readonly Uint8Array[], takes: boolean): void;
  /** `source`: straight from the source, past every member. */
  data(bytes: Uint8Array, owned: boolean, source: boolean): void;
  /** The members have had their turn; `digested`: each has digested what it was given, and nothing waits between two. */
  turn(digested: boolean): void;
  /** No more output, but the input goes on: it is drained. */
  finish(): void;
  /** The message is complete; `trailers` is the map behind it as the members have made it, by `ops`. */
  end(trailers: HeaderBlock | undefined, ops: OpList): void;
  /** Bytes of the source that are done with. */
  acknowledge(bytes: number): void;
  /** No member takes the body any longer. True: the source sends no more of it. */
  letGo(): boolean;
  /** Operations that cannot wait for the answer. */
  flush(): void;
  /** A member has been asked for an answer, and when it has given it. */
  timed(on: boolean): void;
  backpressure(): Promise<void> | undefined;
}

/** What waits for a member that has not answered for its headers. */
interface Waiting {
  readonly bytes: Uint8Array;
  readonly source: boolean;
}

const NONE: readonly Waiting[] = [];

const ASKED = 0;
const HELD = 1;
const GONE = 2;

/** One member in one pass. */
export class Stage {
  readonly pass: Pass;
  readonly member: ChainMember;
  readonly index: number;
  readonly block: HeaderBlock;
  /** The headers ended the message, for this member. */
  readonly headersOnly: boolean;
  headers: typeof ASKED | typeof HELD | typeof GONE = ASKED;
  ops: OpList = NO_OPS;
  added: Uint8Array | undefined;
  /** How many bytes that were. */
  addedBytes = 0;
  /** The member lets go of an answer that has no body. */
  bodiless = false;
  /** The body goes through this member. */
  takes = false;
  /** It did from the beginning: it has a driver that hears of the end. */
  took = false;
  /** It gathers the body: no window holds it. */
  whole = false;
  /** It has asked for more since it was given something. */
  asks = false;
  /** The module holds the limit of that body. */
  limitedBySource = false;
  outstanding = 0;
  /** Of these, what came from the members before it. */
  fromMembers = 0;
  endTold = false;
  outputEnded = false;
  trailersTold = false;
  trailersAnswered = false;
  trailerOps: OpList = NO_OPS;
  /** An answer is waited for. */
  timed = false;
  room: { readonly promise: Promise<void>; resolve(): void } | undefined;

  /** Nothing comes out of it until there is more to go in. */
  get digested(): boolean {
    return this.headers !== ASKED && (!this.takes || this.outputEnded || this.asks || (this.whole && !this.endTold));
  }

  constructor(pass: Pass, member: ChainMember, index: number, block: HeaderBlock, headersOnly: boolean) {
    this.pass = pass;
    this.member = member;
    this.index = index;
    this.block = block;
    this.headersOnly = headersOnly;
  }
}

export interface PassOwner {
  /** The request came as HEAD. */
  readonly head: boolean;
  readonly window: number;
  readonly maxBodyBytes: number;
  /** A whole body of that member is over the limit. */
  bodyTooLarge(direction: Direction, member: ChainMember): void;
}

export class Pass {
  readonly direction: Direction;
  readonly end: PassEnd;
  /** What follows the headers is no body. */
  readonly tunnel: boolean;
  /** Every operation on the headers that has not been told to Envoy. */
  ops: OpList = NO_OPS;
  /** Every member has let its headers go. */
  complete = false;
  dead = false;
  private readonly owner: PassOwner;
  private readonly members: readonly ChainMember[];
  private readonly stages: Stage[] = [];
  private readonly source: HeaderBlock;
  private readonly headersOnly: boolean;
  /** Place in `members` of the next one to look at. */
  private next = 0;
  private frozen = false;
  private waiting: Waiting[] = [];
  private waitingBytes = 0;
  private inputEnded: boolean;
  private trailersFollow = false;
  private trailers: HeaderBlock | undefined;
  private finished = false;
  private done = false;
  private passedBy = false;
  private blocked = 0;
  private timed = 0;
  /** Bytes are being handed over that come before any end. */
  private busy = 0;
  /** Calls on the stack, one in the other: members answer inside of what they are told. */
  private depth = 0;

  /** members: those that may be part of it, in the order in which the message meets them. */
  constructor(
    owner: PassOwner,
    direction: Direction,
    members: readonly ChainMember[],
    end: (pass: Pass) => PassEnd,
    block: HeaderBlock,
    headersOnly: boolean,
    tunnel = false,
  ) {
    this.owner = owner;
    this.tunnel = tunnel;
    this.direction = direction;
    this.members = members;
    this.source = block;
    this.headersOnly = this.inputEnded = headersOnly;
    this.end = end(this);
  }

  start(): void {
    this.depth++;
    this.ask();
    this.leave();
  }

  /** No member had a hook for the headers or the body: they have gone, only the trailers come. */
  startAtTrailers(): void {
    for (const member of this.members) {
      if (!member.partOf(this.direction)) continue;
      const stage = new Stage(this, member, this.stages.length, this.source, false);
      stage.headers = GONE;
      this.stages.push(stage);
      member.place(stage);
    }
    this.next = this.members.length;
    this.complete = true;
  }

  // ---- from the source ----

  data(bytes: Uint8Array, last: boolean, trailers: boolean): void {
    if (this.dead) return;
    if (last) {
      this.inputEnded = true;
      this.trailersFollow = trailers;
    }
    this.depth++;
    this.feed(0, bytes, true, true, last);
    this.leave();
  }

  trailersCame(block: HeaderBlock): void {
    if (this.dead) return;
    this.depth++;
    this.inputEnded = this.trailersFollow = true;
    this.trailers = block;
    this.leave();
  }

  /** No member is asked any more: Envoy has an answer already. */
  freeze(): void {
    this.frozen = true;
  }

  kill(): void {
    this.dead = true;
    this.waiting = [];
    for (const stage of this.stages) {
      stage.room?.resolve();
      stage.room = undefined;
    }
  }

  // ---- what others ask ----

  /** The source gives up a whole body that is too large: who it was for. */
  bodyTooLarge(): void {
    const first = this.dead ? undefined : this.taker(0);
    if (first !== undefined) this.owner.bodyTooLarge(this.direction, first.member);
  }

  /** Whether the message cannot end without that member. */
  needs(member: ChainMember): boolean {
    const stage = this.dead ? undefined : this.stages.find((one) => one.member === member);
    return stage !== undefined && (stage.headers !== GONE || (stage.takes && !stage.outputEnded));
  }

  /** Whether that member has seen the headers, or would have if it had a hook for them. */
  reached(member: ChainMember): boolean {
    return this.members.indexOf(member) < this.next;
  }

  /** The headers as they are now. */
  headersNow(): HeaderBlock {
    const last = this.stages.at(-1);
    return last === undefined ? this.source : this.blockBehind(last);
  }

  takeOps(): OpList {
    const { ops } = this;
    this.ops = NO_OPS;
    return ops;
  }

  /** Whether a member may still add bytes behind the body. */
  private get someTrailersHook(): boolean {
    return this.stages.some((stage) => (stage.member.bits & TRAILERS[this.direction]) !== 0);
  }

  /** For that member, or (undefined) the source. */
  backpressure(stage: Stage | undefined): Promise<void> | undefined {
    if (this.dead) return undefined;
    for (let i = stage === undefined ? 0 : stage.index + 1; i < this.stages.length; i++) {
      const next = this.stages[i]!;
      if (next.headers !== ASKED && (!next.takes || next.outputEnded)) continue;
      if (!this.isFull(next)) return undefined;
      if (next.room === undefined) {
        let resolve!: () => void;
        const promise = new Promise<void>((settle) => (resolve = settle));
        next.room = { promise, resolve };
        this.blocked++;
      }
      return next.room.promise;
    }
    return this.complete ? this.end.backpressure() : undefined;
  }

  // ---- from the members ----

  answer(stage: Stage, type: HeaderType, mode: BodyMode, phases: number, ops: OpList): void {
    if (phases !== PHASES_UNCHANGED) stage.member.bits = phases;
    if (this.dead) return;
    this.depth++;
    this.answered(stage);
    if (isTrailers(type)) {
      stage.trailersAnswered = true;
      stage.trailerOps = ops;
    } else if (stage.headers === ASKED) {
      this.record(stage, ops);
      if (mode !== BodyMode.Pass) stage.takes = stage.took = true;
      stage.whole = mode === BodyMode.Whole;
      if (mode === BodyMode.Pass || mode === BodyMode.Stream) this.letGo(stage);
      else this.hold(stage);
    }
    this.leave();
  }

  opsOf(stage: Stage, type: HeaderType, ops: OpList): void {
    if (this.dead) return;
    if (isTrailers(type)) {
      stage.trailerOps = stage.trailerOps === NO_OPS ? ops : [...stage.trailerOps, ...ops];
      return;
    }
    this.record(stage, ops);
    if (this.complete) this.end.flush();
  }

  output(stage: Stage, flags: number, acknowledged: number, bytes: Uint8Array | undefined, owned: boolean): void {
    if (this.dead) return;
    this.depth++;
    if (acknowledged > 0) this.acknowledged(stage, acknowledged);
    if ((flags & OutputFlag.Added) === 0) this.made(stage, flags, bytes ?? EMPTY, owned);
    else if (stage.headers === ASKED) {
      stage.added = bytes === undefined ? undefined : Uint8Array.prototype.slice.call(bytes);
      stage.addedBytes = bytes?.length ?? 0;
    } else this.feed(stage.index + 1, bytes ?? EMPTY, owned, false, false);
    this.leave();
  }

  private made(stage: Stage, flags: number, bytes: Uint8Array, owned: boolean): void {
    const last = (flags & OutputFlag.Last) !== 0 && stage.takes;
    const bypass = (flags & OutputFlag.Bypass) !== 0;
    const some = bytes.length > 0;
    if (some || last || bypass) {
      // A body that was handed over whole may come back in pieces: its time is over with the first.
      this.answered(stage);
      if (stage.headers === HELD) this.letGo(stage);
    }
    if (this.dead) return;
    if (last) {
      stage.outputEnded = true;
      this.relieve();
    }
    if (some) this.feed(stage.index + 1, bytes, owned, false, last && stage.endTold && !this.trailersFollow);
    stage.asks = (flags & OutputFlag.Digested) !== 0;
    if (bypass) {
      stage.takes = false;
      this.relieve();
    }
    if ((flags & (OutputFlag.Trailing | OutputFlag.Timed)) !== 0) this.time(stage);
  }

  /** Out of the outermost call: what is due is told. */
  private leave(): void {
    this.run();
    if (--this.depth > 0 || this.dead) return;
    this.end.turn(this.waiting.length === 0 && this.stages.every((stage) => stage.digested));
  }

  // ---- headers ----

  private record(stage: Stage, ops: OpList): void {
    if (ops.length === 0) return;
    stage.ops = stage.ops.length === 0 ? ops : [...stage.ops, ...ops];
    // A length is about the member's own output: what Envoy is to know of it shows behind the last member.
    this.ops = [...this.ops, ...withoutLength(ops)];
  }

  /** The headers as the next member sees them. */
  private blockBehind(stage: Stage): HeaderBlock {
    const block = applyOps(stage.block, stage.ops);
    if (stage.bodiless || lengthIn(stage.ops) !== undefined || (!stage.takes && stage.addedBytes === 0)) return block;
    const came = stage.headersOnly ? '0' : HeaderLines.of(block).get(LENGTH);
    if (came === undefined) return block;
    return applyOps(
      block,
      stage.takes ? [HeaderOp.Delete, LENGTH, ''] : [HeaderOp.Set, LENGTH, String(Number(came) + stage.addedBytes)],
    );
  }

  /** What the members say of the length of all that goes on behind the last one. */
  private lengthOp(): OpList {
    let added = 0;
    for (let i = this.stages.length - 1; i >= 0; i--) {
      const stage = this.stages[i]!;
      const said = lengthIn(stage.ops);
      if (said === 'none') return [HeaderOp.Delete, LENGTH, ''];
      if (said !== undefined) return [HeaderOp.Set, LENGTH, String(said + added)];
      if (stage.takes || stage.bodiless) return NO_OPS;
      added += stage.addedBytes;
    }
    return NO_OPS;
  }

  /** The next member's turn; without one the headers go on. */
  private ask(): void {
    const { members, stages, direction } = this;
    const before = stages.at(-1);
    while (this.next < members.length && !this.frozen) {
      const member = members[this.next++]!;
      if (!member.partOf(direction)) continue;
      const block = before === undefined ? this.source : this.blockBehind(before);
      const headersOnly = before === undefined ? this.headersOnly : before.headersOnly && before.added === undefined;
      const stage = new Stage(this, member, stages.length, block, headersOnly);
      stages.push(stage);
      member.enter(stage);
      if (stage.headers === ASKED && !this.dead) this.time(stage);
      return;
    }
    this.complete = true;
    const length = this.lengthOp();
    if (length.length > 0) this.ops = [...this.ops, ...length];
    this.end.headers(this.lead(), this.taker(0) !== undefined);
  }

  /** Bytes that members added before a body, and that no member behind them takes: the last one's come first. */
  private lead(): Uint8Array[] {
    const lead: Uint8Array[] = [];
    for (let i = this.stages.length - 1; i >= 0; i--) {
      const stage = this.stages[i]!;
      if (stage.added !== undefined) lead.push(stage.added);
      stage.added = undefined;
      if (stage.takes) break;
    }
    return lead;
  }

  private hold(stage: Stage): void {
    stage.headers = HELD;
    const whole = stage.whole && this.isFirst(stage);
    stage.limitedBySource = this.end.hold(whole) && whole;
    this.busy++;
    this.feedWaiting(stage, this.takeWaiting());
    this.busy--;
  }

  /** The member lets its headers go: first they are the next one's, then what it added, then the body. */
  private letGo(stage: Stage): void {
    stage.headers = GONE;
    stage.bodiless = this.endsWithoutBody(stage);
    this.busy++;
    const waiting = this.takeWaiting();
    this.ask();
    const { added } = stage;
    stage.added = undefined;
    if (added !== undefined) {
      this.feed(stage.index + 1, added, true, false, stage.headersOnly);
    }
    this.feedWaiting(stage, waiting);
    this.busy--;
  }

  /** Of one whose status says so as it came, the module knows. */
  private endsWithoutBody(stage: Stage): boolean {
    if (this.direction === Direction.Request || this.tunnel) return false;
    for (let i = stage.ops.length - 3; i >= 0; i -= 3)
      if (stage.ops[i + 1] === ':status') return isBodiless(Number(stage.ops[i + 2]), this.owner.head);
    return this.owner.head || (stage.index > 0 && this.stages[stage.index - 1]!.bodiless);
  }

  // ---- the body ----

  /** Bytes for the members from `at` on. owned: their memory is nobody else's. */
  private feed(at: number, bytes: Uint8Array, owned: boolean, source: boolean, last: boolean): void {
    if (this.dead) return;
    let end = last;
    if (at > 0 && this.stages[at - 1]!.bodiless) bytes = EMPTY;
    for (let i = at; i < this.stages.length; i++) {
      const stage = this.stages[i]!;
      if (stage.headers === ASKED) {
        if (bytes.length > 0) {
          this.waiting.push({ bytes: owned ? bytes : Uint8Array.prototype.slice.call(bytes), source });
          this.waitingBytes += bytes.length;
        }
        return;
      }
      if (stage.takes) {
        // An author may hand a chunk's buffer to another thread, so it shares it with no other chunk.
        const alone = owned && bytes.length === bytes.buffer.byteLength;
        this.give(stage, alone ? bytes : Uint8Array.prototype.slice.call(bytes), source, end);
        return;
      }
      if (stage.bodiless) {
        if (source) this.end.acknowledge(bytes.length);
        bytes = EMPTY;
        source = false;
      }
      // It hears of the end first, in run(): it may still add bytes with the trailers.
      if (this.trailersFollow || stage.took) end = false;
      if (end) stage.endTold = true;
    }
    if (this.finished) {
      if (source) this.end.acknowledge(bytes.length);
    } else if (bytes.length > 0) this.end.data(bytes, owned, source);
  }

  private give(stage: Stage, bytes: Uint8Array, source: boolean, last: boolean): void {
    const { length } = bytes;
    if (stage.outputEnded && !last) {
      if (source && length > 0) this.end.acknowledge(length);
      return;
    }
    if (length === 0 && !last) return;
    stage.outstanding += length;
    stage.asks = false;
    if (!source) stage.fromMembers += length;
    if (source && stage.whole) this.adopt(stage);
    if (stage.whole && !stage.limitedBySource && stage.outstanding > this.owner.maxBodyBytes) {
      this.owner.bodyTooLarge(this.direction, stage.member);
      return;
    }
    if (last) this.tellEnd(stage, bytes);
    else stage.member.data(this.direction, bytes, false, false);
  }

  /** A body that is gathered here, not at the source: the source is not to wait for it. */
  private adopt(stage: Stage): void {
    if (stage.limitedBySource) return;
    const bytes = stage.outstanding - stage.fromMembers;
    stage.fromMembers = stage.outstanding;
    this.end.acknowledge(bytes);
  }

  private tellEnd(stage: Stage, bytes: Uint8Array = EMPTY): void {
    stage.endTold = true;
    stage.asks = false;
    // Before the call: what it answers inside ends the wait.
    if (stage.whole && !stage.limitedBySource && stage.takes && !stage.outputEnded) this.time(stage);
    stage.member.data(this.direction, bytes, true, this.trailersFollow);
  }

  private takeWaiting(): readonly Waiting[] {
    const { waiting } = this;
    if (waiting.length === 0) return NONE;
    this.waiting = [];
    this.waitingBytes = 0;
    return waiting;
  }

  private feedWaiting(stage: Stage, waiting: readonly Waiting[]): void {
    for (const { bytes, source } of waiting) this.feed(stage.index, bytes, true, source, false);
    this.relieve();
  }

  private acknowledged(stage: Stage, bytes: number): void {
    stage.outstanding -= bytes;
    const members = Math.min(bytes, stage.fromMembers);
    stage.fromMembers -= members;
    if (bytes > members) this.end.acknowledge(bytes - members);
    this.relieve();
  }

  /** The first member from `at` on that takes the body. */
  private taker(at: number): Stage | undefined {
    for (let i = at; i < this.stages.length; i++) if (this.stages[i]!.takes) return this.stages[i];
    return undefined;
  }

  private isFirst(stage: Stage): boolean {
    return this.taker(0) === stage && stage.fromMembers === 0;
  }

  private isFull(stage: Stage): boolean {
    if (stage.headers === ASKED) return this.waitingBytes >= this.owner.window;
    return stage.takes && !stage.outputEnded && !stage.whole && stage.outstanding >= this.owner.window;
  }

  private relieve(): void {
    if (this.blocked === 0) return;
    for (const stage of this.stages) {
      if (stage.room === undefined || this.isFull(stage)) continue;
      stage.room.resolve();
      stage.room = undefined;
      this.blocked--;
    }
  }

  // ---- ends and trailers ----

  /** Tells each member what is due to it: the end of its input, then its trailers. */
  private run(): void {
    if (this.busy > 0) return;
    let ended = this.inputEnded;
    let block = this.trailers;
    for (let i = 0; i < this.stages.length && ended; i++) {
      const stage = this.stages[i]!;
      if (this.dead || stage.headers === ASKED) return;
      if (!stage.endTold) {
        if (stage.took) this.tellEnd(stage);
        else stage.endTold = true;
        if (this.dead) return;
      }
      if (this.trailersFollow) {
        if (block === undefined) return;
        if (!stage.trailersTold) this.tellTrailers(stage, block);
        if (this.dead) return;
        ended = stage.trailersAnswered && (!stage.takes || stage.outputEnded);
        if (ended && stage.trailerOps.length > 0) block = applyOps(block, stage.trailerOps);
      } else if (stage.takes) ended = stage.outputEnded;
    }
    if (!this.complete || this.dead) return;
    if (!ended) this.maybeDone();
    else if (!this.done && (!this.trailersFollow || block !== undefined)) {
      this.done = true;
      this.end.end(block, this.trailerOps());
    }
  }

  private tellTrailers(stage: Stage, block: HeaderBlock): void {
    stage.trailersTold = true;
    stage.member.trailers(this.direction, block);
    // A member with a body of its own says when only the trailers hook is left (Trailing).
    if (!stage.trailersAnswered && !stage.takes && !this.dead) this.time(stage);
  }

  private trailerOps(): OpList {
    let ops = NO_OPS;
    for (const { trailerOps } of this.stages)
      if (trailerOps.length > 0) ops = ops.length === 0 ? trailerOps : [...ops, ...trailerOps];
    return ops;
  }

  /** Before the end of the input: members that are through with the body need not see the rest of it. */
  private maybeDone(): void {
    if (this.inputEnded || this.finished || this.passedBy || this.someTrailersHook) return;
    let drained = false;
    for (const stage of this.stages) {
      if (!stage.takes) continue;
      if (!stage.outputEnded) return;
      drained = true;
    }
    if (drained) {
      this.finished = true;
      this.end.finish();
    } else this.passedBy = this.stages.some((stage) => stage.took) && this.end.letGo();
  }

  // ---- time ----

  private time(stage: Stage): void {
    if (!stage.timed) this.timed++;
    stage.timed = true;
    this.end.timed(true);
  }

  private answered(stage: Stage): void {
    if (!stage.timed) return;
    stage.timed = false;
    if (--this.timed === 0) this.end.timed(false);
  }
}
