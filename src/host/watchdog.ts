/**
 * Notices a thread whose event loop does not turn. It asks nothing of threads that are idle or turn now and then: how long
 * an event loop has waited can be read from outside, and only one that has not waited at all since the last look is asked
 * for an answer.
 */
import inspector from 'node:inspector';
import type { Place } from './place.js';
import type { Thread } from './thread.js';

const LOOKS = 8;
const LEAST_MS = 10;

interface Seen {
  readonly thread: Thread;
  /** Thread.waited() at the last look. */
  waited: number;
  /** When it was last known to turn. */
  turnedAt: number;
  isAsked: boolean;
}

export class Watchdog {
  readonly #limit: number;
  readonly #places: readonly Place[];
  readonly #onStalled: (place: Place, thread: Thread) => void;
  readonly #seen = new Map<Place, Seen>();
  #timer: NodeJS.Timeout | undefined;
  #lookedAt = 0;

  /** `limit` in milliseconds; 0: it watches nothing. */
  constructor(limit: number, places: readonly Place[], onStalled: (place: Place, thread: Thread) => void) {
    this.#limit = limit;
    this.#places = places;
    this.#onStalled = onStalled;
  }

  start(): void {
    if (this.#limit === 0 || this.#timer !== undefined) return;
    this.#lookedAt = performance.now();
    this.#timer = setInterval(() => this.#look(), this.#pause);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#seen.clear();
  }

  /** The thread of that place has answered. */
  answered(place: Place): void {
    const seen = this.#seen.get(place);
    if (seen === undefined) return;
    seen.turnedAt = performance.now();
    seen.isAsked = false;
  }

  get #pause(): number {
    return Math.max(LEAST_MS, this.#limit / LOOKS);
  }

  #look(): void {
    const now = performance.now();
    // This thread did not run either: the process was stopped, or the machine.
    const slept = now - this.#lookedAt > 3 * this.#pause;
    this.#lookedAt = now;
    // Who halts at a breakpoint does not turn.
    if (slept || inspector.url() !== undefined) {
      this.#seen.clear();
      return;
    }
    for (const place of this.#places) this.#lookAt(place, now);
  }

  #lookAt(place: Place, now: number): void {
    const thread = place.serving;
    const seen = this.#seen.get(place);
    if (thread === undefined) {
      this.#seen.delete(place);
      return;
    }
    const waited = thread.waited();
    if (seen === undefined || seen.thread !== thread || seen.waited !== waited) {
      this.#seen.set(place, { thread, waited, turnedAt: now, isAsked: false });
      return;
    }
    if (!seen.isAsked) {
      seen.isAsked = true;
      place.post({ type: 'ping' });
    } else if (now - seen.turnedAt >= this.#limit) {
      this.#seen.delete(place);
      this.#onStalled(place, thread);
    }
  }
}
