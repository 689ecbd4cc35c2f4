import assert from 'node:assert/strict';
import type { TestCase } from 'envoy-ts-filter/testing';

export const config = { ret_code: 302, uri: '/redirected/path' };

export const cases: readonly TestCase[] = [
  {
    name: 'every request is answered with the location',
    path: '/redirect/',
    check({ status, headers, body, upstream, localReply }) {
      assert.deepEqual([status, headers.get('location'), body.length], [302, '/redirected/path', 0]);
      assert.deepEqual([upstream, localReply], [undefined, true]);
    },
  },
  {
    name: 'one with a body, too',
    path: '/redirect/',
    request: () => ({ body: ['some', 'body'] }),
    check: ({ status, headers }) => assert.deepEqual([status, headers.get('location')], [302, '/redirected/path']),
  },
];
