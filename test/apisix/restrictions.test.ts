/** ip-, referer- and ua-restriction, uri-blocker, csrf, cors: cases of APISIX's documentation and tests. */
import { expect, it } from 'vitest';
import { Gateway } from './gateway.js';
import { headers, table } from './table.js';

const LIST = ['127.0.0.0/24', '113.74.26.106'];
const refusedIp = { status: 403, body: '{"message":"Your IP address is not allowed"}\n', upstream: false } as const;
table(
  'ip-restriction',
  {
    'in a range of the whitelist': { conf: { whitelist: LIST }, upstream: {} },
    'in the whitelist': { conf: { whitelist: LIST }, given: { remote: '113.74.26.106' }, upstream: {} },
    'not in the whitelist': { conf: { whitelist: LIST }, given: { remote: '114.114.114.114' }, ...refusedIp },
    'IPv6 not in the whitelist': { conf: { whitelist: LIST }, given: { remote: '2001:db8::2' }, ...refusedIp },
    'in a range of the blacklist': { conf: { blacklist: LIST }, ...refusedIp },
    'in the blacklist': { conf: { blacklist: LIST }, given: { remote: '113.74.26.106' }, ...refusedIp },
    'not in the blacklist': { conf: { blacklist: LIST }, given: { remote: '114.114.114.114' }, upstream: {} },
    'IPv6 in the blacklist': { conf: { blacklist: ['::1', 'fe80::/32'] }, given: { remote: '::1' }, ...refusedIp },
    'IPv6 in a range of the blacklist': {
      conf: { blacklist: ['::1', 'fe80::/32'] },
      given: { remote: 'fe80::1:1' },
      ...refusedIp,
    },
    'IPv4 written as IPv6': { conf: { blacklist: LIST }, given: { remote: '::ffff:127.0.0.1' }, ...refusedIp },
    'a message': {
      conf: { blacklist: LIST, message: 'Do you want to do something bad?' },
      status: 403,
      body: '{"message":"Do you want to do something bad?"}\n',
    },
    response_code: { conf: { blacklist: LIST, response_code: 404 }, status: 404 },
  },
  [
    [{}, 'value should match only one schema, but matches none'],
    [{ blacklist: [] }, 'property "blacklist" validation failed: expect array to have at least 1 items'],
    [
      { whitelist: ['172.17.40.0/24'], blacklist: ['10.255.0.0/16'] },
      'value should match only one schema, but matches both schemas 1 and 2',
    ],
    [
      { whitelist: ['10.255.256.0/24'] },
      'property "whitelist" validation failed: failed to validate item 1: object matches none of the required',
    ],
    [
      { whitelist: ['10.255.254.0/38'] },
      'property "whitelist" validation failed: failed to validate item 1: object matches none of the required',
    ],
    [
      { whitelist: ['::1/129'] },
      'property "whitelist" validation failed: failed to validate item 1: object matches none of the required',
    ],
    [
      { whitelist: ['::1'], message: '' },
      'property "message" validation failed: string too short, expected at least 1, got 0',
    ],
    [
      { whitelist: ['::1'], message: 'a'.repeat(1025) },
      'property "message" validation failed: string too long, expected at most 1024, got 1025',
    ],
    [
      { whitelist: ['::1'], response_code: 409 },
      'property "response_code" validation failed: expected 409 to be at most 404',
    ],
  ],
);

