import { expect, test } from 'vitest';
import { BackOff } from './back-off.js';

test('doubles up to ten seconds, and begins again behind one that lived', () => {
  const backOff = new BackOff();
  const delays = Array.from({ length: 9 }, () => backOff.after(0));
  expect(delays).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
  expect(backOff.after(30_000)).toBe(10_000);
  expect([backOff.after(30_001), backOff.after(0)]).toEqual([100, 200]);
});
