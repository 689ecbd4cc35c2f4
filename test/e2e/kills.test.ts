/**
 * The host is killed (SIGKILL) at random moments under load, and another one is started: each request ends once and in time,
 * Envoy lives, and streams flow as soon as the new host listens. `KILLS=100` for longer.
 */
import { describe, expect, it } from 'vitest';
import { eventually, get, http1, http2, openSession, sleep, type Fixture, type Response } from '../fixture/index.js';
import { ended, scene } from './support.js';

const KILLS = Number(process.env['KILLS'] ?? '10');
const MESSAGE_TIMEOUT_MS = 1000;
/** A streamed reply of 20 lines, one in 10 ms. */
const STREAM_MS = 200;
/** What a loaded machine takes. */
const SLACK_MS = 1000;
const LATEST_MS = MESSAGE_TIMEOUT_MS + STREAM_MS + 250 + SLACK_MS;
const FLOWS_MS = 200 + SLACK_MS;

const BODY = 'all of it\n'.repeat(20_000);

/** What a lane asks for, and whether a whole 200 is right. */
interface Kind {
  readonly name: string;
  readonly request: { readonly method?: string; readonly path: string; readonly body?: string };
  isRight(answer: Response): boolean;
}
const KINDS: readonly Kind[] = [
  { name: 'headers', request: { path: '/hello?' }, isRight: (answer) => answer.text === 'hola mundo :)' },
  {
    name: 'body transform',
    request: { method: 'POST', path: '/echo?', body: BODY },
    isRight: (answer) => answer.text === BODY,
  },
  {
    name: 'streamed reply',
    request: { path: '/stream?n=20&ms=10&' },
    // passed by, the upstream answers
    isRight: (answer) => answer.header('x-streamed') !== 'yes' || answer.text.trim().split('\n').length === 20,
  },
];

interface Asked {
  readonly kind: string;
  readonly path: string;
  readonly took: number;
  readonly got: string;
}

/** One request after the other, each with a path of its own, until stopped. */
function load(fx: Fixture, protocol: 'http1' | 'http2', kind: Kind, lane: number) {
  let running = true;
  const asked: Asked[] = [];
  const done = (async () => {
    const session = protocol === 'http2' ? await openSession(fx.port) : undefined;
    for (let i = 0; running; i++) {
      const path = `${kind.request.path}${lane}-${i}`;
      const request = { ...kind.request, path, timeoutMs: 10_000 };
      const from = performance.now();
      const answer = await (session === undefined ? http1(fx.port, request) : http2(fx.port, request, session)).catch(
        (error: Error) => error,
      );
      const took = performance.now() - from;
      const isWrong = !(answer instanceof Error) && answer.complete && answer.status === 200 && !kind.isRight(answer);
      asked.push({ kind: kind.name, path, took, got: isWrong ? 'wrong' : ended(answer) });
      if (ended(answer) !== '200') await sleep(5);
    }
    session?.destroy();
  })();
  return {
    async stop(): Promise<Asked[]> {
      running = false;
      await done;
      return asked;
    },
  };
}

/** Milliseconds from a host's listening to the first stream that it has touched. */
async function flowing(fx: Fixture): Promise<number> {
  const from = performance.now();
  await eventually(
    'streams flow',
    async () => (await get(fx.port, '/hello?probe')).header('x-touch-response') === 'on',
    5_000,
  );
  return performance.now() - from;
}

async function killAndStart(fx: Fixture): Promise<number> {
  await sleep(50 + Math.random() * 250);
  await fx.host.kill();
  await sleep(Math.random() * 100);
  await fx.startHost();
  return flowing(fx);
}

const most = (numbers: readonly number[]): number => numbers.reduce((a, b) => Math.max(a, b), 0);

describe.each(['closed', 'open'])('failure_mode %s', (failure_mode) => {
  const options = { failure_mode, host_wait: '0s', message_timeout: `${MESSAGE_TIMEOUT_MS}ms` };

  it('each request ends once and in time, and the next host serves at once', { timeout: 60_000 + KILLS * 5_000 }, () =>
    scene(
      [
        { name: 'touch', options },
        { name: 'replies', options },
      ],
      async (fx) => {
        const { pid } = fx.envoy;
        const lanes = (['http1', 'http2'] as const).flatMap((protocol, i) =>
          KINDS.map((kind, j) => load(fx, protocol, kind, i * KINDS.length + j)),
        );
        const flows: number[] = [];
        for (let i = 0; i < KILLS / 2; i++) flows.push(await killAndStart(fx));
        const asked = (await Promise.all(lanes.map((lane) => lane.stop()))).flat();

        const counts: Record<string, number> = {};
        for (const { kind, got } of asked) counts[`${kind}: ${got}`] = (counts[`${kind}: ${got}`] ?? 0) + 1;
        console.log(
          `${failure_mode}: ${flows.length} kills, ${asked.length} requests ${JSON.stringify(counts)}; the latest took ${Math.round(most(asked.map(({ took }) => took)))} ms; streams flowed after ${flows
            .map(Math.round)
            .sort((a, b) => a - b)
            .join(' ')} ms`,
        );
        const allowed = failure_mode === 'closed' ? ['200', '502', '503', 'cut'] : ['200', '502', 'cut'];
        expect(asked.filter(({ got }) => !allowed.includes(got))).toEqual([]);
        expect(asked.filter(({ took }) => took > LATEST_MS)).toEqual([]);
        expect(most(flows)).toBeLessThan(FLOWS_MS);
        expect([fx.envoy.running, fx.envoy.pid]).toEqual([true, pid]);
        await eventually('no stream is left', async () => (await fx.activeStreams()) === 0);
        const logged = new Map<string, number>();
        await eventually('each has an entry in the access log', () => {
          logged.clear();
          for (const { path } of fx.accessLog()) logged.set(path, (logged.get(path) ?? 0) + 1);
          return asked.every(({ path }) => logged.has(path));
        });
        expect(asked.filter(({ path }) => logged.get(path) !== 1)).toEqual([]);
      },
      { concurrency: 2 },
    ),
  );
});
