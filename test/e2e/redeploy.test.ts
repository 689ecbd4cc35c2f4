/** A host gives way to another, by plan or by accident: traffic goes on. */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { eventually, get, http1, sleep, type Fixture } from '../fixture/index.js';
import { scene } from './support.js';

/** Asks without pause until stopped; what was not right is kept. */
function traffic(fx: Fixture, lanes = 4) {
  let running = true;
  let asked = 0;
  const wrong: string[] = [];
  const lane = async () => {
    while (running) {
      asked++;
      const answer = await http1(fx.port, { method: 'POST', path: '/echo', body: 'abc', timeoutMs: 10_000 }).catch(
        (error: Error) => error,
      );
      const got =
        answer instanceof Error
          ? answer.message
          : `${answer.status} ${answer.text} ${answer.header('x-touch-response')} ${answer.broken}`;
      if (got !== '200 abc on ') wrong.push(got);
    }
  };
  const all = Promise.all(Array.from({ length: lanes }, lane));
  return {
    stop: async () => {
      running = false;
      await all;
      return { asked, wrong };
    },
  };
}

describe('redeploys fail no request', () => {
  it('a new host takes the socket over while the old one drains', () =>
    scene([{ name: 'touch', options: { host_wait: '0s' } }], async (fx) => {
      expect((await get(fx.port, '/hello')).status).toBe(200);
      const load = traffic(fx);
      const old = fx.host;
      await sleep(300);
      await fx.startHost();
      await eventually('the old host ends by itself', () => !old.running, 15_000);
      expect((await old.exit).code).toBe(0);
      await sleep(300);
      const { asked, wrong } = await load.stop();
      expect(wrong).toEqual([]);
      expect(asked).toBeGreaterThan(50);
    }));

  it('SIGHUP loads the filters anew', () =>
    scene([{ name: 'touch', options: { host_wait: '0s' } }], async (fx) => {
      expect((await get(fx.port, '/hello')).status).toBe(200);
      const before = await fx.counters();
      const load = traffic(fx);
      await sleep(200);
      fx.host.signal('SIGHUP');
      await eventually('a new worker thread', async () => (await fx.counters())['born'] !== before['born'], 10_000);
      await sleep(500);
      const { asked, wrong } = await load.stop();
      expect(wrong).toEqual([]);
      expect(asked).toBeGreaterThan(50);
    }));

  it('a stop and a start with host_wait between fail none either', () =>
    scene([{ name: 'touch', options: { host_wait: '10s' } }], async (fx) => {
      expect((await get(fx.port, '/hello')).status).toBe(200);
      const load = traffic(fx);
      await sleep(200);
      const old = fx.host;
      expect((await old.stop(8_000)).code).toBe(0);
      await fx.startHost();
      await sleep(500);
      const { wrong } = await load.stop();
      expect(wrong).toEqual([]);
    }));

  it('SIGTERM with an open event stream frees the socket at once: the next host serves while it goes on', () =>
    scene(
      [{ name: 'touch', options: { host_wait: '5s' } }],
      async (fx) => {
        const events = http1(fx.port, { path: '/sse?n=80&ms=50', timeoutMs: 20_000 });
        await eventually('the stream is open', async () => (await fx.activeStreams()) === 1);
        const load = traffic(fx);
        const old = fx.host;
        await sleep(200);
        old.signal('SIGTERM');
        await eventually('the socket is free', () => !existsSync(fx.socket));
        await fx.startHost();
        expect(old.running).toBe(true);
        await sleep(300);
        const { wrong } = await load.stop();
        expect(wrong).toEqual([]);
        const answer = await events;
        expect([answer.status, answer.complete]).toEqual([200, true]);
        expect((await old.exit).code).toBe(0);
      },
      { hostArgs: ['--drain-timeout', '20s'] },
    ));

  it.each(['take-over', 'reload'])('%s: what does not end in --drain-timeout ends with a code', (way) =>
    scene(
      [{ name: 'park' }],
      async (fx) => {
        const waits = http1(fx.port, { path: '/parked', headers: [['x-park', 'decodeHeaders']], timeoutMs: 10_000 });
        await eventually('it waits in the filter', async () => (await fx.activeStreams()) === 1);
        await sleep(200);
        if (way === 'take-over') await fx.startHost();
        else fx.host.signal('SIGHUP');
        const answer = await waits;
        expect(`${answer.status} ${answer.text}`).toBe('503 ts_filter_host_drained');
        expect((await fx.logged('/parked')).details).toContain('ts_filter_host_drained');
      },
      { hostArgs: ['--drain-timeout', '500ms'] },
    ),
  );

  // Ten thousand of them: cpp/test/core/link_stress_test.cc with LINK_RECONNECTS.
  it('one host after another leaves neither descriptors nor threads in Envoy', () =>
    scene([{ name: 'touch', options: { host_wait: '10s' } }], async (fx) => {
      const inEnvoy = (what: string) => readdirSync(`/proc/${fx.envoy.pid}/${what}`).length;
      const nextHost = async () => {
        await fx.host.kill();
        await fx.startHost();
        expect((await get(fx.port, '/hello')).status).toBe(200);
      };
      for (let i = 0; i < 2; i++) await nextHost();
      const threads = inEnvoy('task');
      const descriptors = inEnvoy('fd');
      for (let i = 0; i < 8; i++) await nextHost();
      expect(inEnvoy('task')).toBe(threads);
      // A channel has four of its own, so that one left behind by each host is 32; connections come and go.
      expect(inEnvoy('fd')).toBeLessThan(descriptors + 8);
    }));
});

