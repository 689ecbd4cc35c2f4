/** The installed package serves a filter: under each Node, in a real Envoy of the newest version. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { Child, eventually, get, nodeBinary, root, startEnvoy, startUpstream } from '../fixture/index.js';

const host = join(inject('installed'), 'node_modules', '.bin', 'ts-filter-host');
const FILTER = `import { defineFilter } from 'envoy-ts-filter';
export default defineFilter<{ greeting: string }>({
  name: 'greeter',
  create: ({ greeting }) => ({
    async encodeHeaders(headers) { headers.set('x-greeting', await Promise.resolve(greeting)); headers.set('x-node', process.version); },
    async *transformResponse(body) { for await (const chunk of body) yield chunk; },
  }),
});
`;
const NODES = ['default', '22', '24'].map((name) => {
  const path = name === 'default' ? nodeBinary : join(root, 'build', 'node', name, 'bin', 'node');
  return [name, path] as const;
});

describe('the installed package serves', () => {
  const filters = join(inject('installed'), 'filters');
  let upstream: Awaited<ReturnType<typeof startUpstream>>;
  let fx: Awaited<ReturnType<typeof startEnvoy>>;
  const hosts: Child[] = [];
  beforeAll(async () => {
    mkdirSync(filters);
    writeFileSync(join(filters, 'greeter.ts'), FILTER);
    const { stdout } = spawnSync(nodeBinary, [host, 'module-path'], { encoding: 'utf8' });
    upstream = await startUpstream();
    fx = await startEnvoy({
      upstream,
      filters: [{ name: 'greeter', config: { greeting: 'hola' }, options: { host_wait: '5s' } }],
      edges: true,
      host: false,
      version: '1.40',
      envoyEnv: { ENVOY_DYNAMIC_MODULES_SEARCH_PATH: dirname(stdout.trim()) },
    });
  });
  afterAll(async () => {
    for (const one of hosts) await one.stop(8_000);
    await fx.stop();
    await upstream.close();
  });

  // Each takes the socket over from the one before.
  it.each(NODES)('under Node (%s)', async (_name, node) => {
    expect(existsSync(node), `${node} is missing: make node-22 node-24`).toBe(true);
    const version = String(spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout).trim();
    hosts.push(
      new Child('ts-filter-host', node, [host, filters, '--socket', fx.socket, '--no-supervise'], {
        PATH: inject('barePath'),
      }),
    );
    const answer = await eventually(`a host on ${version} serves`, async () => {
      const one = await get(fx.port, '/hello');
      return one.header('x-node') === version ? one : undefined;
    });
    expect([answer.status, answer.header('x-greeting'), answer.complete]).toEqual([200, 'hola', true]);
  });
});
