import { expect, it } from 'vitest';
import { get, http1 } from '../../test/fixture/index.js';
import { stage } from '../../test/e2e/support.js';

const stream = [
  'event: gre',
  'et\r\nid: 1\r\ndata: {"a":',
  '1}\r',
  '\n\r\n: a comment\n\ndata: two\ndata: lines\n\n',
  'data: {broken\n\ndata: cut off',
];
const at = stage({
  filters: [{ name: 'sse', config: { add: { via: 'envoy' } } }],
  upstream: {
    paths: {
      '/events': async (_req, res) => {
        res.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
        for (const piece of stream) {
          res.write(piece);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        res.end();
      },
    },
  },
});

it('changes events whatever pieces they come in', async () => {
  const answer = await get(at.port, '/events');
  expect([answer.complete, answer.text]).toEqual([
    true,
    'event: greet\nid: 1\ndata: {"a":1,"via":"envoy"}\n\ndata: two\ndata: lines\n\ndata: {broken\n\n',
  ]);
});

it('sends each event on as soon as it is in', async () => {
  const delays: number[] = [];
  const answer = await http1(at.port, {
    path: '/sse?n=5&ms=100',
    onPiece: (piece) => {
      const sent = Number(/"at":([\d.]+)/.exec(piece.toString())![1]);
      delays.push(performance.timeOrigin + performance.now() - sent);
    },
  });
  expect(answer.text.match(/"via":"envoy"/g)).toHaveLength(5);
  expect(delays).toHaveLength(5);
  expect(Math.max(...delays)).toBeLessThan(80);
});

it('leaves other responses alone', async () => {
  expect((await get(at.port, '/hello')).text).toBe('hola mundo :)');
});
