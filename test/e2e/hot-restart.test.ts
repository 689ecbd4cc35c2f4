/** Envoy's own ways to replace itself, with one host for both: a hot restart, and a listener that drains. */
import { createServer } from 'node:net';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { eventually, http1, sleep, startUpstream, within, type Child, type Fixture } from '../fixture/index.js';
import { withEnvoy } from './support.js';

/** The next epoch asks the one before for its listeners by their address. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Asks without pause, each time on a connection of its own; what was not right is kept. */
function traffic(port: number) {
  let running = true;
  let asked = 0;
  const wrong: string[] = [];
  const lane = async () => {
    while (running) {
      asked++;
      const answer = await http1(port, { method: 'POST', path: '/echo', body: 'abc', timeoutMs: 10_000 }).catch(
        (error: Error) => error,
      );
      const got =
        answer instanceof Error
          ? answer.message
          : `${answer.status} ${answer.text} ${answer.header('x-touch-response')}`;
      if (got !== '200 abc on') wrong.push(got);
    }
  };
  const lanes = Promise.all([lane(), lane(), lane()]);
  return async () => {
    running = false;
    await lanes;
    return { asked, wrong };
  };
}

async function nextEpoch(fx: Fixture): Promise<Child> {
  const baseId = readFileSync(join(fx.dir, 'base-id'), 'utf8').trim();
  const adminFile = join(fx.dir, 'admin-1');
  const child = fx.spawnEnvoy(['--admin-address-path', adminFile], ['--base-id', baseId, '--restart-epoch', '1']);
  await eventually(
    'the next epoch is ready',
    async () => {
      const address = existsSync(adminFile) ? readFileSync(adminFile, 'utf8').trim() : '';
      if (!child.running) throw new Error(child.output.slice(-4000));
      if (address === '') return false;
      return (await fetch(`http://${address}/ready`).then((answer) => answer.text())).startsWith('LIVE');
    },
    20_000,
  );
  return child;
}

const TIMES = ['--drain-time-s', '2', '--parent-shutdown-time-s', '5'];

describe('one host for two epochs of Envoy', () => {
  it('a hot restart fails no request, and streams of the old epoch keep their filters', async () => {
    const upstream = await startUpstream();
    const port = await freePort();
    const listener = { address: { socket_address: { address: '127.0.0.1', port_value: port } } };
    try {
      await withEnvoy({ filters: [{ name: 'touch' }], upstream, listener, envoyArgs: TIMES }, async (fx) => {
        const first = fx.envoy;
        const load = traffic(port);
        const events = http1(port, { path: '/sse?n=60&ms=50', timeoutMs: 20_000 });
        await sleep(300);
        fx.envoy = await nextEpoch(fx);
        await eventually('two modules', () => fx.host.output.match(/module connected/g)?.length === 2);
        const answer = await events;
        expect([answer.status, answer.complete, answer.header('x-touch-response')]).toEqual([200, true, 'on']);
        expect((await within(20_000, 'the old epoch ends', first.exit)).code).toBe(0);
        await sleep(300);
        const { asked, wrong } = await load();
        expect(wrong).toEqual([]);
        expect(asked).toBeGreaterThan(50);
        await eventually('one module is gone', () => fx.host.output.includes('module disconnected'));
      });
    } finally {
      await upstream.close();
    }
  });

  it('a listener that drains lets its streams end, with their filters', async () => {
    const upstream = await startUpstream();
    try {
      await withEnvoy({ filters: [{ name: 'touch' }], upstream, envoyArgs: TIMES }, async (fx) => {
        const events = http1(fx.port, { path: '/sse?n=60&ms=50', timeoutMs: 20_000 });
        await eventually('the stream is open', async () => (await fx.activeStreams()) === 1);
        expect(await fx.admin('/drain_listeners?graceful&skip_exit', 'POST')).toContain('OK');
        const answer = await events;
        expect([answer.status, answer.complete, answer.header('x-touch-response')]).toEqual([200, true, 'on']);
        expect(fx.host.output).not.toContain('module disconnected');
      });
    } finally {
      await upstream.close();
    }
  });
});
