import { expect, it } from 'vitest';
import { Connection, eventually, http1 } from '../../test/fixture/index.js';
import { stage } from '../../test/e2e/support.js';

const at = stage({ filters: [{ name: 'stream-reply', config: { chunks: 5, delay_ms: 100 } }] });

it('answers line by line, each when it is made', async () => {
  const arrivals: number[] = [];
  const answer = await http1(at.port, { path: '/', onPiece: () => void arrivals.push(performance.now()) });
  const lines = [1, 2, 3, 4, 5].map((line) => `chunk ${line} of 5\n`);
  expect([answer.status, answer.complete, answer.text]).toEqual([200, true, lines.join('')]);
  expect(arrivals.at(-1)! - arrivals[0]!).toBeGreaterThan(300);
  expect(at.upstream.seen.size).toBe(0);
});

it('ends with its client', async () => {
  const connection = await Connection.open(at.port);
  await connection.write('GET /left HTTP/1.1\r\nhost: a\r\n\r\n');
  await connection.readHead();
  connection.reset();
  await eventually('the stream is gone', async () => (await at.fx.activeStreams()) === 0);
});