const referers = { whitelist: ['*.xx.com', 'yy.com'] };
const referer = (value: string) => headers({ referer: value });
const noReferer = { status: 403, body: '{"message":"Your referer host is not allowed"}\n', upstream: false } as const;
table(
  'referer-restriction',
  {
    'in the whitelist, by wildcard': { conf: referers, given: referer('http://www.xx.com'), upstream: {} },
    'in the whitelist': { conf: referers, given: referer('https://yy.com/am'), upstream: {} },
    'not in the whitelist': { conf: referers, given: referer('https://www.yy.com/am'), ...noReferer },
    none: { conf: referers, ...noReferer },
    'none, and that may be': { conf: { ...referers, bypass_missing: true }, upstream: {} },
    'what is no URL is none': {
      conf: { ...referers, bypass_missing: true },
      given: referer('www.yy.com'),
      upstream: {},
    },
    'in the blacklist': {
      conf: { blacklist: ['*.xx.com'], message: 'Your referer host is deny' },
      given: referer('http://www.xx.com'),
      status: 403,
      body: '{"message":"Your referer host is deny"}\n',
    },
    'not in the blacklist': { conf: { blacklist: ['*.xx.com'] }, given: referer('https://yy.com'), upstream: {} },
    'a name before the host is none': {
      conf: referers,
      given: referer('https://yy.com:x@evil.test/'),
      ...noReferer,
    },
    'a port is not of the host': { conf: referers, given: referer('https://yy.com:8443/'), upstream: {} },
  },
  [
    [
      { whitelist: ['x.*'] },
      'property "whitelist" validation failed: failed to validate item 1: failed to match pattern',
    ],
    [
      { whitelist: ['~y.xn'] },
      'property "whitelist" validation failed: failed to validate item 1: failed to match pattern',
    ],
    [
      { whitelist: ['xx.com'], blacklist: ['yy.com'] },
      'value should match only one schema, but matches both schemas 1 and 2',
    ],
    [{}, 'value should match only one schema, but matches none'],
  ],
);

const deny = { denylist: ['my-bot1', '(Baiduspider)/(\\d+)\\.(\\d+)'] };
const allow = { allowlist: deny.denylist };
const noAgent = { status: 403, body: '{"message":"Not allowed"}\n', upstream: false } as const;
const agents = (...values: string[]) => ({ headers: values.map((value) => ['user-agent', value] as const) });
table(
  'ua-restriction',
  {
    'in the denylist': { conf: deny, given: agents('my-bot1'), ...noAgent },
    'one of several in the denylist': { conf: deny, given: agents('my-bot2', 'my-bot1'), ...noAgent },
    'matches the denylist': { conf: deny, given: agents('Baiduspider/3.0'), ...noAgent },
    'not in the denylist': { conf: deny, given: agents('foo/bar'), upstream: {} },
    'in the allowlist': { conf: allow, given: agents('my-bot1'), upstream: {} },
    'matches the allowlist': { conf: allow, given: agents('Baiduspider/3.0'), upstream: {} },
    'not in the allowlist': { conf: allow, given: agents('foo/bar'), ...noAgent },
    'one of several in the allowlist': { conf: allow, given: agents('foo/bar', 'my-bot1'), upstream: {} },
    none: { conf: allow, ...noAgent },
    'none, and that may be': { conf: { ...deny, bypass_missing: true }, upstream: {} },
    'a message': {
      conf: { ...deny, message: 'Do you want to do something bad?' },
      given: agents('Baiduspider/1.0'),
      status: 403,
      body: '{"message":"Do you want to do something bad?"}\n',
    },
  },
  [
    [{ ...allow, ...deny }, 'value should match only one schema, but matches both schemas 1 and 2'],
    [{}, 'value should match only one schema, but matches none'],
    [
      { bypass_missing: 'foo', ...deny },
      'property "bypass_missing" validation failed: wrong type: expected boolean, got string',
    ],
    [{ allowlist: 'my-bot1' }, 'property "allowlist" validation failed: wrong type: expected array, got string'],
    [{ denylist: 100 }, 'property "denylist" validation failed: wrong type: expected array, got number'],
    [{ ...deny, message: 100 }, 'property "message" validation failed: wrong type: expected string, got number'],
    [{ denylist: ['('] }, 'pcre_compile() failed'],
  ],
);

