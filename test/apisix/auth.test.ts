/** key-auth, basic-auth, jwt-auth: cases of APISIX's documentation and tests. */
import { generateKeyPairSync } from 'node:crypto';
import { SignJWT } from 'jose';
import { describe, expect, it } from 'vitest';
import { Gateway } from './gateway.js';
import { headers, table } from './table.js';

const consumer = (plugin: string, conf: object, more: object = {}) => ({
  consumers: [
    { username: 'jack', plugins: { [plugin]: conf }, labels: { custom_id: '495aec6a' }, ...more },
    { username: 'anonymous' },
  ],
});

const byKey = { config: consumer('key-auth', { key: 'auth-one' }) };
table(
  'key-auth',
  {
    'a key that is known': {
      conf: {},
      ...byKey,
      given: headers({ apikey: 'auth-one' }),
      upstream: { 'x-consumer-username': 'jack', 'x-consumer-custom-id': '495aec6a', apikey: 'auth-one' },
    },
    'one that is not': {
      conf: {},
      ...byKey,
      given: headers({ apikey: '123' }),
      status: 401,
      body: '{"message":"Invalid API key in request"}\n',
      headers: { 'www-authenticate': 'apikey realm="key"', 'content-type': 'application/json' },
      upstream: false,
    },
    none: { conf: {}, ...byKey, status: 401, body: '{"message":"Missing API key in request"}\n', upstream: false },
    'a header of another name': {
      conf: { header: 'Authorization' },
      ...byKey,
      given: headers({ authorization: 'auth-one' }),
      upstream: {},
    },
    'in the query': {
      conf: { query: 'auth' },
      ...byKey,
      given: { path: '/hello?auth=auth-one' },
      upstream: { ':path': '/hello?auth=auth-one' },
    },
    'hide_credentials: the header': {
      conf: { hide_credentials: true },
      ...byKey,
      given: headers({ apikey: 'auth-one', test: 'auth-two' }),
      upstream: { apikey: undefined, test: 'auth-two' },
    },
    'hide_credentials: the argument stays when the header was the key': {
      conf: { hide_credentials: true },
      ...byKey,
      given: { path: '/echo?apikey=auth-one', ...headers({ apikey: 'auth-one' }) },
      upstream: { apikey: undefined, ':path': '/echo?apikey=auth-one' },
    },
    'hide_credentials: the argument, and others stay': {
      conf: { query: 'auth', hide_credentials: true },
      ...byKey,
      given: { path: '/echo?auth=auth-one&test=auth%20two' },
      upstream: { ':path': '/echo?test=auth%20two' },
    },
    'a realm': {
      conf: { realm: 'my-custom-realm' },
      ...byKey,
      status: 401,
      headers: { 'www-authenticate': 'apikey realm="my-custom-realm"' },
    },
    'an anonymous consumer': {
      conf: { anonymous_consumer: 'anonymous' },
      ...byKey,
      given: headers({ 'x-consumer-username': 'root', 'x-consumer-custom-id': '1' }),
      upstream: { 'x-consumer-username': 'anonymous', 'x-consumer-custom-id': undefined },
    },
    'an anonymous consumer that is not there': {
      conf: { anonymous_consumer: 'not-found' },
      ...byKey,
      status: 401,
      body: '{"message":"Invalid user authorization"}\n',
      headers: { 'www-authenticate': 'apikey realm="key"' },
    },
    'a wrong key that falls back to anonymous is hidden wherever it was': {
      conf: { query: 'auth', anonymous_consumer: 'anonymous', hide_credentials: true },
      ...byKey,
      given: { path: '/x?auth=invalid-key', ...headers({ apikey: 'invalid-key' }) },
      upstream: { ':path': '/x', apikey: undefined, 'x-consumer-username': 'anonymous' },
    },
  },
  [
    [{ header: 1 }, 'property "header" validation failed: wrong type: expected string, got number'],
    [
      { hide_credentials: 'yes' },
      'property "hide_credentials" validation failed: wrong type: expected boolean, got string',
    ],
  ],
);

