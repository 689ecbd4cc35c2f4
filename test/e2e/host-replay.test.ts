/** A lost host: what it never took goes to the next one in every mode; with `replay` so does what it did not answer. */
import { describe, expect, it } from 'vitest';
import {
  dynamicModulePerRoute,
  eventually,
  get,
  http1,
  http2,
  openSession,
  Random,
  seedOf,
  type Response,
  sleep,
  type Fixture,
} from '../fixture/index.js';
import { ended, scene, stopHost } from './support.js';

/** Many requests at once on few connections, each with headers of that length. */
async function ask(fx: Fixture, path: string, count: number, length: number): Promise<(Response | Error)[]> {
  const sessions = await Promise.all(Array.from({ length: Math.ceil(count / 90) }, () => openSession(fx.port)));
  const one = (i: number): Promise<Response | Error> => {
    const request = { path: `${path}?${i}`, headers: [['x-large', 'a'.repeat(length)] as const], timeoutMs: 20_000 };
    return http2(fx.port, request, sessions[i % sessions.length]).catch((error: Error) => error);
  };
  try {
    return await Promise.all(Array.from({ length: count }, (_, i) => one(i)));
  } finally {
    for (const session of sessions) session.destroy();
  }
}

const statuses = (all: readonly (Response | Error)[]) => [...new Set(all.map(ended))];
/** Requests whose headers do not all fit into the ring, by far. */
const FEW = 150;
const MANY = Number(process.env['REPLAY_REQUESTS'] ?? FEW);
/** For a worker that gets no processor now and then. */
const SLACK_MS = 250;

describe('the host is stopped', () => {
  const modes = ['closed', 'open', 'replay'];
  const toUpstream = { cluster: 'upstream' };
  const routes = modes.map((failure_mode) => ({
    match: { prefix: `/${failure_mode}` },
    route: toUpstream,
    typed_per_filter_config: { stateless: dynamicModulePerRoute('stateless', { failure_mode }) },
  }));

  it('for 3 s, message_timeout 1s: each request is answered in time as configured, and nothing is stale after SIGCONT', () =>
    scene(
      [{ name: 'stateless', options: { host_wait: '0s', message_timeout: '1s' } }],
      async (fx) => {
        // the host has judged what the routes say, too
        for (const mode of modes) expect((await get(fx.port, `/${mode}`)).header('x-path')).toBe(`/${mode}`);
        await stopHost(fx);
        const stopped = performance.now();
        const all = await Promise.all(modes.map((mode) => ask(fx, `/${mode}`, MANY, 15 << 10)));
        expect(all.map(statuses)).toEqual([['504'], ['200'], ['504']]);
        await sleep(3_000 - (performance.now() - stopped));
        fx.host.signal('SIGCONT');
        await eventually('it serves again', async () => {
          return (await get(fx.port, '/again')).header('x-path') === '/again';
        });
        // by Envoy's clock: a client of so many is busy itself
        const entries = await eventually('all are in the access log', () => {
          const all = fx.accessLog().filter(({ path }) => path.includes('?'));
          return all.length >= modes.length * MANY && all;
        });
        const took = entries.map(({ ms }) => ms);
        const withoutUpstream = entries.map(({ ms, upstream }) => ms - (upstream ?? 0));
        if (MANY > FEW) console.log(MANY, 'in each mode: the latest after', Math.max(...withoutUpstream), 'ms');
        // so is an upstream that is let by so many at once: what it takes then is not ours
        expect(Math.max(...(MANY > FEW ? withoutUpstream : took))).toBeLessThan(1_250 + SLACK_MS);
        expect(Math.min(...took)).toBeGreaterThan(950);
        // the requests before, and those that waited for it to serve again
        expect((await fx.counters())['stateless.created']).toBeLessThan(20);
      },
      // one connection for all: over HTTP/1.1 each waits for its own
      { routes, upstream: { protocol: 'http2' } },
    ));

  it('what it had not taken is served by the channel that it opens when it goes on, in any mode', () =>
    scene(
      [{ name: 'stateless', options: { host_stall_timeout: '0.3s', message_timeout: '10s', ring_bytes: '64KiB' } }],
      async (fx) => {
        expect((await get(fx.port, '/hello')).status).toBe(200);
        await stopHost(fx);
        const all = ask(fx, '/hello', 40, 6 << 10);
        await sleep(700);
        fx.host.signal('SIGCONT');
        const answers = await all;
        expect(statuses(answers)).toEqual(['200']);
        for (const answer of answers) expect((answer as Response).header('x-response-attempt')).toBe('1');
        expect((await fx.counters())['stateless.created']).toBe(41);
      },
    ));
});

