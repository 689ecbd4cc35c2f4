/** Counts shared by all test filters of one worker thread; the `counters` filter shows them. */
const store = globalThis as { __testCounters?: Record<string, number> };
/** Tells one worker thread from its successor. */
const fresh = (): Record<string, number> => ({ born: Date.now() + Math.random() });

export function count(name: string): void {
  const counters = (store.__testCounters ??= fresh());
  counters[name] = (counters[name] ?? 0) + 1;
}

export const counters = (): Record<string, number> => (store.__testCounters ??= fresh());
