/** How long what keeps ending waits before it is started again: 100 ms, doubling up to 10 s. */

const FIRST_MS = 100;
const MAX_MS = 10_000;
/** What lived so long did not die of starting. */
const HEALTHY_MS = 30_000;

export class BackOff {
  #next = FIRST_MS;

  /** Milliseconds to wait behind one that lived so long. */
  after(livedMs: number): number {
    if (livedMs > HEALTHY_MS) this.#next = FIRST_MS;
    const delay = this.#next;
    this.#next = Math.min(delay * 2, MAX_MS);
    return delay;
  }
}
