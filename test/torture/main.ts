/**
 * `make torture`: random chains of filters that pause around ours, random messages, judged at both receivers.
 * How to ask for what: docs/chains.md.
 */
import { envoyBinary, type EnvoyVersion } from '../fixture/paths.js';
import { Failures, writeReport } from '../support/torture-report.js';
import { FOUND, FOUND_TIMES } from './found.js';
import type { Verdict } from './judge.js';
import { ROUND } from './plan.js';
import { startPeers } from './peers.js';
import { Board, startReceivers } from './receiver.js';
import { countsText, failureText, halfName } from './report.js';
import { jobsOf, runRound, type Half, type Job, type World } from './run.js';
import { readSettings, type Settings } from './settings.js';
import { writeDocs } from './table.js';
import { none, Tally, total } from './tally.js';

interface Run {
  readonly settings: Settings;
  readonly world: World;
  readonly failures: Failures;
  readonly tallies: Map<string, { readonly half: Half; readonly tally: Tally }>;
}

/**
 * The share of messages that the short run lets fail on each half. It is above what times of a loaded machine bring (0 to
 * 0.03 %), and below what a fault in our own input, output or end brings.
 */
const LET_FAIL = 0.01;

const isLost = ({ whole }: Verdict): boolean => whole === 'cut' || whole === 'hung' || whole === 'other';
/** With edges nothing may end with a code. */
const isFailure = (half: Half, verdict: Verdict): boolean =>
  isLost(verdict) || (half.edges && verdict.whole === 'coded');

const again = (index: number, times: number): Job[] =>
  Array.from({ length: times }, (_, i) => ({ key: `${index}.${i}`, index }));

function rounds({ only, repeat, perHalf }: Settings): Job[][] {
  if (only !== undefined) return [again(only, repeat)];
  const all = Array.from({ length: Math.ceil(perHalf / ROUND) }, (_, round) => round);
  return all.map((round) => jobsOf(round, 0, Math.min(ROUND, perHalf - round * ROUND)));
}

/** True when no more messages failed than the short run lets fail. */
async function runHalf(run: Run, half: Half): Promise<boolean> {
  const tally = new Tally();
  run.tallies.set(halfName(half), { half, tally });
  const began = performance.now();
  let failed = 0;
  let healthy = true;
  for (const jobs of rounds(run.settings)) {
    if (performance.now() > run.settings.mostMs) {
      run.failures.tell(`${halfName(half)}: out of time, see TORTURE_MINUTES`);
      break;
    }
    const { verdicts, problem } = await runRound(run.world, half, jobs);
    if (problem !== undefined) {
      healthy = false;
      run.failures.tell(`${halfName(half)}, seed ${half.seed}: ${problem}`);
    }
    for (const verdict of verdicts) {
      tally.add(verdict);
      if (!isFailure(half, verdict)) continue;
      failed++;
      run.failures.tell(failureText(half, verdict));
    }
  }
  const seconds = (performance.now() - began) / 1000;
  const speed = total(tally.messages) / seconds;
  console.log(`${halfName(half)}: ${countsText(tally.messages)}; ${speed.toFixed(0)} messages/s`);
  return healthy && failed <= LET_FAIL * total(tally.messages);
}

/** True when each message that was once lost is exact, or ends with a code. */
async function runFound({ world, failures }: Run, version: EnvoyVersion): Promise<boolean> {
  let lost = 0;
  for (const { seed, index, edges = true } of FOUND) {
    const half: Half = { version, edges, seed, ours: true, ownNames: false };
    const { verdicts, problem } = await runRound(world, half, again(index, FOUND_TIMES));
    const wrong = verdicts.filter(isLost);
    lost += wrong.length + (problem === undefined ? 0 : 1);
    if (problem !== undefined) failures.tell(`${halfName(half)}, message ${index} again: ${problem}`);
    for (const verdict of wrong) failures.tell(failureText(half, verdict));
  }
  console.log(
    `Envoy ${version}: of ${FOUND.length} messages that were once lost, ${FOUND_TIMES} times each, ${lost} are`,
  );
  return lost === 0;
}

async function torture(settings: Settings): Promise<number> {
  const { versions, edges, seed, ours, ownNames } = settings;
  const halves = versions.flatMap((version: EnvoyVersion) =>
    edges.map((one) => ({ version, edges: one, seed, ours, ownNames })),
  );
  for (const version of versions) envoyBinary(version);
  const board = new Board();
  const world: World = { board, peers: await startPeers(), receivers: await startReceivers(board) };
  const run: Run = {
    settings,
    world,
    failures: new Failures('torture'),
    tallies: new Map(),
  };
  let failedTests = 0;
  console.log(`torture: seed ${seed}, ${settings.perHalf * halves.length} messages in all`);
  try {
    for (const half of halves) if (!(await runHalf(run, half))) failedTests++;
    if (settings.report) for (const version of versions) if (!(await runFound(run, version))) failedTests++;
  } finally {
    await world.receivers.close();
    await world.peers.close();
  }
  const all = none();
  for (const { tally } of run.tallies.values())
    for (const outcome of Object.keys(all) as (keyof typeof all)[]) all[outcome] += tally.messages[outcome];
  console.log(`torture: ${countsText(all)}; seed ${seed}`);
  if (settings.writeDocs) writeDocs(settings, [...run.tallies.values()]);
  if (!settings.report) return run.failures.count > 0 ? 1 : 0;
  // each half on each Envoy is a test, and so are the messages that were once lost
  writeReport('torture', halves.length + versions.length, failedTests);
  return failedTests > 0 ? 1 : 0;
}

process.exitCode = await torture(readSettings(process.env, process.argv.slice(2))).catch((error: Error) => {
  console.error(`torture: ${error.stack ?? error.message}`);
  return 1;
});
