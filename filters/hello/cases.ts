import assert from 'node:assert/strict';
import type { TestCase } from 'envoy-ts-filter/testing';

export const cases: readonly TestCase[] = [
  {
    name: 'a request goes on as it is, and so does its answer',
    path: '/hello/a?b=c',
    request: () => ({
      headers: [
        ['x-twice', 'a'],
        ['x-twice', 'b'],
      ],
      upstream: { status: 201, headers: { 'x-up': '1' }, body: 'hola' },
    }),
    check({ status, text, headers, upstream, localReply }) {
      assert.deepEqual([status, text, headers.get('x-up'), localReply], [201, 'hola', '1', false]);
      assert.deepEqual([upstream?.method, upstream?.path], ['GET', '/hello/a?b=c']);
      assert.deepEqual(upstream?.headers.getAll('x-twice').join(), 'a,b');
    },
  },
  {
    name: 'HEAD, 204 and trailers',
    path: '/hello/',
    request: () => ({ method: 'HEAD', upstream: { body: 'hola' } }),
    check({ status, body, headers }) {
      assert.deepEqual([status, body.length, headers.get('content-length')], [200, 0, '4']);
    },
  },
];
