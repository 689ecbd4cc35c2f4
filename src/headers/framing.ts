/**
 * What the headers of a message say of its body, as the filter's side knows it: which answers have none, and lengths
 * that a filter has promised. The module has the last word, and writes the length where nobody has (docs/lifecycle.md,
 * "Framing"); here a wrong one fails where it was made, and says how to mend it.
 */
import { HeaderOp, type OpList } from '../base/wire.js';

export const LENGTH = 'content-length';

/** An answer that has no body whatever its filters say. head: it is one to a HEAD request. */
export function isBodiless(status: number, head: boolean): boolean {
  return head || status < 200 || status === 204 || status === 304;
}

/** What a filter's operations say of the length: a number, 'none' when they remove it, undefined when nothing. */
export function lengthIn(ops: OpList): number | 'none' | undefined {
  let said: number | 'none' | undefined;
  for (let i = 0; i < ops.length; i += 3) {
    if (ops[i + 1] === LENGTH) said = ops[i] === HeaderOp.Delete ? 'none' : Number(ops[i + 2]);
  }
  return said;
}

/** The same operations without those about the length. */
export function withoutLength(ops: OpList): OpList {
  if (!ops.includes(LENGTH)) return ops;
  const rest: OpList = [];
  for (let i = 0; i < ops.length; i += 3) if (ops[i + 1] !== LENGTH) rest.push(ops[i]!, ops[i + 1]!, ops[i + 2]!);
  return rest;
}

/** What is wrong with a length that a filter wrote. */
export const wrongLength = (written: number, made: number, mend = LEAVE_IT): string =>
  `content-length ${String(written)} was written, but the body has ${made > written ? 'more' : `only ${String(made)} bytes`}${mend}`;
const LEAVE_IT = '; leave content-length alone: it is set where it can be known';

/** Counts a body while it goes through a filter. */
export class BodyCount {
  /** What the headers say, if they have to say something. */
  promised: number | undefined;
  private readonly sameLength: boolean;
  private given: number;
  private made: number;

  /** added: bytes before the body. */
  constructor(sameLength: boolean, added: number) {
    this.sameLength = sameLength;
    this.given = this.made = added;
  }

  takes(bytes: number): void {
    this.given += bytes;
  }

  /** What is wrong, undefined = nothing. last: all has been made. */
  makes(bytes: number, last: boolean): string | undefined {
    this.made += bytes;
    const { made, promised, given } = this;
    if (this.sameLength) {
      if (last ? made === given : promised === undefined || made <= promised) return undefined;
      return `sameLength was declared, but ${String(made)} bytes came of ${String(given)}; declare it only where no length changes`;
    }
    if (promised === undefined || (last ? made === promised : made <= promised)) return undefined;
    return wrongLength(promised, made);
  }

  /** The rest of a body of that length goes past the filter. */
  passes(came: number | undefined): string | undefined {
    const { promised } = this;
    if (promised === undefined || came === undefined) return undefined;
    const made = this.made + came - this.given;
    return made === promised ? undefined : wrongLength(promised, made);
  }
}