describe('a hook that never returns', () => {
  it('takes along its own stream, and none that was behind it', () =>
    scene(
      [{ name: 'faulty', options: { host_wait: '5s', message_timeout: '10s' } }],
      async (fx) => {
        expect((await get(fx.port, '/')).status).toBe(200);
        const hung = get(fx.port, '/?fault=loop').catch((error: Error) => error);
        await sleep(100);
        const behind = await ask(fx, '/', 20, 100);
        expect(ended(await hung)).toBe('503');
        expect(statuses(behind)).toEqual(['200']);
      },
      { hostArgs: ['--stall-timeout', '500ms'] },
    ));
});

/** What a loaded machine takes to start a host, and more. */
const TIMEOUT_MS = 20_000;

/** Requests one upon another, until it is told to stop. */
function load(fx: Fixture, loops: number, protocol: 'http1' | 'http2') {
  let running = true;
  let rounds = 0;
  const failed: string[] = [];
  const attempts = { first: 0, again: 0 };
  const request = async (shared: Awaited<ReturnType<typeof openSession>> | undefined, path: string) => {
    const started = performance.now();
    const exchange = shared === undefined ? http1(fx.port, { path }) : http2(fx.port, { path }, shared);
    const answer = await exchange.catch((error: Error) => error);
    const took = performance.now() - started;
    const is = ended(answer);
    if (answer instanceof Error || is !== '200') return failed.push(`${path}: ${is} after ${Math.round(took)} ms`);
    if (took > TIMEOUT_MS + 250) failed.push(`${path}: after ${Math.round(took)} ms`);
    if (answer.all('x-response-attempt').length !== 1) failed.push(`${path}: the hook ran twice`);
    attempts[answer.header('x-response-attempt') === '1' ? 'first' : 'again']++;
    return rounds++;
  };
  const loop = async (number: number) => {
    const shared = protocol === 'http2' ? await openSession(fx.port) : undefined;
    for (let i = 0; running; i++) await request(shared, `/hello?${protocol}.${number}.${i}`);
    shared?.destroy();
  };
  const all = Promise.all(Array.from({ length: loops }, (_, i) => loop(i)));
  return {
    failed,
    attempts,
    rounds: () => rounds,
    async stop(): Promise<void> {
      running = false;
      await all;
    },
  };
}

describe('failure_mode replay, a header filter under load', () => {
  const kills = Number(process.env['REPLAY_KILLS'] ?? 10);
  it(
    `loses no request when its host is killed ${kills} times`,
    () =>
      scene(
        [
          {
            name: 'stateless',
            options: { failure_mode: 'replay', message_timeout: `${TIMEOUT_MS}ms`, host_wait: undefined },
          },
        ],
        async (fx) => {
          const random = new Random(seedOf());
          const loads = [load(fx, 8, 'http1'), load(fx, 8, 'http2')];
          for (let i = 0; i < kills; i++) {
            // until those that waited have been answered: a second loss is a failure by right
            const before = loads.map((one) => one.rounds());
            await eventually('it serves', () => loads.every((one, j) => one.rounds() > before[j]! + 16), TIMEOUT_MS);
            await sleep(random.int(0, 150));
            await fx.host.kill();
            await fx.startHost();
          }
          await Promise.all(loads.map((one) => one.stop()));
          expect(loads.flatMap((one) => one.failed)).toEqual([]);
          expect(loads.reduce((sum, one) => sum + one.attempts.again, 0)).toBeGreaterThan(0);
          if (kills > 10)
            console.log(kills, 'kills', ...loads.map((one) => JSON.stringify([one.rounds(), one.attempts])));
        },
        { concurrency: 2 },
      ),
    60_000 + kills * 3_000,
  );
});