const blocked = { status: 403, body: '', upstream: false } as const;
table(
  'uri-blocker',
  {
    'a rule that matches': { conf: { block_rules: ['aa'] }, given: { path: '/hello?aa=1' }, ...blocked },
    'one that does not': { conf: { block_rules: ['aa'] }, given: { path: '/hello?bb=2' }, upstream: {} },
    several: { conf: { block_rules: ['aa', 'bb', 'c\\d+'] }, given: { path: '/hello?c1=2' }, ...blocked },
    'none of several': { conf: { block_rules: ['aa', 'bb', 'c\\d+'] }, given: { path: '/hello?cc=2' }, upstream: {} },
    SQL: {
      conf: { block_rules: ['select.+(from|limit)', '(?:(union(.*?)select))'] },
      given: { path: '/hello?name=;select%20from%20sys' },
      ...blocked,
    },
    'a message': {
      conf: { block_rules: ['aa'], rejected_msg: 'access is not allowed' },
      given: { path: '/hello?aa=1' },
      status: 403,
      body: '{"error_msg":"access is not allowed"}\n',
    },
    'a code': { conf: { block_rules: ['aa'], rejected_code: 404 }, given: { path: '/aa' }, status: 404 },
    'the case does not matter': {
      conf: { block_rules: ['AA'], case_insensitive: true },
      given: { path: '/hello?aa=1' },
      ...blocked,
    },
    'and does': { conf: { block_rules: ['AA'] }, given: { path: '/hello?aa=1' }, upstream: {} },
    'paths that mean the same': {
      conf: { block_rules: ['^/internal/'] },
      given: { path: '/./internal/x?aa=1' },
      ...blocked,
    },
    'encoded paths': { conf: { block_rules: ['^/internal/'] }, given: { path: '/%69nternal//x' }, ...blocked },
  },
  [
    [{ block_rules: ['.+('] }, 'pcre_compile() failed'],
    [{ block_rules: ['^a', '^b('] }, 'pcre_compile() failed'],
    [{}, 'property "block_rules" is required'],
    [
      { block_rules: ['a'], rejected_code: 199 },
      'property "rejected_code" validation failed: expected 199 to be at least 200',
    ],
    [
      { block_rules: ['a'], rejected_msg: '' },
      'property "rejected_msg" validation failed: string too short, expected at least 1, got 0',
    ],
  ],
);

// Tokens of APISIX's own tests, signed there with `userkey`.
const token =
  'eyJyYW5kb20iOjAuNDI5ODYzMTk3MTYxMzksInNpZ24iOiI0ODRlMDY4NTkxMWQ5NmJhMDc5YzQ1ZGI0OTE2NmZkYjQ0ODhjODVkNWQ0NmE1Y2FhM2UwMmFhZDliNjE5OTQ2IiwiZXhwaXJlcyI6MjY0MzExOTYyNH0=';
const expired =
  'eyJyYW5kb20iOjAuMDY3NjAxMDQwMDM5MzI4LCJzaWduIjoiOTE1Yjg2MjBhNTg1N2FjZmIzNjIxOTNhYWVlN2RkYjY5NmM0NWYwZjE5YjY5Zjg3NjM4ZTllNGNjNjYxYjQwNiIsImV4cGlyZXMiOjE2NDMxMjAxOTN9';
