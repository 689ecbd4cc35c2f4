/** What the torture prints, and its report for scripts/count_results.py. */
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../fixture/paths.js';
import { describeChain } from './chain.js';
import { OUTCOMES, type Verdict } from './judge.js';
import { describeMessage } from './plan.js';
import type { Half } from './run.js';
import { total, type Counts } from './tally.js';

const FAILURES = join(root, 'build', 'torture', 'failures.txt');
const REPORT = join(root, 'build', 'reports', 'torture.json');
const PRINTED = 10;

export const percent = (part: number, whole: number): string => {
  if (whole === 0) return '–';
  if (part === 0 || part === whole) return `${(part / whole) * 100} %`;
  // never rounded to all or nothing
  return `${Math.min(99.99, Math.max(0.01, (100 * part) / whole)).toFixed(2)} %`;
};

export const halfName = ({ version, edges }: Half): string => `Envoy ${version}, ${edges ? 'with' : 'without'} edges`;

export function countsText(counts: Counts): string {
  const all = total(counts);
  return OUTCOMES.filter((outcome) => counts[outcome] > 0 || outcome === 'exact')
    .map((outcome) => `${counts[outcome]} ${outcome} (${percent(counts[outcome], all)})`)
    .join(', ');
}

export function failureText(half: Half, { sight, whole, why }: Verdict): string {
  const { version, edges, seed } = half;
  const again = `make torture ENVOY_VERSION=${version} TORTURE_EDGES=${edges ? 'with' : 'without'} TORTURE_SEED=${seed}`;
  return [
    `${whole.toUpperCase()} on ${halfName(half)}: message ${sight.plan.index} of seed ${seed}`,
    `  ${why}`,
    `  chain ${describeChain(sight.chain)}`,
    `  ${describeMessage(sight.plan)}`,
    `  again: ${again} TORTURE_ONLY=${sight.plan.index}`,
  ].join('\n');
}

/** All failures go into a file, the first ones are printed. */
export class Failures {
  private printed = 0;
  count = 0;

  constructor() {
    mkdirSync(join(root, 'build', 'torture'), { recursive: true });
    writeFileSync(FAILURES, '');
  }

  tell(text: string): void {
    this.count++;
    appendFileSync(FAILURES, `${text}\n`);
    if (this.printed++ < PRINTED) console.log(text);
    else if (this.printed === PRINTED + 1) console.log(`... more in ${FAILURES}`);
  }
}

/** Each half on each Envoy is a test. */
export function writeReport(tests: number, failures: number): void {
  mkdirSync(join(root, 'build', 'reports'), { recursive: true });
  writeFileSync(REPORT, JSON.stringify({ tests, failures }));
}
