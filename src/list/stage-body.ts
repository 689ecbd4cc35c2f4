/** The body of a message in one member: whether it goes through it, and how much of it the member still has. */
import { type ModuleControl, Piece } from './receiver.js';

/**
 * - past: it goes past the member, which has never taken it
 * - through: piece by piece
 * - gathered: all at once, and no window holds it; bounded here
 * - gathered at the source: the same, bounded there
 * - complete: the member's output is complete
 * - let go: the member has taken it for a while
 */
export type BodyState = 'past' | 'through' | 'gathered' | 'gathered at the source' | 'complete' | 'let go';

export class StageBody {
  private current: BodyState = 'past';
  /** The member has asked for more since it was given something. */
  asks = false;
  private readonly control: ModuleControl | undefined;
  private outstanding = 0;
  /** Of these, what is not the module's to hear of: it came from the members before, or has been acknowledged. */
  private apart = 0;
  private waiter: { readonly promise: Promise<void>; resolve(): void } | undefined;

  constructor(control: ModuleControl | undefined) {
    this.control = control;
  }

  get state(): BodyState {
    return this.current;
  }

  /** The member has answered that it takes it. */
  take(how: 'through' | 'gathered' | 'gathered at the source'): void {
    this.current = how;
  }

  /** The member's last output. */
  complete(): void {
    if (this.takes) this.current = 'complete';
  }

  /** The rest goes past the member. */
  letGo(): void {
    if (this.takes) this.current = 'let go';
  }

  /** It has gone through the member, if only for a while. */
  get taken(): boolean {
    return this.current !== 'past';
  }

  /** What comes is the member's. */
  get takes(): boolean {
    return this.current !== 'past' && this.current !== 'let go';
  }

  /** The member still makes something of it. */
  get open(): boolean {
    return this.takes && this.current !== 'complete';
  }

  /** Nothing comes out of it until there is more to go in. */
  isDigested(endTold: boolean): boolean {
    const gathers = this.current === 'gathered' || this.current === 'gathered at the source';
    return this.asks || !this.open || (gathers && !endTold);
  }

  isFull(window: number): boolean {
    return this.current === 'through' && this.outstanding >= window;
  }

  /** The member is given that much. Returns how much it has. */
  give(bytes: number, traits: number): number {
    this.asks = false;
    this.outstanding += bytes;
    const input = (traits & Piece.Input) !== 0;
    const here = this.current === 'gathered';
    if (!input || here) this.apart += bytes;
    // A body that is gathered here, not at the source: the source is not to wait for it.
    if (input && here && bytes > 0) this.control?.acknowledge(bytes);
    return this.outstanding;
  }

  /** The member is done with that much. */
  acknowledge(bytes: number): void {
    this.outstanding -= bytes;
    const apart = Math.min(bytes, this.apart);
    this.apart -= apart;
    if (bytes > apart) this.control?.acknowledge(bytes - apart);
  }

  /** Settles with the next `relieve`. */
  wait(): Promise<void> {
    if (this.waiter === undefined) {
      let resolve!: () => void;
      const promise = new Promise<void>((settle) => (resolve = settle));
      this.waiter = { promise, resolve };
    }
    return this.waiter.promise;
  }

  relieve(): void {
    this.waiter?.resolve();
    this.waiter = undefined;
  }
}
