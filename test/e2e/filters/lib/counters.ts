/** Counts shared by all test filters of one worker thread; the `counters` filter shows them. */
const store = globalThis as { __testCounters?: Record<string, number> };

export function count(name: string): void {
  const counters = (store.__testCounters ??= {});
  counters[name] = (counters[name] ?? 0) + 1;
}

export const counters = (): Record<string, number> => (store.__testCounters ??= {});