const basic = (text: string) => headers({ authorization: `Basic ${Buffer.from(text).toString('base64')}` });
const byName = { config: consumer('basic-auth', { username: 'foo', password: 'bar' }) };
table(
  'basic-auth',
  {
    'a name and its password': {
      conf: {},
      ...byName,
      given: basic('foo:bar'),
      upstream: { 'x-consumer-username': 'jack' },
    },
    nothing: {
      conf: {},
      ...byName,
      status: 401,
      body: '{"message":"Missing authorization in request"}\n',
      headers: { 'www-authenticate': 'Basic realm="basic"' },
    },
    'another scheme': {
      conf: {},
      ...byName,
      given: headers({ authorization: 'Bad_header YmFyOmJhcgo=' }),
      status: 401,
      body: '{"message":"Invalid authorization in request"}\n',
    },
    'bad base64': {
      conf: {},
      ...byName,
      given: headers({ authorization: 'Basic aca_a' }),
      status: 401,
      body: '{"message":"Invalid authorization in request"}\n',
    },
    'no password': {
      conf: {},
      ...byName,
      given: headers({ authorization: 'Basic YmFy' }),
      status: 401,
      body: '{"message":"Invalid authorization in request"}\n',
    },
    'another name': {
      conf: {},
      ...byName,
      given: basic('bar:bar\n'),
      status: 401,
      body: '{"message":"Invalid user authorization"}\n',
    },
    'another password': {
      conf: {},
      ...byName,
      given: basic('foo:foo\n'),
      status: 401,
      body: '{"message":"Invalid user authorization"}\n',
    },
    'the scheme in any case': {
      conf: {},
      ...byName,
      given: headers({ authorization: 'bASiC Zm9vOmJhcg==' }),
      upstream: { authorization: 'bASiC Zm9vOmJhcg==' },
    },
    hide_credentials: {
      conf: { hide_credentials: true },
      ...byName,
      given: basic('foo:bar'),
      upstream: { authorization: undefined },
    },
    'a realm': {
      conf: { realm: 'secure-zone' },
      ...byName,
      status: 401,
      headers: { 'www-authenticate': 'Basic realm="secure-zone"' },
    },
    'an anonymous consumer': {
      conf: { anonymous_consumer: 'anonymous' },
      ...byName,
      upstream: { 'x-consumer-username': 'anonymous' },
    },
  },
  [[{ realm: 1 }, 'property "realm" validation failed: wrong type: expected string, got number']],
);

const HS = { key: 'user-key', secret: 'my-secret-key' };
// Tokens of APISIX's own tests, signed there.
const GOOD =
  'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJrZXkiOiJ1c2VyLWtleSIsImV4cCI6MTg3OTMxODU0MX0.fNtFJnNmJgzbiYmGB0Yjvm-l6A6M4jRV1l4mnVFSYjs';
const EXPIRED =
  'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJrZXkiOiJ1c2VyLWtleSIsImV4cCI6MTU2Mzg3MDUwMX0.pPNVvh-TQsdDzorRwa-uuiLYiEBODscp9wv0cwD6c68';
const byToken = { config: consumer('jwt-auth', HS) };
const bearer = (token: string) => headers({ authorization: `Bearer ${token}` });
const sign = (alg: string, key: Parameters<SignJWT['sign']>[0], claims = {}): Promise<string> =>
  new SignJWT({ key: 'user-key', ...claims }).setProtectedHeader({ alg }).sign(key);
const secret = Buffer.from('my-secret-key');
const now = Math.floor(Date.now() / 1000);
const failed = { status: 401, body: '{"message":"failed to verify jwt"}\n', upstream: false } as const;

table(
  'jwt-auth',
  {
    'in the header': { conf: {}, ...byToken, given: bearer(GOOD), upstream: { 'x-consumer-username': 'jack' } },
    'without Bearer': { conf: {}, ...byToken, given: headers({ authorization: GOOD }), upstream: {} },
    'with bearer': { conf: {}, ...byToken, given: headers({ authorization: `bearer ${GOOD}` }), upstream: {} },
    'in the query': { conf: {}, ...byToken, given: { path: `/hello?jwt=${GOOD}` }, upstream: {} },
    'in a cookie': { conf: {}, ...byToken, given: headers({ cookie: `a=b; jwt=${GOOD}` }), upstream: {} },
    'in places of other names': {
      conf: { header: 'jwt-header', query: 'jwt-query', cookie: 'jwt-cookie' },
      ...byToken,
      given: headers({ 'jwt-header': `Bearer ${GOOD}` }),
      upstream: { 'jwt-header': `Bearer ${GOOD}` },
    },
    none: {
      conf: {},
      ...byToken,
      status: 401,
      body: '{"message":"Missing JWT token in request"}\n',
      headers: { 'www-authenticate': 'Bearer realm="jwt"' },
    },
    'one that is none': {
      conf: {},
      ...byToken,
      given: bearer(`invalid-${GOOD}`),
      status: 401,
      body: '{"message":"JWT token invalid"}\n',
    },
    expired: { conf: {}, ...byToken, given: bearer(EXPIRED), ...failed },
    'expired, with an empty claims_to_verify': {
      conf: { claims_to_verify: [] },
      ...byToken,
      given: bearer(EXPIRED),
      ...failed,
    },
    'expired, when only nbf counts': {
      conf: { claims_to_verify: ['nbf'] },
      ...byToken,
      given: bearer(EXPIRED),
      upstream: {},
    },
    'not yet valid': {
      conf: {},
      ...byToken,
      given: bearer(await sign('HS256', secret, { nbf: now + 1000 })),
      ...failed,
    },
    'within the grace period': {
      conf: {},
      config: consumer('jwt-auth', { ...HS, lifetime_grace_period: 100 }),
      given: bearer(await sign('HS256', secret, { exp: now - 50 })),
      upstream: {},
    },
    'without exp': { conf: {}, ...byToken, given: bearer(await sign('HS256', secret)), upstream: {} },
    'another key': {
      conf: {},
      ...byToken,
      given: bearer(await sign('HS256', secret, { key: 'other' })),
      status: 401,
      body: '{"message":"Invalid user key in JWT token"}\n',
    },
    'a wrong signature': {
      conf: {},
      ...byToken,
      given: bearer(await sign('HS256', Buffer.from('another secret'))),
      ...failed,
    },
    'a secret in base64': {
      conf: {},
      config: consumer('jwt-auth', { key: 'user-key', secret: secret.toString('base64'), base64_secret: true }),
      given: bearer(GOOD),
      upstream: {},
    },
    HS512: {
      conf: {},
      config: consumer('jwt-auth', { ...HS, algorithm: 'HS512' }),
      given: bearer(await sign('HS512', secret)),
      upstream: {},
    },
    key_claim_name: {
      conf: { key_claim_name: 'iss' },
      ...byToken,
      given: bearer(await sign('HS256', secret, { iss: 'user-key', key: 1 })),
      upstream: {},
    },
    'hide_credentials: the header': {
      conf: { hide_credentials: true },
      ...byToken,
      given: bearer(GOOD),
      upstream: { authorization: undefined },
    },
    'hide_credentials: the argument': {
      conf: { hide_credentials: true },
      ...byToken,
      given: { path: `/x?foo=bar&hello=world&jwt=${GOOD}` },
      upstream: { ':path': '/x?foo=bar&hello=world' },
    },
    'hide_credentials: the cookie': {
      conf: { hide_credentials: true },
      ...byToken,
      given: headers({ cookie: `hello=world; jwt=${GOOD}; foo=bar` }),
      upstream: { cookie: 'hello=world; foo=bar' },
    },
    'an anonymous consumer': {
      conf: { anonymous_consumer: 'anonymous' },
      ...byToken,
      given: bearer(EXPIRED),
      upstream: { 'x-consumer-username': 'anonymous' },
    },
  },
  [
    [
      { claims_to_verify: ['iat'] },
      'property "claims_to_verify" validation failed: failed to validate item 1: matches none of the enum values',
    ],
    [{ store_in_ctx: 1 }, 'property "store_in_ctx" validation failed: wrong type: expected boolean, got number'],
  ],
);

