/** A flow's way to the host: headers, body, trailers, as the window and the limits allow (`cpp/core/flow_input.cc`). */
import type { HeaderLines } from '../../base/header-block.js';
import { Direction, trailersOf } from '../../base/wire.js';
import { DataFlag } from '../../channel/codec/index.js';
import { Deadline } from './deadline.js';
import { FAILURES } from './failures.js';
import { ENCODE_PHASES, type FlowOwner, Input, Output, trailerPhase } from './flow-parts.js';
import { Framing } from './framing.js';
import { Passage, Pieces, type Receiver } from './passage.js';
import { type FlowEvent, type FlowState, nextState } from './states.js';

const EMPTY = new Uint8Array(0);

export abstract class FlowInput {
  readonly direction: Direction;
  readonly lines: HeaderLines;
  readonly headersOnly: boolean;
  protected readonly owner: FlowOwner;
  protected readonly framing: Framing;
  protected readonly passage: Passage;
  protected state: FlowState = 'idle';
  protected readonly input = new Input();
  protected readonly output = new Output();
  protected readonly gathered = new Pieces();
  protected readonly deadline: Deadline;
  /** Headers wait for output. */
  protected hold = false;
  /** Gathered from its first byte on, and no output yet. */
  protected whole = false;
  protected oversize = false;
  protected letGo = false;

  /** The headers have come; `end`: nothing follows them. */
  constructor(direction: Direction, owner: FlowOwner, lines: HeaderLines, end: boolean, receiver: Receiver) {
    this.direction = direction;
    this.owner = owner;
    this.lines = lines;
    this.headersOnly = end;
    this.framing = new Framing(direction, lines, owner.kind, end);
    this.passage = new Passage(
      lines,
      receiver,
      () => this.framing.go(),
      () => this.advance(),
    );
    this.deadline = new Deadline(() => this.timedOut());
    if (end) this.input.end = 'in';
  }

  get headersGone(): boolean {
    return this.passage.headersGone;
  }

  get isDone(): boolean {
    return this.state === 'done';
  }

  /** Envoy stops reading from the peer. */
  get isFull(): boolean {
    return this.passage.input.length >= this.owner.settings.streamWindow;
  }

  /** Both ways as far as it goes. */
  abstract advance(): void;

  // ---- to the host ----

  protected get wantsTrailers(): boolean {
    return !this.framing.isTunnel && (this.input.hosted || (this.owner.phases & trailerPhase(this.direction)) !== 0);
  }

  protected send(): void {
    if (this.state === 'ending') this.drainInput();
    if (this.state === 'streaming') this.sendBody();
    if (this.state === 'gathering') this.sendGathered();
    this.sendEnd();
  }

  protected sendBody(): void {
    const { settings } = this.owner;
    const { input } = this.passage;
    // Not beyond the window, and not while what the host has made piles up.
    while (
      this.input.outstanding < settings.streamWindow &&
      (this.output.waiting.length < settings.streamWindow || this.framing.isFull)
    ) {
      const bytes = input.shift(Math.min(settings.pieceBytes, settings.streamWindow - this.input.outstanding));
      if (bytes === undefined) return;
      this.framing.took(bytes.length);
      this.sendData(bytes, this.input.end !== 'open' && input.length === 0);
    }
  }

  protected sendGathered(): void {
    const { input, gathered } = this;
    if (this.oversize) {
      this.drainInput();
      return;
    }
    const came = this.passage.input;
    if (gathered.length + input.outstanding + came.length > this.owner.settings.maxBodyBytes) {
      this.bodyTooLarge();
      return;
    }
    this.framing.took(came.length);
    came.moveTo(gathered);
    if (input.end === 'open') return;
    for (let bytes = gathered.shift(this.owner.settings.pieceBytes); bytes !== undefined;) {
      this.sendData(bytes, gathered.length === 0);
      bytes = gathered.shift(this.owner.settings.pieceBytes);
    }
  }

  protected bodyTooLarge(): void {
    this.oversize = true;
    this.gathered.clear();
    this.drainInput();
    if (this.direction === Direction.Response) this.owner.fail(FAILURES.responseTooLarge);
    else if ((this.owner.phases & ENCODE_PHASES) === 0) this.owner.fail(FAILURES.requestTooLarge);
    else {
      this.time();
      this.sendData(EMPTY, true);
    }
  }

  protected sendEnd(): void {
    const { input, state } = this;
    const sendsBody = state === 'streaming' || state === 'gathering';
    if (!sendsBody && state !== 'ending') return;
    const isTold = this.passage.input.length === 0 && this.gathered.length === 0;
    if (input.hosted && input.end !== 'open' && !input.endTold && (!sendsBody || isTold)) this.sendData(EMPTY, true);
    if (input.trailersAre !== 'here' || !this.wantsTrailers || (input.hosted && !input.endTold)) return;
    input.trailersAre = 'told';
    this.owner.toHost(trailersOf(this.direction), input.trailers!, 0);
    this.timeTrailers();
  }

  protected sendData(bytes: Uint8Array, last: boolean): void {
    let flags = this.oversize ? DataFlag.TooLarge : 0;
    if (last) flags |= DataFlag.Last | (this.input.end === 'trailers' ? DataFlag.Trailers : 0);
    this.input.endTold = last;
    this.input.outstanding += bytes.length;
    this.owner.data(this.direction, flags, bytes);
  }

  protected drainInput(): void {
    this.framing.took(this.passage.input.length);
    this.passage.input.clear();
  }

  // ---- time ----

  protected time(): void {
    this.deadline.start(this.owner.settings.messageTimeoutMs);
  }

  protected timeGathered(): void {
    if (this.state === 'gathering' && this.input.end !== 'open' && !this.deadline.isRunning) this.time();
  }

  protected timeTrailers(): void {
    if (this.input.trailersAre === 'told' && (!this.input.hosted || this.output.complete)) this.time();
  }

  protected timedOut(): void {
    const isTooLarge = this.oversize && this.direction === Direction.Request;
    this.owner.fail(isTooLarge ? FAILURES.requestTooLarge : FAILURES.timeout);
  }

  protected move(event: FlowEvent): void {
    this.state = nextState(this.state, event) ?? this.state;
  }
}
