import { expect, it } from 'vitest';
import { eventually, http1 } from '../../test/fixture/index.js';
import { stage } from '../../test/e2e/support.js';

const at = stage({ filters: [{ name: 'hello' }] });

it('logs all request headers of a request as one line, in the host and in Envoy', async () => {
  const headers = [
    ['x-one', '1'],
    ['x-twice', 'a'],
    ['x-twice', 'b'],
    ['x-latin', 'caf\xe9'],
  ] as const;
  const answer = await http1(at.port, { path: '/hello', headers });
  expect([answer.status, answer.text]).toEqual([200, 'hola mundo :)']);

  const lines = await eventually('the log line', () => {
    const found = at.fx.host.records.filter((record) => record['msg'] === 'request headers');
    return found.length > 0 && found;
  });
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatchObject({
    filter: 'hello',
    headers: { ':path': '/hello', ':method': 'GET', 'x-one': '1', 'x-twice': ['a', 'b'], 'x-latin': 'caf\xe9' },
  });
  const inEnvoy = await at.fx.envoy.waitForOutput(/.*request headers.*/);
  expect(inEnvoy[0]).toContain('x-twice');
});
