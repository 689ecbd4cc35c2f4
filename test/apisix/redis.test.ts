/** limit-count and limit-req with a Redis that really runs. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { runtime } from 'envoy-ts-filter';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Gateway } from './gateway.js';

let server: ChildProcess;
let port = 0;

beforeAll(async () => {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  port = (probe.address() as AddressInfo).port;
  await once(probe.close(), 'close');
  const options = ['--bind', '127.0.0.1', '--port', String(port), '--save', '', '--requirepass', 'sesame'];
  // Debian's redis-tools have the server without the service: it is this program under another name.
  server = spawn('redis-check-rdb', options, { argv0: 'redis-server', stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const line of server.stdout!) if (String(line).includes('Ready to accept connections')) break;
});
afterAll(async () => {
  const clients = runtime.perWorker('apisix.redis', () => new Map<string, Promise<Redis>>());
  for (const client of clients.values()) (await client).disconnect();
  const gone = once(server, 'exit');
  server.kill();
  await gone;
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
