/** Counts of outcomes, by filter, place and direction. */
import { places, type Direction, type Place } from './chain.js';
import { OUTCOMES, type Outcome, type Verdict } from './judge.js';

export type Counts = Record<Outcome, number>;
export const none = (): Counts => ({ exact: 0, coded: 0, cut: 0, hung: 0, other: 0 });
export const total = (counts: Counts): number => OUTCOMES.reduce((sum, outcome) => sum + counts[outcome], 0);

export interface Row {
  readonly row: string;
  readonly place: Place;
  readonly direction: Direction;
  readonly counts: Counts;
}

/** What one half came to. */
export class Tally {
  readonly messages = none();
  private readonly byPlace = new Map<string, Row>();

  add(verdict: Verdict): void {
    this.messages[verdict.whole]++;
    for (const { row, place } of places(verdict.sight.chain)) {
      for (const direction of ['request', 'response'] as const) {
        const outcome = verdict[direction];
        if (outcome !== undefined) this.row(row, place, direction).counts[outcome]++;
      }
    }
  }

  private row(row: string, place: Place, direction: Direction): Row {
    const key = `${row}|${place}|${direction}`;
    const known = this.byPlace.get(key) ?? { row, place, direction, counts: none() };
    this.byPlace.set(key, known);
    return known;
  }

  find(row: string, place: Place, direction: Direction): Counts | undefined {
    return this.byPlace.get(`${row}|${place}|${direction}`)?.counts;
  }

  get rows(): Row[] {
    return [...this.byPlace.values()];
  }
}
