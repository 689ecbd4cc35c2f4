import { expect, it } from 'vitest';
import { Connection, eventually, get, http1, type Seen } from '../../test/fixture/index.js';
import { stage } from '../../test/e2e/support.js';

const at = stage({ filters: [{ name: 'auth', config: { delay_ms: 150, tokens: { 'sesame-1': 'ali' } } }] });

it('lets a known token go on with the name of its user', async () => {
  const before = performance.now();
  const answer = await http1(at.port, {
    path: '/sink',
    headers: [
      ['authorization', 'Bearer sesame-1'],
      ['x-user', 'root'],
    ],
  });
  expect(performance.now() - before).toBeGreaterThan(140);
  const { headers } = answer.json as Seen;
  expect(headers.filter(([name]) => name === 'x-user')).toEqual([['x-user', 'ali']]);
});

it('answers 401 with a challenge otherwise', async () => {
  const without = await get(at.port, '/none');
  expect([without.status, without.header('www-authenticate')]).toEqual([401, 'Bearer']);
  const wrong = await get(at.port, '/wrong', [['authorization', 'Bearer sesame-2']]);
  expect([wrong.status, wrong.header('www-authenticate')]).toEqual([401, 'Bearer error="invalid_token"']);
  expect(at.upstream.seen.has('/none') || at.upstream.seen.has('/wrong')).toBe(false);
});

it('stops the lookup when the client leaves', async () => {
  const connection = await Connection.open(at.port);
  await connection.write('GET /left HTTP/1.1\r\nhost: a\r\nauthorization: Bearer sesame-1\r\n\r\n');
  await eventually('the stream is there', async () => (await at.fx.activeStreams()) > 0);
  connection.reset();
  await eventually('the stream is gone', async () => (await at.fx.activeStreams()) === 0);
  expect((await get(at.port, '/sink', [['authorization', 'Bearer sesame-1']])).status).toBe(200);
  expect(at.upstream.seen.has('/left')).toBe(false);
});
