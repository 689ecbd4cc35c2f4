/** The shortest proof that all parts fit: also run under other Nodes (TS_FILTER_NODE). */
import { expect, it } from 'vitest';
import { get, http1, pattern, type Seen } from '../fixture/index.js';
import { stage } from './support.js';

const at = stage({ filters: [{ name: 'hello' }, { name: 'touch' }, { name: 'replies' }, { name: 'upper' }] });

it('answers /hello through every filter of the chain', async () => {
  const answer = await get(at.port, '/hello', [['x-asked', 'by smoke']]);
  expect([answer.status, answer.text, answer.complete]).toEqual([200, 'HOLA MUNDO :)', true]);
  expect(answer.header('x-touch-response')).toBe('on');
  expect(
    at.fx.host.records.some(
      (record) => (record['headers'] as Record<string, string> | undefined)?.['x-asked'] === 'by smoke',
    ),
  ).toBe(true);
});

it('transforms both bodies of a streaming echo', async () => {
  const answer = await http1(at.port, {
    method: 'POST',
    path: '/echo',
    body: ['hello ', 20, 'streaming ', 20, 'world'],
  });
  expect([answer.status, answer.text, answer.complete]).toEqual([200, 'HELLO STREAMING WORLD', true]);
});

it('carries a megabyte each way', async () => {
  const answer = await http1(at.port, { method: 'POST', path: '/echo', body: pattern(1 << 20) });
  expect([answer.status, answer.length, answer.complete]).toEqual([200, 1 << 20, true]);
});

it('shows the upstream what the filter wrote', async () => {
  const seen = JSON.parse((await get(at.port, '/sink')).text.toLowerCase()) as Seen;
  expect(seen.headers.filter(([name]) => name === 'x-touch-request')).toEqual([['x-touch-request', 'on']]);
});

it('sends a local reply with both of its headers, through the other filters', async () => {
  const answer = await get(at.port, '/deny');
  expect([answer.status, answer.text, answer.all('x-reason')]).toEqual([403, 'FORBIDDEN\n', ['first', 'second']]);
});
