/**
 * `make framing-torture`: random exchanges through filters of ours, each beside the same one without them, judged at both
 * ends by strict readers of HTTP. How to ask for what: docs/framing-torture.md.
 */
import { envoyBinary, type EnvoyVersion } from '../fixture/paths.js';
import { Failures, writeReport } from '../support/torture-report.js';
import { Board } from './board.js';
import { judge, type Fault, type Verdict } from './judge.js';
import { knownOf } from './known.js';
import { planTalk, TALK, talkOf } from './plan.js';
import { failureText } from './report.js';
import { runRound, type Job, type World } from './run.js';
import { readSettings, type Settings } from './settings.js';
import { startUpstreams } from './upstreams.js';

/** Exchanges that one Envoy gets before the next one is started. */
const ROUND = 4_000;

class Counts {
  exchanges = 0;
  wrong = 0;
  coded = 0;
  readonly kinds = new Map<string, number>();
  readonly known = new Map<string, number>();

  count(table: Map<string, number>, name: string): void {
    table.set(name, (table.get(name) ?? 0) + 1);
  }

  /** The faults that are not known. */
  add(verdict: Verdict): Fault[] {
    this.exchanges++;
    if (verdict.code !== undefined) this.coded++;
    const unknown = verdict.faults.filter((fault) => {
      const known = knownOf(fault, verdict);
      if (known !== undefined) this.count(this.known, known.reason);
      return known === undefined;
    });
    for (const { kind } of unknown) this.count(this.kinds, kind);
    if (unknown.length > 0) this.wrong++;
    return unknown;
  }
}

function rounds({ only, repeat, exchanges, seed, stage }: Settings): Job[][] {
  if (only !== undefined) return [Array.from({ length: repeat }, (_, i) => ({ number: talkOf(only), run: `x${i}` }))];
  const wanted = Array.from({ length: Math.ceil(exchanges / TALK) }, (_, number) => ({ number, run: '' })).filter(
    ({ number }) => stage === undefined || planTalk(seed, number).stage === stage,
  );
  const most = ROUND / TALK;
  return Array.from({ length: Math.ceil(wanted.length / most) }, (_, i) => wanted.slice(i * most, (i + 1) * most));
}

const listed = (table: ReadonlyMap<string, number>): string =>
  [...table]
    .sort(([, a], [, b]) => b - a)
    .map(([name, count]) => `  ${count} x ${name}`)
    .join('\n');

/** True when all was right. */
async function runVersion(
  world: World,
  settings: Settings,
  version: EnvoyVersion,
  failures: Failures,
): Promise<Counts> {
  const counts = new Counts();
  const began = performance.now();
  for (const jobs of rounds(settings)) {
    const { sights, problems, resets } = await runRound(world, version, settings.seed, jobs);
    for (const problem of problems) {
      counts.wrong++;
      failures.tell(`on Envoy ${version}, seed ${settings.seed}: ${problem}`);
    }
    for (const sight of sights) {
      const verdict = judge(sight, resets);
      const faults = counts.add(verdict);
      if (faults.length > 0) failures.tell(failureText(verdict, faults, settings.seed));
    }
  }
  const speed = counts.exchanges / ((performance.now() - began) / 1000);
  console.log(
    `Envoy ${version}: ${counts.exchanges} exchanges, ${counts.wrong} wrong, ${counts.coded} ended by a code; ${speed.toFixed(0)}/s`,
  );
  if (counts.kinds.size > 0) console.log(listed(counts.kinds));
  if (counts.known.size > 0) console.log(`known faults on Envoy ${version}:\n${listed(counts.known)}`);
  return counts;
}

/** Of the short run in CI, whose seed is new each time: above what is known (docs/framing-torture.md). */
const LET_FAIL = 0.001;

async function torture(settings: Settings): Promise<number> {
  const { versions, seed } = settings;
  for (const version of versions) envoyBinary(version);
  const board = new Board();
  const world: World = { board, upstreams: await startUpstreams(board) };
  const failures = new Failures('framing');
  console.log(`framing: seed ${seed}, ${settings.exchanges} exchanges on each Envoy`);
  let failed = 0;
  try {
    const allowed = settings.report ? Math.floor(settings.exchanges * LET_FAIL) : 0;
    for (const version of versions)
      if ((await runVersion(world, settings, version, failures)).wrong > allowed) failed++;
  } finally {
    await world.upstreams.close();
  }
  console.log(`framing: ${failures.count} wrong; seed ${seed}`);
  // each Envoy is a test
  if (settings.report) writeReport('framing', versions.length, failed);
  return failed > 0 ? 1 : 0;
}

process.exitCode = await torture(readSettings(process.env, process.argv.slice(2))).catch((error: Error) => {
  console.error(`framing: ${error.stack ?? error.message}`);
  return 1;
});