const key = { key: 'userkey' };
const post = (named: Record<string, string>) => ({ method: 'POST', ...headers(named) });
const both = (value: string) => post({ 'apisix-csrf-token': value, cookie: `apisix-csrf-token=${value}` });
const badToken = { status: 401, body: '{"error_msg":"Failed to verify the csrf token signature"}\n' };
table(
  'csrf',
  {
    'a cookie with every answer': {
      conf: key,
      headers: { 'set-cookie': /apisix-csrf-token=[\w+/=]+;path=\/;SameSite=Lax;Expires=.* GMT/ },
    },
    'no header': {
      conf: key,
      given: { method: 'POST' },
      status: 401,
      body: '{"error_msg":"no csrf token in headers"}\n',
      upstream: false,
    },
    'only the header': {
      conf: key,
      given: post({ 'apisix-csrf-token': 'x' }),
      status: 401,
      body: '{"error_msg":"no csrf cookie"}\n',
    },
    'only the cookie': {
      conf: key,
      given: post({ cookie: 'apisix-csrf-token=x' }),
      status: 401,
      body: '{"error_msg":"no csrf token in headers"}\n',
    },
    'two that differ': {
      conf: key,
      given: post({ 'apisix-csrf-token': 'x', cookie: 'apisix-csrf-token=y' }),
      status: 401,
      body: '{"error_msg":"csrf token mismatch"}\n',
    },
    'a token of APISIX': { conf: key, given: both(token), upstream: {} },
    'one that is no token': { conf: key, given: both('abc'), ...badToken },
    'one of another key': { conf: { key: 'other' }, given: both(token), ...badToken },
    'one that has expired': { conf: key, given: both(expired), ...badToken },
    'one that has expired, which does not matter': { conf: { ...key, expires: 0 }, given: both(expired), upstream: {} },
    'another name': {
      conf: { ...key, name: '_csrf' },
      given: post({ _csrf: token, cookie: `_csrf=${token}` }),
      headers: { 'set-cookie': /_csrf=.*/ },
      upstream: {},
    },
  },
  [
    [{}, 'property "key" is required'],
    [{ key: 1 }, 'property "key" validation failed: wrong type: expected string, got number'],
  ],
);

it("csrf: the cookie's token passes", async () => {
  const gateway = await Gateway.of({ plugins: [{ name: 'csrf', conf: key }] });
  const cookie = (await gateway.send()).response.header('set-cookie')!;
  const own = /=([^;]+);/.exec(cookie)![1]!;
  expect((await gateway.send(both(own))).status).toBe(200);
});

