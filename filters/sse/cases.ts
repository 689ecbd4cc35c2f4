import assert from 'node:assert/strict';
import type { TestCase } from 'envoy-ts-filter/testing';

export const config = { add: { via: 'envoy' } };

const events = [
  'event: gre',
  'et\r\nid: 1\r\ndata: {"a":',
  5,
  '1}\r',
  '\n\r\n: a comment\n\n',
  'data: two\ndata: lines\n\n',
];

export const cases: readonly TestCase[] = [
  {
    name: 'events are changed, whatever pieces they come in',
    path: '/sse/',
    request: () => ({
      upstream: { headers: { 'content-type': 'text/event-stream; charset=utf-8' }, body: [...events, 'data: cut off'] },
    }),
    check({ text, complete }) {
      const expected = 'event: greet\nid: 1\ndata: {"a":1,"via":"envoy"}\n\ndata: two\ndata: lines\n\n';
      assert.deepEqual([text, complete], [expected, true]);
    },
  },
  {
    name: 'other answers are left alone',
    path: '/sse/',
    request: () => ({ upstream: { headers: { 'content-type': 'text/plain' }, body: 'data: {}\n\n' } }),
    check: ({ text, headers }) => assert.deepEqual([text, headers.get('content-length')], ['data: {}\n\n', '10']),
  },
];
