/** Faults that are known and not mended: they are counted and printed, and do not fail a run. Nothing else is let pass. */
import type { Fault, Verdict } from './judge.js';

interface Known {
  /** One line: what is seen, and why it is so. */
  readonly reason: string;
  matches(fault: Fault, verdict: Verdict): boolean;
}

export const KNOWN: readonly Known[] = [];

export const knownOf = (fault: Fault, verdict: Verdict): Known | undefined =>
  KNOWN.find((known) => known.matches(fault, verdict));
