/** Eight plugins of APISIX's cost one crossing: at most half as much CPU more than one, in Envoy and host together. */
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { expect, it } from 'vitest';
import { type Fixture, startEnvoy, startUpstream } from '../fixture/index.js';

const PLUGINS = [
  { name: 'request-id' },
  { name: 'cors' },
  { name: 'ip-restriction', conf: { whitelist: ['127.0.0.0/8'] } },
  { name: 'ua-restriction', conf: { denylist: ['my-bot'], bypass_missing: true } },
  { name: 'uri-blocker', conf: { block_rules: ['root\\.exe'] } },
  { name: 'key-auth', conf: { hide_credentials: true } },
  { name: 'limit-count', conf: { count: 1_000_000, time_window: 60 } },
  { name: 'proxy-rewrite', conf: { headers: { set: { 'x-was': '$uri' } } } },
];
const consumers = [{ username: 'jack', plugins: { 'key-auth': { key: 'sesame' } } }];
const ROUNDS = 4;
const REQUESTS = 2500;
const AT_ONCE = 16;
/** Clock ticks, as /proc counts them. */
const ticks = (pid: number): number => {
  const fields = readFileSync(`/proc/${String(pid)}/stat`, 'utf8')
    .split(') ')[1]!
    .split(' ');
  return Number(fields[11]) + Number(fields[12]);
};
const used = ({ envoy, host }: Fixture): number => ticks(envoy.pid) + ticks(host.pid);

const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
const ask = (port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path: '/hello', agent, headers: { apikey: 'sesame' } };
    const sent = request(options, (response) => {
      if (response.statusCode !== 200) reject(new Error(`status ${String(response.statusCode)}`));
      response.resume().on('end', resolve);
    });
    sent.on('error', reject).end();
  });

async function load(port: number, count: number): Promise<void> {
  let left = count;
  const client = async (): Promise<void> => {
    while (left-- > 0) await ask(port);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, client));
}

it('eight plugins cost at most 1.5 times the CPU of one', async () => {
  const upstream = await startUpstream();
  const fixtures: Fixture[] = [];
  try {
    for (const plugins of [PLUGINS.slice(0, 1), PLUGINS]) {
      const filters = [{ name: 'apisix', config: { plugins, consumers } }];
      fixtures.push(await startEnvoy({ upstream, filters, logLevel: 'warning' }));
    }
    for (const { port } of fixtures) await load(port, 1000);
    // The least of each, in turns: what else the machine does only adds.
    const least = [Infinity, Infinity];
    for (let round = 0; round < ROUNDS; round++) {
      for (const [i, fixture] of fixtures.entries()) {
        const before = used(fixture);
        await load(fixture.port, REQUESTS);
        least[i] = Math.min(least[i]!, used(fixture) - before);
      }
    }
    expect(least[1]! / least[0]!).toBeLessThanOrEqual(1.5);
  } finally {
    agent.destroy();
    for (const fixture of fixtures) await fixture.stop();
    await upstream.close();
  }
});