const cors = {
  allow_origins: 'http://sub.domain.com,http://sub2.domain.com',
  allow_methods: 'GET,POST',
  allow_headers: 'headr1,headr2',
  expose_headers: 'ex-headr1,ex-headr2',
  max_age: 50,
  allow_credential: true,
};
const origin = (value: string) => headers({ origin: value });
const ALL = 'GET,POST,PUT,DELETE,PATCH,HEAD,OPTIONS,CONNECT,TRACE';
const nothing = {
  'access-control-allow-origin': undefined,
  'access-control-allow-methods': undefined,
  'access-control-max-age': undefined,
};
const metadata = {
  config: { plugin_metadata: { cors: { allow_origins: { key_1: 'https://domain.com', key_3: '**' } } } },
};
table(
  'cors',
  {
    'by default': {
      conf: {},
      headers: {
        'access-control-allow-origin': '*',
        vary: undefined,
        'access-control-allow-methods': '*',
        'access-control-allow-headers': '*',
        'access-control-expose-headers': undefined,
        'access-control-max-age': '5',
        'access-control-allow-credentials': undefined,
      },
    },
    'an origin that is listed': {
      conf: cors,
      given: { ...origin('http://sub2.domain.com'), upstream: { headers: [['vary', 'Via']] } },
      headers: {
        'access-control-allow-origin': 'http://sub2.domain.com',
        vary: 'Via, Origin',
        'access-control-allow-methods': 'GET,POST',
        'access-control-allow-headers': 'headr1,headr2',
        'access-control-expose-headers': 'ex-headr1,ex-headr2',
        'access-control-max-age': '50',
        'access-control-allow-credentials': 'true',
      },
    },
    'one that is not': { conf: cors, given: origin('http://sub3.domain.com'), headers: nothing, upstream: {} },
    'all, whatever they are': {
      conf: { allow_origins: '**', allow_methods: '**', allow_headers: '**', expose_headers: '*' },
      given: headers({ origin: 'https://sub.domain.com', 'access-control-request-headers': 'req-header1,req-header2' }),
      headers: {
        'access-control-allow-origin': 'https://sub.domain.com',
        vary: 'Origin',
        'access-control-allow-methods': ALL,
        'access-control-allow-headers': 'req-header1,req-header2',
        'access-control-expose-headers': '*',
      },
    },
    'all, without an origin': {
      conf: { allow_origins: '**', allow_methods: '**', allow_headers: '**' },
      headers: { 'access-control-allow-origin': '*', 'access-control-allow-headers': undefined },
    },
    'OPTIONS is answered here': {
      conf: {},
      given: { method: 'OPTIONS' },
      status: 200,
      body: '',
      upstream: false,
      headers: { 'access-control-allow-origin': '*' },
    },
    'also where another plugin refuses': {
      conf: { allow_origins: '**' },
      plugins: [{ name: 'key-auth' }],
      given: origin('https://sub.domain.com'),
      status: 401,
      headers: { 'access-control-allow-origin': 'https://sub.domain.com' },
    },
    "the upstream's are overwritten": {
      conf: { allow_origins: '**', allow_methods: '**' },
      given: {
        ...origin('https://a.test'),
        upstream: {
          headers: [
            ['access-control-allow-methods', 'x'],
            ['access-control-max-age', '10'],
          ],
        },
      },
      headers: { 'access-control-allow-methods': ALL, 'access-control-max-age': '5' },
    },
    allow_origins_by_regex: {
      conf: { ...cors, allow_origins_by_regex: ['.*\\.test.com$', '.*\\.example.org$'] },
      given: origin('http://foo.example.org'),
      headers: { 'access-control-allow-origin': 'http://foo.example.org' },
    },
    'allow_origins_by_regex takes the place of allow_origins': {
      conf: { ...cors, allow_origins_by_regex: ['.*\\.test.com$'] },
      given: origin('http://sub.domain.com'),
      headers: nothing,
    },
    'the origin is the one that came': {
      conf: cors,
      plugins: [{ name: 'proxy-rewrite', conf: { headers: { Origin: 'http://example.com' } } }],
      given: origin('http://sub.domain.com'),
      headers: { 'access-control-allow-origin': 'http://sub.domain.com' },
      upstream: { origin: 'http://example.com' },
    },
    allow_origins_by_metadata: {
      conf: { allow_origins: 'https://test.com', allow_origins_by_metadata: ['key_1'] },
      ...metadata,
      given: origin('https://domain.com'),
      headers: { 'access-control-allow-origin': 'https://domain.com', vary: 'Origin' },
    },
    'allow_origins_by_metadata: * is no longer all': {
      conf: { allow_origins_by_metadata: ['key_1'] },
      ...metadata,
      given: origin('http://foo.example.org'),
      headers: nothing,
    },
    timing_allow_origins: {
      conf: { timing_allow_origins: 'http://one.domain.com' },
      given: origin('http://one.domain.com'),
      headers: { 'access-control-allow-origin': '*', 'timing-allow-origin': 'http://one.domain.com' },
    },
    'timing_allow_origins: another origin': {
      conf: { timing_allow_origins: 'http://one.domain.com' },
      given: origin('http://other.domain.com'),
      headers: { 'access-control-allow-origin': '*', 'timing-allow-origin': undefined },
    },
  },
  [
    [{ max_age: '600' }, 'property "max_age" validation failed: wrong type: expected integer, got string'],
    [{ allow_credential: true }, "you can not set '*' for other option when 'allow_credential' is true"],
    [{ ...cors, allow_methods: '*' }, "you can not set '*' for other option when 'allow_credential' is true"],
    [{ ...cors, expose_headers: '*' }, "you can not set '*' for other option when 'allow_credential' is true"],
    [{ allow_origins: 'y.com' }, 'property "allow_origins" validation failed: failed to match pattern'],
    [{ allow_origins: 'https://x.com,y.com' }, 'property "allow_origins" validation failed: failed to match pattern'],
    [{ allow_origins_by_regex: ['('] }, 'pcre_compile() failed'],
  ],
);
