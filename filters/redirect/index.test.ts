import { expect, it } from 'vitest';
import { dynamicModulePerRoute, get, startEnvoy } from '../../test/fixture/index.js';
import { stage } from '../../test/e2e/support.js';

const config = { ret_code: 302, uri: '/redirected/path' };
const at = stage({
  filters: [{ name: 'redirect', config }],
  routes: [
    {
      match: { prefix: '/moved' },
      route: { cluster: 'upstream' },
      typed_per_filter_config: {
        redirect: dynamicModulePerRoute('redirect', { plugin_config: { ret_code: 308, uri: 'https://other.test/' } }),
      },
    },
  ],
});

it('answers 302 with the location, and the upstream is never asked', async () => {
  const answer = await get(at.port, '/');
  expect([answer.status, answer.header('location'), answer.text]).toEqual([302, '/redirected/path', '']);
  expect(at.upstream.seen.size).toBe(0);
});

it("takes a route's own config over the filter's", async () => {
  const answer = await get(at.port, '/moved/away');
  expect([answer.status, answer.header('location')]).toEqual([308, 'https://other.test/']);
});

it.each([
  [{ uri: '/a' }, 302],
  [{ ret_code: 301, uri: '/a' }, 301],
])('takes %j', async (given, status) => {
  const fx = await startEnvoy({ filters: [{ name: 'redirect', config: given }] });
  try {
    expect((await get(fx.port, '/')).status).toBe(status);
  } finally {
    await fx.stop();
  }
});

it.each([
  [{ ret_code: 200, uri: '/a' }, 'ret_code'],
  [{ ret_code: 302 }, 'uri'],
  [{ uri: '/a\r\nx-evil: 1' }, 'uri'],
])('refuses %j and names the key', async (given, key) => {
  await expect(startEnvoy({ filters: [{ name: 'redirect', config: given }] })).rejects.toThrow(key);
});
