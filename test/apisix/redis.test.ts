/** limit-count and limit-req with a Redis that really runs. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runtime } from 'envoy-ts-filter';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Gateway } from './gateway.js';

const servers: ChildProcess[] = [];
const folder = mkdtempSync(join(tmpdir(), 'tsf-redis-'));
let port = 0;
let clusterPort = 0;
let sentinelPort = 0;

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port: free } = probe.address() as AddressInfo;
  await once(probe.close(), 'close');
  return free;
}

/** Debian's redis-tools have the server without the service: it is this program under another name. */
async function start(
  name: 'redis-server' | 'redis-sentinel',
  options: readonly string[],
  ready: string,
): Promise<void> {
  const server = spawn('redis-check-rdb', options, { argv0: name, cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
  servers.push(server);
  for await (const line of server.stdout) if (String(line).includes(ready)) break;
}

beforeAll(async () => {
  [port, clusterPort, sentinelPort] = [await freePort(), await freePort(), await freePort()];
  const options = (own: number) => ['--bind', '127.0.0.1', '--port', String(own), '--save', ''];
  await start('redis-server', [...options(port), '--requirepass', 'sesame'], 'Ready to accept connections');
  const bus = [
    '--cluster-enabled',
    'yes',
    '--cluster-announce-ip',
    '127.0.0.1',
    '--cluster-port',
    String(await freePort()),
  ];
  await start('redis-server', [...options(clusterPort), ...bus], 'Ready to accept connections');
  const one = new Redis(clusterPort, '127.0.0.1');
  await one.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
  while (!String(await one.call('CLUSTER', 'INFO')).includes('cluster_state:ok')) await sleep(20);
  one.disconnect();
  const file = join(folder, 'sentinel.conf');
  writeFileSync(
    file,
    `bind 127.0.0.1\nport ${String(sentinelPort)}\nsentinel monitor mymaster 127.0.0.1 ${String(port)} 1\nsentinel auth-pass mymaster sesame\n`,
  );
  await start('redis-sentinel', [file], '+monitor');
});
afterAll(async () => {
  const clients = runtime.perWorker('apisix.redis', () => new Map<string, Promise<Redis>>());
  for (const client of clients.values()) (await client).disconnect();
  for (const server of servers) {
    const gone = once(server, 'exit');
    server.kill();
    await gone;
  }
  rmSync(folder, { recursive: true });
});

const gateway = (conf: object, name = 'limit-count'): Promise<Gateway> => {
  const redis = { policy: 'redis', redis_host: '127.0.0.1', redis_port: port, redis_password: 'sesame' };
  return Gateway.of({ plugins: [{ name, conf: { ...redis, ...conf } }] });
};

describe('limit-count with policy redis', () => {
  it('counts together for all that is configured alike', async () => {
    const [a, b] = [await gateway({ count: 2, time_window: 60 }), await gateway({ count: 2, time_window: 60 })];
    const outcomes = [await a.send(), await b.send(), await a.send(), await b.send()];
    expect(outcomes.map(({ status }) => status)).toEqual([200, 200, 503, 503]);
    const left = outcomes.map(({ response }) => response.header('x-ratelimit-remaining'));
    expect(left).toEqual(['1', '0', '0', '0']);
    expect(outcomes[0]!.response.header('x-ratelimit-reset')).toBe('60');
    expect((await (await gateway({ count: 3, time_window: 60 })).send()).status).toBe(200);
  });

  it('counts anew when the window is over', async () => {
    const at = await gateway({ count: 1, time_window: 1 });
    expect([(await at.send()).status, (await at.send()).status]).toEqual([200, 503]);
    await sleep(1100);
    expect((await at.send()).status).toBe(200);
  });

  it('counts in sliding windows', async () => {
    const at = await gateway({ count: 2, time_window: 60, window_type: 'sliding' });
    const outcomes = [await at.send(), await at.send(), await at.send()];
    expect(outcomes.map(({ status }) => status)).toEqual([200, 200, 503]);
    expect(outcomes[0]!.response.header('x-ratelimit-remaining')).toBe('1');
  });

  it('a server that is away is an error, or none with allow_degradation', async () => {
    const away = { count: 1, time_window: 60, redis_port: 1 };
    const refused = await (await gateway(away)).send();
    expect([refused.status, refused.response.text]).toEqual([500, '{"error_msg":"failed to limit count"}\n']);
    expect((await (await gateway({ ...away, allow_degradation: true })).send()).status).toBe(200);
  });

  it('so is a wrong password', async () => {
    const at = await gateway({ count: 1, time_window: 60, redis_password: 'wrong' });
    expect((await at.send()).status).toBe(500);
  });
});

describe.each(['fixed', 'sliding'])('limit-count, %s windows', (window_type) => {
  const conf = { count: 2, time_window: 60, window_type };

  it('counts in a cluster', async () => {
    const cluster = { redis_cluster_nodes: [`127.0.0.1:${String(clusterPort)}`], redis_cluster_name: 'c' };
    const at = await Gateway.of({
      plugins: [{ name: 'limit-count', conf: { ...conf, policy: 'redis-cluster', ...cluster } }],
    });
    expect([(await at.send()).status, (await at.send()).status, (await at.send()).status]).toEqual([200, 200, 503]);
  });

  it('takes a cluster that is away for an error', async () => {
    const away = { redis_cluster_nodes: ['127.0.0.1:1'], redis_cluster_name: 'c', redis_timeout: 200 };
    const at = await Gateway.of({
      plugins: [{ name: 'limit-count', conf: { ...conf, policy: 'redis-cluster', ...away } }],
    });
    expect((await at.send()).status).toBe(500);
  });

  it('counts at the master that sentinels name', async () => {
    const sentinels = { redis_sentinels: [{ host: '127.0.0.1', port: sentinelPort }], redis_master_name: 'mymaster' };
    const at = await gateway({ ...conf, policy: 'redis-sentinel', ...sentinels });
    expect([(await at.send()).status, (await at.send()).status, (await at.send()).status]).toEqual([200, 200, 503]);
  });
});

describe('limit-req with policy redis', () => {
  const slow = { rate: 0.1, burst: 0.1, key: 'remote_addr' };

  it('fills one bucket for all that is configured alike', async () => {
    const [a, b] = [await gateway(slow, 'limit-req'), await gateway(slow, 'limit-req')];
    expect([(await a.send()).status, (await b.send()).status]).toEqual([200, 503]);
    expect((await a.send({ remote: '1.1.1.1' })).status).toBe(200);
  });

  it('lets what is over the rate wait', async () => {
    const at = await gateway({ rate: 4, burst: 2, key: 'remote_addr' }, 'limit-req');
    const before = performance.now();
    expect([(await at.send()).status, (await at.send()).status]).toEqual([200, 200]);
    expect(performance.now() - before).toBeGreaterThan(240);
  });

  it('a server that is away is an error, or none with allow_degradation', async () => {
    const away = { ...slow, redis_port: 1 };
    expect((await (await gateway(away, 'limit-req')).send()).status).toBe(500);
    expect((await (await gateway({ ...away, allow_degradation: true }, 'limit-req')).send()).status).toBe(200);
  });
});
