/** How long what keeps ending waits before it is started again: 100 ms, doubling up to 10 s, where nothing else is said. */

const FIRST_MS = 100;
const MAX_MS = 10_000;
/** What lived so long did not die of starting. */
const HEALTHY_MS = 30_000;

export class BackOff {
  readonly #first: number;
  readonly #most: number;
  #next: number;

  constructor(first = FIRST_MS, most = MAX_MS) {
    this.#first = this.#next = first;
    this.#most = most;
  }

  /** Milliseconds to wait behind one that lived so long. */
  after(livedMs: number): number {
    if (livedMs > HEALTHY_MS) this.#next = this.#first;
    const delay = this.#next;
    this.#next = Math.min(delay * 2, this.#most);
    return delay;
  }
}
