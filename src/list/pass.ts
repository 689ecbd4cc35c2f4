/** One message on its way through the members of a list, in one direction. */
import { type Direction, type Follows, type HeaderBlock, PhaseBit } from '../base/wire.js';
import { type Head, type ModuleControl, Piece, type Receiver } from './receiver.js';
import { Stage } from './stage.js';
import type { StageBody } from './stage-body.js';
import type { Limits, Message, StageMember, StagePass } from './stage-ports.js';

const TRAILERS = [PhaseBit.decodeTrailers, PhaseBit.encodeTrailers] as const;

export class Pass implements StagePass {
  readonly limits: Limits;
  readonly message: Message;
  readonly control: ModuleControl | undefined;
  /** Every member has let its headers go. */
  complete = false;
  dead = false;
  /** In the order in which the message meets them. */
  private readonly members: readonly StageMember[];
  private readonly stages: Stage[] = [];
  private readonly source: Head;
  private readonly last: Receiver;
  private first: Receiver;
  /** Place in `members` of the next one to look at. */
  private place = 0;
  private places: number;
  /** What the module is told to do with the rest of its input. */
  private rest: 'comes' | 'has come' | 'is drained' | 'goes past' = 'comes';
  /** How many members are waited for. */
  private waits = 0;
  /** Calls on the stack, one in the other. */
  private depth = 0;

  /** members: those that may be part of it. last: where the message goes behind them; control: where the module holds it. */
  constructor(
    message: Message,
    limits: Limits,
    members: readonly StageMember[],
    last: Receiver,
    control: ModuleControl | undefined,
  ) {
    const { block, headersOnly } = message;
    this.message = message;
    this.limits = limits;
    this.members = members;
    this.places = members.length;
    this.last = this.first = last;
    this.control = control;
    this.source = {
      block: () => block,
      ends: headersOnly,
      lead: [],
      bodiless: false,
      taken: false,
      length: undefined,
    };
  }

  // ---- from the source ----

  start(): void {
    this.enter();
    this.first = this.next();
    this.first.headers(this.source);
    if (this.message.headersOnly) this.end(undefined);
    this.leave();
  }

  /** No member had a hook for the headers or the body: they have gone, only the trailers come. */
  startAtTrailers(): void {
    const placed = this.members.filter((member) => member.partOf(this.direction));
    for (const member of placed) this.add(member);
    this.stages.forEach((stage, i) => {
      stage.skipHeaders(this.source, this.stages[i + 1] ?? this.last);
    });
    this.first = this.stages[0] ?? this.last;
    this.place = this.members.length;
    this.complete = true;
  }

  data(bytes: Uint8Array, follows: Follows): void {
    if (this.dead) return;
    const last = follows !== 'more';
    if (last) this.rest = 'has come';
    this.enter();
    const traits = Piece.Owned | Piece.Input;
    this.first.data(bytes, last ? traits | Piece.Last | (follows === 'trailers' ? Piece.Trailers : 0) : traits);
    if (follows === 'nothing') this.end(undefined);
    this.leave();
  }

  trailersCame(block: HeaderBlock): void {
    if (this.dead) return;
    this.enter();
    this.end(block);
    this.leave();
  }

  /** Envoy has an answer already: members that have not been asked are not asked any more. */
  freeze(): void {
    this.places = this.place;
  }

  kill(): void {
    this.dead = true;
    for (const stage of this.stages) stage.kill();
  }

  // ---- what others ask ----

  /** The source gives up a whole body that is too large: it was the first member's that takes it. */
  bodyTooLarge(): void {
    if (!this.dead) this.firstTaker()?.member.bodyTooLarge(this.direction);
  }

  /** Whether the message cannot end without that member. */
  needs(member: StageMember): boolean {
    return !this.dead && this.stages.find((one) => one.member === member)?.needed === true;
  }

  /** Whether that member has seen the headers, or would have if it had a hook for them. */
  reached(member: StageMember): boolean {
    return this.members.indexOf(member) < this.place;
  }

  /** The headers as they are now. */
  headersNow(): HeaderBlock {
    return (this.stages.at(-1)?.head ?? this.source).block();
  }

  room(): Promise<void> | undefined {
    return this.dead ? undefined : this.first.room();
  }

  // ---- StagePass ----

  /** Who is part of it shows when the headers come there. */
  next(): Receiver {
    while (this.place < this.places) {
      const member = this.members[this.place++]!;
      if (member.partOf(this.direction)) return this.add(member);
    }
    this.complete = true;
    return this.last;
  }

  enter(): void {
    this.depth++;
  }

  leave(): void {
    if (--this.depth > 0 || this.dead || this.control === undefined) return;
    if (this.complete && this.rest === 'comes') this.lookAtRest(this.control);
    let digested = true;
    for (const stage of this.stages) digested &&= stage.digested;
    this.control.turn(digested);
  }

  hold(body: StageBody, whole: boolean): boolean {
    const first = whole && this.firstTaker()?.body === body;
    const bounded = this.control === undefined ? this.message.here : this.control.hold(first);
    return bounded && first;
  }

  asked(anew: boolean): void {
    if (anew) this.waits++;
    this.control?.timed(true);
  }

  answered(): void {
    if (--this.waits === 0) this.control?.timed(false);
  }

  // ---- inside ----

  private get direction(): Direction {
    return this.message.direction;
  }

  private add(member: StageMember): Stage {
    const stage = new Stage(this, member);
    this.stages.push(stage);
    member.place(this.direction, stage);
    return stage;
  }

  private end(trailers: HeaderBlock | undefined): void {
    this.rest = 'has come';
    this.first.end(trailers);
  }

  private firstTaker(): Stage | undefined {
    return this.stages.find((stage) => stage.body.takes);
  }

  /** Before the end of the input: members that are through with the body need not see the rest of it. */
  private lookAtRest(control: ModuleControl): void {
    let taken = false;
    let complete = false;
    for (const { body, member } of this.stages) {
      // A member may still add bytes behind the body.
      if (body.open || (member.bits & TRAILERS[this.direction]) !== 0) return;
      taken ||= body.taken;
      complete ||= body.state === 'complete';
    }
    if (complete) {
      this.rest = 'is drained';
      control.drain();
    } else if (taken && control.letGo()) this.rest = 'goes past';
  }
}
