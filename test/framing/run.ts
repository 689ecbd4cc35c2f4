/** Conversations, each at once on a listener of ours and on a bare one, and what was seen at both ends. */
import type { AccessEntry } from '../fixture/envoy.js';
import type { EnvoyVersion } from '../fixture/paths.js';
import { sleep } from '../../src/testing/envoy/wait.js';
import { ResetLog } from '../torture/judge.js';
import type { Arrival, Board } from './board.js';
import { Http1Talk } from './client1.js';
import { Http2Talk } from './client2.js';
import { planTalk, type Conversation, type Exchange } from './plan.js';
import { keyFor, type Seen, type Talk } from './seen.js';
import { bareOf, Stage } from './stage.js';
import type { Upstreams } from './upstreams.js';

export interface World {
  readonly board: Board;
  readonly upstreams: Upstreams;
}

/** One end's view of an exchange, and what Envoy's log says of it. */
export interface View {
  readonly seen: Seen;
  readonly arrivals: readonly Arrival[];
  readonly log: AccessEntry | undefined;
  /** The code with which the filter failed. */
  readonly code: string | undefined;
}

export interface Sight {
  readonly version: EnvoyVersion;
  readonly conversation: Conversation;
  readonly exchange: Exchange;
  readonly bare: View;
  readonly ours: View;
  readonly began: number;
  readonly ended: number;
  /** Something came to an upstream that was no request, so it closed that connection: others may have lost it, too. */
  readonly strays: boolean;
}

export interface Round {
  readonly sights: readonly Sight[];
  /** What does not belong to one exchange: an Envoy that died, bytes at an upstream that are no request. */
  readonly problems: readonly string[];
  readonly resets: ResetLog;
}

const IN_FLIGHT = 10;
/** Envoy writes its access log every 20 ms. */
const LOG_MS = 200;
/** A request whose answer is complete may still be on its way to its end. */
const SETTLE_MS = 2_000;

interface Spoken {
  readonly conversation: Conversation;
  readonly run: string;
  readonly bare: readonly Seen[];
  readonly ours: readonly Seen[];
  readonly began: number;
  readonly ended: number;
}

const speak = (talk: Talk): Promise<Seen[]> =>
  talk.conversation.client === 'http2' ? new Http2Talk(talk).run() : new Http1Talk(talk).run();

async function converse(stage: Stage, board: Board, conversation: Conversation, run: string): Promise<Spoken> {
  const prefixes = [`b${run}-`, `o${run}-`] as const;
  for (const prefix of prefixes)
    for (const exchange of conversation.exchanges) board.plan(keyFor(prefix, exchange), exchange);
  const began = Date.now();
  const [bare, ours] = await Promise.all([
    speak({ port: stage.port1(bareOf(conversation.stage)), conversation, prefix: prefixes[0] }),
    speak({ port: stage.port1(conversation.stage), conversation, prefix: prefixes[1] }),
  ]);
  return { conversation, run, bare, ours, began, ended: Date.now() };
}

/** Waits until no request of those is open at an upstream, within bounds. */
async function settle(board: Board): Promise<void> {
  const deadline = Date.now() + SETTLE_MS;
  const open = () => [...board.arrivals.values()].flat().some(({ end }) => end === 'open');
  while (open() && Date.now() < deadline) await sleep(20);
}

/** Waits until nothing is added any more, within bounds. */
async function wholeLog(stage: Stage): Promise<Map<string, AccessEntry>> {
  const deadline = Date.now() + SETTLE_MS;
  for (let before = -1; ;) {
    await sleep(LOG_MS);
    const entries = stage.accessLog();
    if (entries.length === before || Date.now() > deadline)
      return new Map(entries.map((entry) => [(entry as AccessEntry & { key: string }).key, entry]));
    before = entries.length;
  }
}

export interface Job {
  readonly number: number;
  readonly run: string;
}

export async function runRound(
  world: World,
  version: EnvoyVersion,
  seed: number,
  jobs: readonly Job[],
): Promise<Round> {
  const { board, upstreams } = world;
  board.clear();
  const problems: string[] = [];
  const stage = await Stage.start(version, upstreams);
  const spoken: Spoken[] = [];
  let output = '';
  let codes = new Map<string, string>();
  let log = new Map<string, AccessEntry>();
  try {
    const left = jobs.values();
    const lane = async () => {
      for (const { number, run } of left) spoken.push(await converse(stage, board, planTalk(seed, number), run));
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
    await settle(board);
    log = await wholeLog(stage);
    output = stage.envoy.output;
    codes = stage.failures();
  } catch (error) {
    problems.push(`${(error as Error).stack}\n${stage.logs()}`);
  } finally {
    await stage.stop().catch((error: Error) => problems.push(error.message));
  }
  const strays = board.strays.length > 0;
  problems.push(...board.strays.splice(0).map((stray) => `at the HTTP/1.1 upstream: ${stray}`));
  const view = (seen: Seen, key: string): View => ({
    seen,
    arrivals: board.arrivals.get(key) ?? [],
    log: log.get(key),
    code: codes.get(key),
  });
  const sights = spoken.flatMap(({ conversation, run, bare, ours, began, ended }) =>
    conversation.exchanges.map((exchange, i): Sight => ({
      version,
      conversation,
      exchange,
      bare: view(bare[i]!, keyFor(`b${run}-`, exchange, bare[i]!.attempt)),
      ours: view(ours[i]!, keyFor(`o${run}-`, exchange, ours[i]!.attempt)),
      strays,
      began,
      ended,
    })),
  );
  return { sights, problems, resets: new ResetLog(output) };
}