const PAIRS = [
  ['RS256', generateKeyPairSync('rsa', { modulusLength: 2048 })],
  ['ES256', generateKeyPairSync('ec', { namedCurve: 'P-256' })],
  ['EdDSA', generateKeyPairSync('ed25519')],
] as const;
describe('jwt-auth', () => {
  it.each(PAIRS)(
    'verifies %s, and refuses a token of another algorithm',
    async (algorithm, { privateKey, publicKey }) => {
      const public_key = publicKey.export({ type: 'spki', format: 'pem' }) as string;
      const gateway = await Gateway.of({
        plugins: [{ name: 'jwt-auth' }],
        ...consumer('jwt-auth', { key: 'user-key', algorithm, public_key }),
      });
      expect((await gateway.send(bearer(await sign(algorithm, privateKey)))).status).toBe(200);
      // The public key is no secret: signed with its text, a token must not pass.
      expect((await gateway.send(bearer(await sign('HS256', Buffer.from(public_key))))).status).toBe(401);
    },
  );
});

it.each([
  ['key-auth', { key: 123 }, 'property "key" validation failed: wrong type: expected string, got number'],
  ['key-auth', {}, 'property "key" is required'],
  [
    'basic-auth',
    { username: 123, password: 'bar' },
    'property "username" validation failed: wrong type: expected string, got number',
  ],
  ['basic-auth', { username: 'foo' }, 'property "password" is required'],
  ['jwt-auth', {}, 'property "key" is required'],
  [
    'jwt-auth',
    { key: '', secret: 'x' },
    'property "key" validation failed: string too short, expected at least 1, got 0',
  ],
  [
    'jwt-auth',
    { key: 'a', secret: '' },
    'property "secret" validation failed: string too short, expected at least 1, got 0',
  ],
  ['jwt-auth', { key: 'a' }, 'property "secret" is required when using HS based algorithms'],
  [
    'jwt-auth',
    { key: 'a', secret: '{^c0j4&]2!=J=', base64_secret: true },
    'base64_secret required but the secret is not in base64 format',
  ],
  [
    'jwt-auth',
    { key: 'a', algorithm: 'RS256' },
    'failed to validate dependent schema for "algorithm": value should match only one schema, but matches none',
  ],
])("refuses a consumer's %s %j", async (plugin, conf, message) => {
  const config = { plugins: [{ name: plugin }], ...consumer(plugin, conf) };
  await expect(Gateway.of(config)).rejects.toThrow(
    `failed to check the configuration of plugin ${plugin} err: ${message}`,
  );
});

it('refuses a configuration that is no object', async () => {
  const config = { consumers: [{ username: 'a', plugins: { 'basic-auth': 'blah' } }] };
  await expect(Gateway.of(config)).rejects.toThrow('invalid plugin conf "blah" for plugin [basic-auth]');
});
