/// <reference lib="es2024.sharedmemory" />
import type { Doorbell, Endpoint } from './endpoint.js';

/**
 * A doorbell between threads on one Int32 of shared memory. One thread rings, the other waits.
 * The memory: `new SharedArrayBuffer(4)`, one for each direction.
 */
export class SharedDoorbell implements Doorbell {
  readonly #word: Int32Array<SharedArrayBuffer>;

  constructor(memory: SharedArrayBuffer) {
    this.#word = new Int32Array(memory, 0, 1);
  }

  ring(): void {
    Atomics.add(this.#word, 0, 1);
    Atomics.notify(this.#word, 0);
  }

  /**
   * Puts the endpoint to sleep and blocks this thread until the peer rings, at most `timeout` ms. Returns at once when
   * something has come already. False: the time is over.
   */
  wait(endpoint: Endpoint, timeout?: number): boolean {
    // Read before sleep(): a ring from here on changes the word, and Atomics.wait then does not wait.
    const seen = Atomics.load(this.#word, 0);
    if (!endpoint.sleep()) return true;
    const rung = Atomics.wait(this.#word, 0, seen, timeout) !== 'timed-out';
    endpoint.wake();
    return rung;
  }

  /** As wait(), without blocking: for the main thread. */
  async waitAsync(endpoint: Endpoint, timeout?: number): Promise<boolean> {
    const seen = Atomics.load(this.#word, 0);
    if (!endpoint.sleep()) return true;
    const rung = await Atomics.waitAsync(this.#word, 0, seen, timeout).value;
    endpoint.wake();
    return rung !== 'timed-out';
  }
}
