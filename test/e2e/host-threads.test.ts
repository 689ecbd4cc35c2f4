/** A thread of the host hangs or dies: its streams fail as the table says, the other threads serve on, it is replaced. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { eventually, get, http1, sleep, type Fixture, type Response } from '../fixture/index.js';
import { ended, scene } from './support.js';

const STALL_MS = 1000;
/** What a loaded machine takes to start a thread. */
const SLACK_MS = 500;
const BOUND_MS = STALL_MS + 1000 + SLACK_MS;
const ARGS = ['--stall-timeout', `${STALL_MS}ms`];

interface Case {
  readonly fault: string;
  readonly code: string;
  /** What the log says. */
  readonly says: RegExp;
}

const HANGS: readonly Case[] = [
  { fault: 'loop', code: 'TSF_WORKER_STALLED', says: /"at":"[^"]*loop[^"]*filters\/faulty\.ts:17:\d+/ },
  { fault: 'regex', code: 'TSF_WORKER_STALLED', says: /"at":"[^"]*regex[^"]*filters\/faulty\.ts:20:\d+/ },
  { fault: 'wait', code: 'TSF_WORKER_STALLED', says: /"at":"[^"]*wait[^"]*filters\/faulty\.ts:23:\d+/ },
];
const DEATHS: readonly Case[] = [
  { fault: 'exit', code: 'TSF_WORKER_DIED', says: /exit code 3/ },
  {
    fault: 'socket',
    code: 'TSF_WORKER_DIED',
    says: /'error' event of a Socket .*ECONNREFUSED.*one of [^"]*filters\/faulty\.ts.*add an 'error' listener/,
  },
  {
    fault: 'emit',
    code: 'TSF_WORKER_DIED',
    says: /'error' event of a Redis .*ECONNREFUSED.*filters\/faulty\.ts:36:\d+.*add an 'error' listener/,
  },
  { fault: 'heap', code: 'TSF_WORKER_DIED', says: /memory limit.*filters\/faulty\.ts/ },
];

interface Asked {
  /** When, as performance.now says. */
  readonly from: number;
  readonly took: number;
  readonly got: string;
}

function ofCode(fx: Fixture, code: string): Record<string, unknown>[] | undefined {
  const found = logOf(fx, code);
  return found.length > 0 ? found : undefined;
}

/** A request every 20 ms, on connections of their own. */
function requests(fx: Fixture) {
  let running = true;
  const all: Promise<Asked>[] = [];
  const ask = async (): Promise<Asked> => {
    const from = performance.now();
    const answer = await get(fx.port, '/asked').catch((error: Error) => error);
    return { from, took: performance.now() - from, got: ended(answer) };
  };
  const asking = (async () => {
    for (; running; await sleep(20)) all.push(ask());
  })();
  return {
    async stop(): Promise<Asked[]> {
      running = false;
      await asking;
      return Promise.all(all);
    },
  };
}

const logOf = (fx: Fixture, code: string) => fx.host.records.filter((record) => record['code'] === code);

interface Caused {
  readonly answer: Response | Error;
  /** When the filter was asked to. */
  readonly from: number;
  readonly took: number;
}

/** The fault; settles when its thread is replaced, with how long that took. */
async function causeFault(fx: Fixture, { fault, code }: Case): Promise<Caused> {
  const from = performance.now();
  const answer = http1(fx.port, { path: `/?fault=${fault}`, timeoutMs: 10_000 }).catch((error: Error) => error);
  await eventually('the fault is noticed', () => logOf(fx, code).length > 0, 6_000);
  await eventually('the thread is replaced', () => fx.host.output.includes('worker thread replaced'), 6_000);
  return { answer: await answer, from, took: performance.now() - from };
}

describe('--workers 2', () => {
  it.each([...HANGS, ...DEATHS])('$fault: the other thread serves on, and loses nothing', (one) =>
    scene(
      [{ name: 'faulty', options: { host_wait: '0s' } }],
      async (fx) => {
        const streams = Array.from({ length: 12 }, (_, i) =>
          http1(fx.port, { path: `/?stream=${HANGS.includes(one) ? 25 : 10}&${i}`, timeoutMs: 10_000 }),
        );
        await sleep(300);
        const load = requests(fx);
        const { answer, from, took: replacedIn } = await causeFault(fx, one);
        expect(['503', '200']).toContain(ended(answer));
        await sleep(200);
        const asked = await load.stop();
        // The healthy thread has served all the time: Envoy's workers share the requests, and one of them is its.
        const meanwhile = asked.filter((each) => each.from > from && each.from < from + replacedIn - 20);
        const served = meanwhile.filter(({ got, took }) => got === '200' && took < SLACK_MS);
        expect(served.length, `of ${meanwhile.length}`).toBeGreaterThan(meanwhile.length / 5);
        for (const { took, got } of asked) {
          expect(took).toBeLessThan(BOUND_MS);
          expect(['200', '503']).toContain(got);
        }
        expect(asked.at(-1)?.got).toBe('200');

        const threads = { whole: new Set<string>(), cut: new Set<string>() };
        for (const stream of await Promise.all(streams)) {
          const thread = stream.header('x-thread')!;
          if (stream.complete) threads.whole.add(thread);
          else threads.cut.add(thread);
        }
        // what the dying thread has finished before is whole, too
        expect(threads.cut.size).toBeLessThanOrEqual(1);
        expect([...threads.whole].some((thread) => !threads.cut.has(thread))).toBe(true);
        expect(logOf(fx, one.code)).toHaveLength(1);
        expect(JSON.stringify(logOf(fx, one.code))).toMatch(one.says);
        // the connection is the one of the beginning
        expect(fx.envoy.output.split('connected to ts-filter-host')).toHaveLength(2);
      },
      {
        hostWorkers: 2,
        concurrency: 2,
        hostArgs: ARGS,
        ...(one.fault === 'heap' ? { hostEnv: { NODE_OPTIONS: '--max-old-space-size=96' } } : {}),
      },
    ),
  );
});

it('a rejection that nobody awaits ends nothing', () =>
  scene(
    [{ name: 'faulty' }],
    async (fx) => {
      const stream = http1(fx.port, { path: '/?stream=5', timeoutMs: 10_000 });
      const first = await get(fx.port, '/?fault=reject');
      await eventually('it is logged', () => logOf(fx, 'TSF_UNHANDLED_REJECTION').length > 0);
      const second = await get(fx.port, '/');
      expect([ended(first), ended(second), ended(await stream)]).toEqual(['200', '200', '200']);
      expect(second.header('x-thread')).toBe(first.header('x-thread'));
      expect(JSON.stringify(logOf(fx, 'TSF_UNHANDLED_REJECTION'))).toMatch(
        /nobody awaits this.*filters\/faulty\.ts:\d+/,
      );
    },
    { hostArgs: ARGS },
  ));

it('an endless loop with the times that nobody has changed, --workers 2', () =>
  scene(
    [{ name: 'faulty' }],
    async (fx) => {
      const load = requests(fx);
      await causeFault(fx, HANGS[0]!);
      await sleep(200);
      const asked = await load.stop();
      for (const { took, got } of asked) {
        expect(took).toBeLessThan(2000 + 1000 + SLACK_MS);
        expect(['200', '503']).toContain(got);
      }
      expect(asked.filter(({ got }) => got === '200').length).toBeGreaterThan(asked.length / 5);
      expect(asked.at(-1)?.got).toBe('200');
    },
    { hostWorkers: 2, concurrency: 2 },
  ));

describe('--workers 1', () => {
  const faults = [HANGS[0]!, DEATHS[0]!];
  it.each(faults)('$fault: nothing waits longer than the watchdog and a second, then the host serves again', (one) =>
    scene(
      [{ name: 'faulty', options: { host_wait: '0s', message_timeout: '20s' } }],
      async (fx) => {
        const load = requests(fx);
        const { answer, took } = await causeFault(fx, one);
        expect(took).toBeLessThan(BOUND_MS);
        expect(ended(answer)).toBe('503');
        await sleep(200);
        const asked = await load.stop();
        expect(Math.max(...asked.map((each) => each.took))).toBeLessThan(BOUND_MS);
        expect(asked.at(-1)?.got).toBe('200');
      },
      { hostArgs: ARGS },
    ),
  );

  it('a thread that hangs again and again: failure_mode open lets all pass, and SIGTERM ends the host in time', () =>
    scene(
      [{ name: 'touch' }, { name: 'faulty' }].map(({ name }) => ({
        name,
        options: { host_wait: '0s', message_timeout: '500ms', failure_mode: 'open' },
      })),
      async (fx) => {
        for (let i = 0; i < 2; i++) {
          const [hung, other] = await Promise.all([get(fx.port, '/hello?fault=loop'), get(fx.port, '/hello?other')]);
          expect([hung.status, other.status]).toEqual([200, 200]);
          await eventually('it is noticed', () => logOf(fx, 'TSF_WORKER_STALLED').length > i, 6_000);
          const started = performance.now();
          expect((await get(fx.port, `/hello?${i}`)).status).toBe(200);
          expect(performance.now() - started).toBeLessThan(BOUND_MS);
        }
        void get(fx.port, '/hello?fault=loop').catch(() => undefined);
        await sleep(50);
        const started = performance.now();
        await fx.host.stop(4_000);
        expect(performance.now() - started).toBeLessThan(BOUND_MS + SLACK_MS);
      },
      { hostArgs: ARGS },
    ));
});

describe('a thread that cannot load again', () => {
  const gone = join(mkdtempSync(join(tmpdir(), 'tsf-gone-')), 'gone');
  afterEach(() => rmSync(gone, { force: true }));
  afterAll(() => rmSync(dirname(gone), { recursive: true }));
  const hostEnv = { TSF_TEST_GONE: gone };

  it.each([
    { failure_mode: 'closed', status: 503 },
    { failure_mode: 'open', status: 200 },
  ])('$failure_mode decides at once, until one loads', ({ failure_mode, status }) =>
    scene(
      [{ name: 'faulty', options: { host_wait: '20s', message_timeout: '20s', failure_mode } }],
      async (fx) => {
        writeFileSync(gone, '');
        expect(ended(await get(fx.port, '/?fault=exit'))).toBe(String(status));
        await eventually('another one is there', () => fx.host.output.includes('worker thread replaced'), 3_000);
        await eventually('its line in the log', () =>
          /"code":"TSF_LOAD_FAILED".*filters\/faulty\.ts:\d+:\d+: Error: connect/.test(fx.host.output),
        );
        for (let i = 0; i < 5; i++) {
          const started = performance.now();
          expect(ended(await get(fx.port, '/next'))).toBe(String(status));
          expect(performance.now() - started).toBeLessThan(500);
        }
        rmSync(gone);
        await eventually(
          'it serves again',
          async () => (await get(fx.port, '/')).header('x-thread') !== undefined,
          5_000,
        );
      },
      { hostArgs: ARGS, hostEnv },
    ),
  );

  it('leaves all to the other thread', () =>
    scene(
      [{ name: 'faulty', options: { host_wait: '0s', message_timeout: '20s' } }],
      async (fx) => {
        writeFileSync(gone, '');
        expect(ended(await get(fx.port, '/?fault=exit'))).toBe('503');
        await eventually('it could not load', () => fx.host.output.includes('TSF_LOAD_FAILED'), 3_000);
        for (let i = 0; i < 10; i++) {
          expect(ended(await get(fx.port, '/next'))).toBe('200');
          await sleep(50);
        }
        // when it has loaded it takes over from the other one
        rmSync(gone);
        await eventually('it has loaded', () => fx.host.output.includes('has loaded now'), 5_000);
        const before = (await get(fx.port, '/')).header('x-thread');
        expect(ended(await get(fx.port, '/?fault=exit'))).toBe('503');
        await eventually('served', async () => (await get(fx.port, '/')).header('x-thread') !== before, 3_000);
      },
      { hostWorkers: 2, hostArgs: ARGS, hostEnv },
    ));
});

describe('the process dies', () => {
  it('of a burst out of memory: its parent starts it again, and SIGTERM ends both', () =>
    scene(
      [{ name: 'faulty', options: { host_wait: '0s' } }],
      async (fx) => {
        expect((await get(fx.port, '/before')).status).toBe(200);
        const answer = get(fx.port, '/?fault=burst').catch((error: Error) => error);
        const [died] = await eventually('it has died', () => ofCode(fx, 'TSF_HOST_DIED'), 20_000);
        expect(died!['pid']).toBe(fx.host.pid);
        expect(died!['msg']).toMatch(/out of memory.*bound what .*filters\/faulty\.ts/);
        expect(ended(await answer)).toBe('503');
        await eventually('it serves again', async () => (await get(fx.port, '/after')).status === 200, 5_000);
        const pids = new Set(fx.host.records.map((record) => record['pid'] as number));
        expect(pids.size).toBe(3);
        expect((await fx.host.stop(5_000)).code).toBe(0);
        for (const pid of pids) expect(existsSync(`/proc/${pid}`)).toBe(false);
      },
      { supervise: true, hostEnv: { NODE_OPTIONS: '--max-old-space-size=128' } },
    ));

  it('SIGTERM to it and its parent, as to a process group: what has begun ends well', () =>
    scene(
      [{ name: 'faulty' }],
      async (fx) => {
        const { pid } = (await fx.counters()) as { pid: number };
        const stream = http1(fx.port, { path: '/?stream=10', timeoutMs: 10_000 });
        await sleep(200);
        process.kill(pid, 'SIGTERM');
        const stopped = fx.host.stop(5_000);
        const answer = await stream;
        expect([answer.status, answer.complete]).toEqual([200, true]);
        expect((await stopped).code).toBe(0);
      },
      { supervise: true },
    ));

  it('with its parent: it drains and ends', () =>
    scene(
      [{ name: 'faulty' }],
      async (fx) => {
        expect((await get(fx.port, '/before')).status).toBe(200);
        const { pid } = (await fx.counters()) as { pid: number };
        expect(pid).not.toBe(fx.host.pid);
        await fx.host.kill();
        await eventually('it has ended', () => !existsSync(`/proc/${pid}`), 5_000);
        await fx.startHost();
        await eventually('another one serves', async () => (await get(fx.port, '/after')).status === 200, 5_000);
      },
      { supervise: true },
    ));
});
