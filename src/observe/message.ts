/**
 * One message of an observed stream, between the module, which sends it as it passes, and the filter, which takes it at
 * its own pace: what the module does with a message that it holds (docs/lifecycle.md, "One flow") is done here.
 *
 *   idle ── headers ──► waiting ── open ──► asked ─┬─ stream, gather ─► through ── last, bypass ──► past
 *                                                  └─ pass ───────────────────────────────────────► past
 */
import {
  BodyMode,
  type Direction,
  type Follows,
  type HeaderBlock,
  HeadersTrait,
  headersOf,
  OutputFlag,
  type StreamSource,
  trailersOf,
} from '../base/wire.js';

const EMPTY = new Uint8Array(0);

type State = 'idle' | 'waiting' | 'asked' | 'through' | 'past';
type Trailers = 'none' | 'here' | 'told' | 'answered';

export class ObservedMessage {
  private readonly direction: Direction;
  private readonly window: number;
  private state: State = 'idle';
  /** Headers that are not asked for yet. */
  private headersBlock: { readonly block: HeaderBlock; readonly traits: number } | undefined;
  /** The filter gets the body all at once, so no window holds it. */
  private whole = false;
  /** The filter keeps the headers until there is output. */
  private held = false;
  private queue: Uint8Array[] = [];
  /** What has come of it; 'more': its end has not. */
  private follows: Follows = 'more';
  private endTold = false;
  /** Bytes at the filter, not acknowledged. */
  private outstanding = 0;
  private trailers: Trailers = 'none';
  private block: HeaderBlock | undefined;
  private isCut = false;
  private feeding = false;

  constructor(direction: Direction, window: number) {
    this.direction = direction;
    this.window = window;
  }

  /** Nothing is to come of it for the filter, nor for us from the filter. */
  get isDone(): boolean {
    if (this.isOpen || this.trailers === 'here' || this.trailers === 'told') return false;
    return this.state !== 'through';
  }

  get isWaiting(): boolean {
    return this.state === 'waiting';
  }

  /** Its headers would have gone on, so that there could be an answer to them. */
  get hasGone(): boolean {
    return !this.isOpen && !this.held;
  }

  // ---- as it passes ----

  /** Returns how much of a message that was in its place is acknowledged by that: nobody has it any more. */
  headers(block: HeaderBlock, traits: number): number {
    const dropped = this.begin();
    this.headersBlock = { block, traits };
    if ((traits & HeadersTrait.EndStream) !== 0) {
      this.follows = 'nothing';
      this.endTold = true;
    }
    return dropped;
  }

  /** The filter is asked. */
  open(source: StreamSource): void {
    const { headersBlock } = this;
    if (headersBlock === undefined) return;
    this.headersBlock = undefined;
    this.state = 'asked';
    source.onHeaders(headersOf(this.direction), headersBlock.block, headersBlock.traits);
  }

  data(source: StreamSource, bytes: Uint8Array, follows: Follows): void {
    this.follows = follows;
    if (this.state === 'past' || this.state === 'idle') return;
    if (bytes.length > 0) this.queue.push(bytes);
    this.feed(source);
  }

  trailersCame(source: StreamSource, block: HeaderBlock): void {
    this.follows = 'trailers';
    this.trailers = 'here';
    this.block = block;
    this.feed(source);
  }

  // ---- what the filter says ----

  answered(source: StreamSource, mode: BodyMode): void {
    if (this.state !== 'asked') return;
    this.whole = mode === BodyMode.Whole;
    this.held = this.whole || mode === BodyMode.StreamHold;
    if (mode === BodyMode.Pass || this.endTold) this.pass();
    else this.state = 'through';
    this.passIfCut();
    this.feed(source);
  }

  trailersAnswered(): void {
    this.trailers = 'answered';
  }

  // ---- Envoy's stream is over ----

  /** What has not ended never will: nobody waits for more of it. */
  cut(): void {
    this.isCut = true;
    this.passIfCut();
  }

  /** Returns how much of it the module is to hear of as acknowledged. */
  output(source: StreamSource, flags: number, acknowledged: number, length: number): number {
    const told = Math.min(this.outstanding, acknowledged);
    this.outstanding -= told;
    if (length > 0 || (flags & OutputFlag.Release) !== 0) this.held = false;
    if ((flags & (OutputFlag.Last | OutputFlag.Bypass)) !== 0 && this.state === 'through') this.pass();
    this.feed(source);
    return told;
  }

  // ---- inside ----

  private begin(): number {
    const dropped = this.outstanding + this.queue.reduce((sum, bytes) => sum + bytes.length, 0);
    this.outstanding = 0;
    this.queue = [];
    this.state = 'waiting';
    this.follows = 'more';
    this.endTold = this.whole = this.held = false;
    this.trailers = 'none';
    return dropped;
  }

  private get isOpen(): boolean {
    return this.state === 'waiting' || this.state === 'asked';
  }

  private passIfCut(): void {
    if (this.isCut && this.state === 'through' && this.follows === 'more') this.pass();
  }

  private pass(): void {
    this.state = 'past';
    this.held = false;
    this.queue = [];
  }

  /** As far as the filter takes it. What it is told may make it say something in the same call. */
  private feed(source: StreamSource): void {
    if (this.feeding) return;
    this.feeding = true;
    while (this.feedOne(source));
    this.feeding = false;
  }

  private feedOne(source: StreamSource): boolean {
    const { queue, direction } = this;
    if (this.state === 'through' && !this.endTold) {
      if (!this.whole && this.outstanding >= this.window) return false;
      const bytes = queue.shift();
      const last = queue.length === 0 && this.follows !== 'more';
      if (bytes === undefined && !last) return false;
      this.outstanding += bytes?.length ?? 0;
      this.endTold = last;
      source.onData(direction, bytes ?? EMPTY, last ? this.follows : 'more');
      return true;
    }
    if (this.trailers !== 'here' || this.isOpen) return false;
    this.trailers = 'told';
    const block = this.block!;
    this.block = undefined;
    source.onHeaders(trailersOf(direction), block, 0);
    return true;
  }
}
