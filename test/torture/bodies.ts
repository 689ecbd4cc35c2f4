/** A planned body as bytes. */
import { patternAt } from '../fixture/bytes.js';
import type { BodyPlan } from './plan.js';

const MOST_AT_ONCE = 65_536;

export function bytesOf({ offset, size }: BodyPlan): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; at < size; at += MOST_AT_ONCE)
    pieces.push(patternAt(offset + at, Math.min(MOST_AT_ONCE, size - at)));
  return Buffer.concat(pieces);
}

/** Its pieces, and its pauses as numbers of milliseconds. */
export function* piecesOf(plan: BodyPlan): Generator<Buffer | number> {
  const bytes = bytesOf(plan);
  let at = 0;
  for (const step of plan.steps) {
    if (step < 0) {
      yield -step;
      continue;
    }
    yield bytes.subarray(at, at + step);
    at += step;
  }
}
