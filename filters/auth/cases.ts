import assert from 'node:assert/strict';
import type { TestCase } from 'envoy-ts-filter/testing';

export const config = { delay_ms: 5, tokens: { 'sesame-1': 'ali' } };

export const cases: readonly TestCase[] = [
  {
    name: 'a known token goes on with the name of its user, and with no other',
    path: '/auth/',
    request: () => ({ headers: { authorization: 'Bearer sesame-1', 'x-user': 'root' } }),
    check({ status, upstream }) {
      assert.deepEqual([status, upstream?.headers.getAll('x-user')], [200, ['ali']]);
    },
  },
  {
    name: 'without a token the answer is a challenge, and the upstream is not asked',
    path: '/auth/',
    check({ status, headers, text, upstream, localReply }) {
      assert.deepEqual([status, headers.get('www-authenticate'), text], [401, 'Bearer', 'unauthorized\n']);
      assert.deepEqual([upstream, localReply], [undefined, true]);
    },
  },
  {
    name: 'a wrong token is told so',
    path: '/auth/',
    request: () => ({ method: 'HEAD', headers: { authorization: 'Bearer sesame-2' } }),
    check({ status, headers, body }) {
      const challenge = 'Bearer error="invalid_token"';
      assert.deepEqual([status, headers.get('www-authenticate'), body.length], [401, challenge, 0]);
    },
  },
];
