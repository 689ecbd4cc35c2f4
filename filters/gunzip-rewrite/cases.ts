import assert from 'node:assert/strict';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { TestCase, TestAnswer } from 'envoy-ts-filter/testing';

export const config = { from: 'needle', to: 'thimble' };

const text = 'find the needle, nee needles in the haystack\n'.repeat(200);
const changed = text.replaceAll('needle', 'thimble');
const compressed = gzipSync(text);
const gzipped: TestAnswer = {
  headers: { 'content-encoding': 'gzip', etag: '"1"', vary: 'origin' },
  body: [compressed.subarray(0, 20), compressed.subarray(20, 21), 1, compressed.subarray(21)],
};

export const cases: readonly TestCase[] = [
  {
    name: 'replaces text for a client that takes gzip',
    path: '/gunzip-rewrite/',
    request: () => ({ headers: { 'accept-encoding': 'br, gzip' }, upstream: gzipped }),
    check({ body, headers, complete }) {
      assert.deepEqual([gunzipSync(body).toString(), complete], [changed, true]);
      assert.deepEqual([headers.get('content-encoding'), headers.get('etag')], ['gzip', 'W/"1"']);
    },
  },
  {
    name: 'sends a client without gzip the plain text',
    path: '/gunzip-rewrite/',
    request: () => ({ upstream: gzipped }),
    check: ({ text, headers }) => assert.deepEqual([text, headers.get('content-encoding')], [changed, undefined]),
  },
  {
    name: 'passes what is not gzip as it is',
    path: '/gunzip-rewrite/',
    request: () => ({ upstream: { headers: { etag: '"1"' }, body: 'needle' } }),
    check: ({ text, headers }) => assert.deepEqual([text, headers.get('etag')], ['needle', '"1"']),
  },
  {
    name: 'fails an answer whose gzip is broken, before its headers have gone or behind them',
    path: '/gunzip-rewrite/',
    request: () => ({ upstream: { ...gzipped, body: compressed.subarray(0, -9) } }),
    check({ status, complete, localReply }) {
      assert.ok(status === 500 ? localReply : !complete);
    },
  },
];
