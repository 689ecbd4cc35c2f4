import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Place } from './place.js';
import type { Thread } from './thread.js';
import { Watchdog } from './watchdog.js';

const LIMIT = 800;
let waited: number;
let pings: number;
let stalled: number[];
let thread: Thread;
let watchdog: Watchdog;
let place: Place;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
  waited = pings = 0;
  stalled = [];
  thread = { waited: () => waited } as Thread;
  place = {
    get serving() {
      return thread;
    },
    post: () => void pings++,
  } as unknown as Place;
  watchdog = new Watchdog(LIMIT, [place], () => void stalled.push(Math.round(performance.now())));
  watchdog.start();
});
afterEach(() => {
  watchdog.stop();
  vi.useRealTimers();
});

const look = (times: number, each: () => void): void => {
  for (let i = 0; i < times; i++) {
    vi.advanceTimersByTime(LIMIT / 8);
    each();
  }
};

test('an idle thread is asked nothing', () => {
  look(100, () => void (waited += 90));
  expect([pings, stalled]).toEqual([0, []]);
});

test('a thread under full load answers', () => {
  look(100, () => watchdog.answered(place));
  expect(pings).toBeGreaterThan(10);
  expect(stalled).toEqual([]);
});

test('one that neither waits nor answers is told of, once, after the limit and not long after', () => {
  look(3, () => void (waited += 90));
  const from = performance.now();
  look(8, () => undefined);
  expect(stalled).toEqual([]);
  look(1, () => undefined);
  expect(stalled).toHaveLength(1);
  expect(stalled[0]! - from).toBeLessThanOrEqual(LIMIT + LIMIT / 8);
  expect(pings).toBe(1);
});

test('a process that was stopped counts anew', () => {
  look(4, () => undefined);
  vi.setSystemTime(Date.now() + 60_000);
  vi.spyOn(performance, 'now').mockReturnValue(performance.now() + 60_000);
  look(1, () => undefined);
  expect(stalled).toEqual([]);
});
