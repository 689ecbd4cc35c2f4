/** Fixed and sliding windows of limit-count, in this thread's memory. */
import type { Counters } from './limits.js';

export type WindowType = 'fixed' | 'sliding';

/** What a request has left, below 0 when it is one too many, and after how many seconds the window is over. */
export interface Quota {
  readonly left: number;
  readonly reset: number;
}

export interface Window {
  /** Which of the windows since the epoch it is; fixed ones begin with their first request instead. */
  readonly index: number;
  used: number;
  /** What the one before it has used. */
  readonly before: number;
  readonly until: number;
}

/** Takes one of `count` in `window` seconds. */
export function takeLocal(
  counters: Counters<Window>,
  type: WindowType,
  key: string,
  count: number,
  window: number,
): Quota {
  return type === 'fixed' ? fixed(counters, key, count, window) : sliding(counters, key, count, window);
}

function fixed(counters: Counters<Window>, key: string, count: number, window: number): Quota {
  const now = Date.now();
  let state = counters.get(key, now);
  if (state === undefined) counters.set(key, (state = { index: 0, used: 0, before: 0, until: now + window * 1000 }));
  if (state.used <= count) state.used++;
  return { left: count - state.used, reset: Math.ceil((state.until - now) / 1000) };
}

function sliding(counters: Counters<Window>, key: string, count: number, window: number): Quota {
  const now = Date.now();
  const { index, passed } = windowAt(now, window);
  let state = counters.get(key, now);
  if (state?.index !== index) {
    const before = state?.index === index - 1 ? state.used : 0;
    counters.set(key, (state = { index, used: 0, before, until: (index + 2) * window * 1000 }));
  }
  const reset = Math.ceil(window * (1 - passed));
  // As much of the window before counts as lies within one window from now.
  const used = state.before * (1 - passed) + state.used + 1;
  if (used > count) return { left: -1, reset };
  state.used++;
  return { left: Math.floor(count - used), reset };
}

/** Which window it is, and which part of it has passed. */
export function windowAt(now: number, window: number): { readonly index: number; readonly passed: number } {
  const at = now / (window * 1000);
  const index = Math.floor(at);
  return { index, passed: at - index };
}
