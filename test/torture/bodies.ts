/** A planned body as bytes. */
import { patternBody } from '../fixture/bytes.js';
import type { BodyPlan } from './plan.js';

export const bytesOf = ({ offset, size }: BodyPlan): Buffer => patternBody(offset, size);

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
