/** Faults that are known and not mended: they are counted and printed, and do not fail a run. Nothing else is let pass. */
import type { Fault, Verdict } from './judge.js';

interface Known {
  /** One line: what is seen, and why it is so. */
  readonly reason: string;
  matches(fault: Fault, verdict: Verdict): boolean;
}

export const KNOWN: readonly Known[] = [
  {
    reason:
      'DATA behind an HTTP/2 204 gives 502 where a filter still holds the 204: without us it has gone before Envoy sees the fault',
    matches: ({ kind }, { sight: { exchange, ours } }) =>
      exchange.answer.stray && kind.startsWith('client: ') && ours.seen.status === 502,
  },
];

export const knownOf = (fault: Fault, verdict: Verdict): Known | undefined =>
  KNOWN.find((known) => known.matches(fault, verdict));
