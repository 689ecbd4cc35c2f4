/** Rounds: an Envoy with new chains, its messages, its end, and the judgement. */
import { sleep } from '../../src/testing/envoy/wait.js';
import type { EnvoyVersion } from '../fixture/paths.js';
import { planChain, withoutOurs, type Chain } from './chain.js';
import { Sender, type Sight } from './exchange.js';
import { judge, ResetLog, type Verdict } from './judge.js';
import { CHAINS, chainOf, planMessage, ROUND } from './plan.js';
import type { Peers } from './peers.js';
import type { Board, Receivers } from './receiver.js';
import { Stage } from './stage.js';

export interface World {
  readonly board: Board;
  readonly peers: Peers;
  readonly receivers: Receivers;
}

/** One half on one Envoy. */
export interface Half {
  readonly version: EnvoyVersion;
  readonly edges: boolean;
  readonly seed: number;
  /** False: the same chains without any of ours. */
  readonly ours: boolean;
  readonly ownNames: boolean;
}

/** A message to send; the same one may be sent several times under several keys. */
export interface Job {
  readonly key: string;
  readonly index: number;
}

export interface RoundResult {
  readonly verdicts: readonly Verdict[];
  /** The text of a problem with the Envoy or the host itself. */
  readonly problem: string | undefined;
}

/** Envoy writes its access log every 20 ms. */
const LOG_MS = 150;
const IN_FLIGHT = 24;

export const jobsOf = (round: number, from: number, count: number): Job[] =>
  Array.from({ length: count }, (_, i) => round * ROUND + from + i).map((index) => ({ key: String(index), index }));

export function chainsOf({ seed, ours }: Half, round: number, numbers: readonly number[]): Chain[] {
  const chains = numbers.map((number) => planChain(seed, round, number));
  return ours ? chains : chains.map(withoutOurs);
}

/** A message that takes longer does not keep others from being sent. */
const SLOW_MS = 3_000;

async function sendAll(jobs: readonly Job[], send: (job: Job) => Promise<Sight>): Promise<Sight[]> {
  const all: Promise<Sight>[] = [];
  const left = jobs.values();
  const lane = async () => {
    for (const job of left) {
      const sending = send(job);
      all.push(sending);
      await Promise.race([sending, sleep(SLOW_MS, undefined, { ref: false })]);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
  return Promise.all(all);
}

/** All jobs are of one round. */
export async function runRound(world: World, half: Half, jobs: readonly Job[]): Promise<RoundResult> {
  const { round } = chainOf(jobs[0]!.index);
  const used = [...new Set(jobs.map(({ index }) => chainOf(index).number))].filter((number) => number < CHAINS);
  const chains = new Map(chainsOf(half, round, used).map((chain) => [chain.number, chain]));
  const stage = await Stage.start({ ...half, ...world, chains: [...chains.values()] });
  const sender = new Sender(world.board, world.receivers, world.peers.authorization);
  let verdicts: Verdict[];
  let problem: string | undefined;
  try {
    const sights = await sendAll(jobs, ({ key, index }) => {
      const { number } = chainOf(index);
      return sender.send(key, planMessage(half.seed, index), chains.get(number)!, stage.portOf(number));
    });
    sender.close();
    await sleep(LOG_MS);
    const access = new Map(stage.accessLog().map((entry) => [entry.path, entry]));
    const resets = new ResetLog(stage.envoy.output);
    sights.sort((a, b) => a.ended - b.ended);
    verdicts = sights.map((sight) => judge(sight, access.get(`/m/${sight.key}`), resets));
  } finally {
    sender.close();
    await stage.stop().catch((error: Error) => {
      problem = error.message;
    });
  }
  return { verdicts, problem };
}
