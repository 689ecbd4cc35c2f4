/** What the torture prints. */
import { describeChain } from './chain.js';
import { OUTCOMES, type Verdict } from './judge.js';
import { describeMessage } from './plan.js';
import type { Half } from './run.js';
import { total, type Counts } from './tally.js';

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
  const { version, edges, seed, ownNames } = half;
  const names = ownNames ? ' TORTURE_NAMES=own' : '';
  const again = `make torture ENVOY_VERSION=${version} TORTURE_EDGES=${edges ? 'with' : 'without'}${names}`;
  return [
    `${whole.toUpperCase()} on ${halfName(half)}: message ${sight.plan.index} of seed ${seed}`,
    `  ${why}`,
    `  chain ${describeChain(sight.chain)}`,
    `  ${describeMessage(sight.plan)}`,
    `  again: ${again} TORTURE_SEED=${seed} TORTURE_ONLY=${sight.plan.index}`,
  ].join('\n');
}
