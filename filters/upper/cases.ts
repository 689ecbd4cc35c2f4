import assert from 'node:assert/strict';
import type { TestCase, Upstream } from 'envoy-ts-filter/testing';

const echo: Upstream = (request) => ({ body: request.body });

export const cases: readonly TestCase[] = [
  {
    name: 'upper-cases a body both ways, whatever pieces it comes in',
    path: '/upper/',
    request: () => ({ body: ['ab', 1, 'cdefghijk', 'l\xe9'], upstream: echo }),
    check({ text, upstream, complete }) {
      assert.deepEqual([text, upstream?.text, complete], ['ABCDEFGHIJKL\xe9', 'ABCDEFGHIJKL\xe9', true]);
    },
  },
  {
    name: 'a small answer keeps a right length',
    path: '/upper/',
    request: () => ({ upstream: { body: 'hello' } }),
    check({ text, headers }) {
      assert.equal(text, 'HELLO');
      assert.ok(['5', undefined].includes(headers.get('content-length')));
    },
  },
  {
    name: 'trailers follow their body',
    path: '/upper/',
    request: () => ({ body: ['a'], trailers: { 'x-t': '1' }, upstream: { body: ['b'], trailers: { 'x-u': '2' } } }),
    check({ text, trailers, upstream }) {
      assert.deepEqual([text, trailers?.get('x-u')], ['B', '2']);
      assert.deepEqual([upstream?.text, upstream?.trailers?.get('x-t')], ['A', '1']);
    },
  },
  {
    name: 'an upstream that resets cuts the answer',
    path: '/upper/',
    request: () => ({ upstream: { body: broken() } }),
    check: ({ status, text, complete }) => assert.deepEqual([status, text, complete], [200, 'SOME', false]),
  },
  {
    name: 'an answer without a body has none',
    path: '/upper/',
    request: () => ({ upstream: { status: 304, headers: { etag: '"1"' } } }),
    check: ({ status, body, headers }) => assert.deepEqual([status, body.length, headers.get('etag')], [304, 0, '"1"']),
  },
];

function* broken(): Generator<string | number> {
  yield 'some';
  yield 100;
  throw new Error('gone');
}