describe('a filter without hooks', () => {
  let folder = '';
  let hooks = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'hookless-'));
    hooks = join(folder, 'hooks');
  });
  afterAll(() => rmSync(folder, { recursive: true }));
  beforeEach(() => rmSync(hooks, { force: true }));

  const filters = [{ name: 'hookless', options: { host_wait: '0s' } }, { name: 'touch' }];
  const seen = async (fx: Fixture) => {
    const answer = await get(fx.port, '/hello');
    return [answer.status, answer.header('x-hooked'), answer.header('x-touch-response')];
  };

  it.each(['SIGHUP', 'another host'])('its next version may have some: %s', (way) =>
    scene(
      filters,
      async (fx) => {
        const redeploy = async () => void (way === 'SIGHUP' ? fx.host.signal('SIGHUP') : await fx.startHost());
        expect(await seen(fx)).toEqual([200, undefined, 'on']);
        writeFileSync(hooks, '');
        await redeploy();
        await eventually('its hook runs', async () => (await seen(fx))[1] === 'yes', 5_000);
        rmSync(hooks);
        await redeploy();
        await eventually('none again', async () => (await seen(fx))[1] === undefined, 5_000);
      },
      { hostEnv: { TSF_TEST_HOOKS: hooks } },
    ),
  );

  it.each([
    { mode: 'closed', status: 503 },
    { mode: 'open', status: 200 },
  ])('failure_mode $mode decides while no host is there', ({ mode, status }) =>
    scene([{ name: 'hookless', options: { host_wait: '0s', failure_mode: mode } }], async (fx) => {
      expect((await get(fx.port, '/hello')).status).toBe(200);
      await fx.host.kill();
      await eventually('the module knows', async () => (await get(fx.port, '/hello')).status === status, 5_000);
      for (let i = 0; i < 20; i++) expect((await get(fx.port, '/hello')).status).toBe(status);
      await fx.startHost();
      await eventually('served', async () => (await get(fx.port, '/hello')).status === 200, 5_000);
    }),
  );
});

describe('a worker thread dies of an error that nothing caught', () => {
  it('its streams are lost, and the next ones are served by its successor', () =>
    scene([{ name: 'crash', options: { host_wait: '5s' } }], async (fx) => {
      expect((await get(fx.port, '/hello')).status).toBe(200);
      expect((await get(fx.port, '/crash')).status).toBe(503);
      expect((await fx.logged('/crash')).details).toContain('ts_filter_host_lost');
      expect(fx.host.running).toBe(true);
      await eventually('its line in the log', () => fx.host.output.includes('thrown from a timer'));
      await eventually('served again', async () => (await get(fx.port, '/hello')).status === 200);
    }));

  it('a rejection that nobody awaits is logged and harms nothing', () =>
    scene([{ name: 'crash' }], async (fx) => {
      const answer = await get(fx.port, '/reject');
      expect(answer.text).toBe('you asked for /reject');
      await eventually('logged', () => fx.host.output.includes('nobody awaits this'));
      expect((await get(fx.port, '/hello')).status).toBe(200);
      expect(fx.host.running).toBe(true);
    }));
});
