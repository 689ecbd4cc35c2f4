import assert from 'node:assert/strict';
import type { TestCase } from 'envoy-ts-filter/testing';

export const config = { chunks: 3, delay_ms: 2 };

export const cases: readonly TestCase[] = [
  {
    name: 'answers line by line, and the upstream is never asked',
    path: '/stream-reply/',
    check({ status, text, headers, complete, upstream }) {
      assert.deepEqual([status, text, complete], [200, 'chunk 1 of 3\nchunk 2 of 3\nchunk 3 of 3\n', true]);
      assert.deepEqual([headers.get('content-type'), upstream], ['text/plain; charset=utf-8', undefined]);
    },
  },
  {
    name: 'the answer to HEAD has no body',
    path: '/stream-reply/',
    request: () => ({ method: 'HEAD' }),
    check: ({ status, body, complete }) => assert.deepEqual([status, body.length, complete], [200, 0, true]),
  },
];
