import { DATA_OFFSET, checkCapacity, formatFile } from './layout.js';

/** The two files as one side sees them; structured clone (postMessage, workerData) passes them on. */
export interface Side {
  own: SharedArrayBuffer;
  peer: SharedArrayBuffer;
}

/**
 * Memory for a channel between two threads: side `a` for one, side `b` for the other.
 *
 * @example
 * const { a, b } = createChannel(1024 * 1024);
 * new Worker('./worker.js', { workerData: b });
 * const endpoint = new Endpoint(a.own, a.peer, doorbell);
 */
export function createChannel(capacity: number): { a: Side; b: Side } {
  checkCapacity(capacity);
  const first = formatFile(new SharedArrayBuffer(DATA_OFFSET + capacity));
  const second = formatFile(new SharedArrayBuffer(DATA_OFFSET + capacity));
  return { a: { own: first, peer: second }, b: { own: second, peer: first } };
}
