/** limit-count, limit-req, request-id, mocking, fault-injection, real-ip, forward-auth: cases of APISIX's documentation
 *  and tests. */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Counters } from '../../filters/apisix/plugins/limits.js';
import { takeLocal, type Window } from '../../filters/apisix/plugins/windows.js';
import { Gateway, type Given } from './gateway.js';
import { headers, table } from './table.js';

const times = (count: number, given: Given = {}): Given[] => Array.from({ length: count }, () => given);

const two = { count: 2, time_window: 60 };
const rules = {
  rejected_msg: 'rejected',
  rules: [
    { key: '${http_user}', count: '${http_jack_count}', time_window: 60 },
    { key: '${http_project}', count: '${http_apisix_count}', time_window: 60 },
  ],
};
table(
  'limit-count',
  {
    'as many as it says': { conf: two, given: times(4), status: [200, 200, 503, 503], body: '' },
    'a code and a message': {
      conf: { ...two, rejected_code: 429, rejected_msg: 'rejected' },
      given: times(3),
      status: [200, 200, 429],
      body: '{"error_msg":"rejected"}\n',
    },
    headers: {
      conf: two,
      headers: { 'x-ratelimit-limit': '2', 'x-ratelimit-remaining': '1', 'x-ratelimit-reset': '60' },
    },
    'headers when it is over': {
      conf: two,
      given: times(4),
      status: [200, 200, 503, 503],
      headers: { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': /60|59/ },
    },
    'no headers': { conf: { ...two, show_limit_quota_header: false }, headers: { 'x-ratelimit-limit': undefined } },
    'each address for itself': {
      conf: { ...two, count: 1 },
      given: [{ remote: '1.1.1.1' }, { remote: '1.1.1.2' }, { remote: '1.1.1.1' }],
      status: [200, 200, 503],
    },
    'by a combination': {
      conf: { ...two, count: 1, key_type: 'var_combination', key: '$http_a $http_b' },
      given: [headers({ a: '1' }), headers({ a: '2' }), headers({ a: '1' })],
      status: [200, 200, 503],
    },
    'by a constant': {
      conf: { ...two, count: 1, key_type: 'constant', key: 'all' },
      given: [{ remote: '1.1.1.1' }, { remote: '1.1.1.2' }],
      status: [200, 503],
    },
    'a key without value is the address': {
      conf: { ...two, count: 1, key: 'http_a' },
      given: times(2),
      status: [200, 503],
    },
    'amounts of variables': {
      conf: { count: '${http_count ?? 2}', time_window: '${http_time_window ?? 5}' },
      given: times(3),
      status: [200, 200, 503],
      headers: { 'x-ratelimit-limit': '2', 'x-ratelimit-reset': '5' },
    },
    'amounts of variables: what is no number above 0 is an error': {
      conf: { count: '${http_count ?? 2}', time_window: 60 },
      given: headers({ count: '-1' }),
      status: 500,
      upstream: false,
    },
    'a fraction is one, too': {
      conf: { count: '${http_count ?? 2}', time_window: 60 },
      given: headers({ count: '1.5' }),
      status: 500,
    },
    'rules: the one that fits': {
      conf: rules,
      given: times(3, headers({ user: 'jack', 'jack-count': '2' })),
      status: [200, 200, 503],
      body: '{"error_msg":"rejected"}\n',
      headers: { 'x-1-ratelimit-limit': '2', 'x-2-ratelimit-limit': undefined },
    },
    'sliding windows': {
      conf: { ...two, window_type: 'sliding' },
      given: times(4),
      status: [200, 200, 503, 503],
      headers: { 'x-ratelimit-limit': '2', 'x-ratelimit-remaining': '0' },
    },
    'names of the headers by metadata': {
      conf: two,
      config: { plugin_metadata: { 'limit-count': { limit_header: 'APISIX-RATELIMIT-QUOTA' } } },
      headers: { 'apisix-ratelimit-quota': '2', 'x-ratelimit-limit': undefined, 'x-ratelimit-remaining': '1' },
    },
    'rules: none fits': { conf: rules, status: 500 },
    'rules: header_prefix': {
      conf: { rules: [{ key: '${http_user}', count: 2, time_window: 60, header_prefix: 'jack' }] },
      given: headers({ user: 'jack' }),
      headers: { 'x-jack-ratelimit-limit': '2', 'x-jack-ratelimit-remaining': '1', 'x-jack-ratelimit-reset': '60' },
    },
    allow_degradation: { conf: { ...rules, allow_degradation: true }, upstream: {} },
  },
  [
    [{ time_window: 60 }, 'value should match only one schema, but matches none'],
    [
      { count: -100, time_window: 60 },
      'property "count" validation failed: value should match only one schema, but matches none',
    ],
    [
      { count: 2, time_window: 0 },
      'property "time_window" validation failed: value should match only one schema, but matches none',
    ],
    [{ ...two, ...rules }, 'count/time_window and rules cannot be specified at the same time'],
    [
      {
        rules: [
          { ...two, key: '${http_company}' },
          { ...two, key: '${http_company}' },
        ],
      },
      "duplicate key '${http_company}' in rules",
    ],
    [{ ...two, policy: 'redis' }, 'then clause did not match'],
    [{ ...two, policy: 'redis-cluster' }, 'then clause did not match'],
    [
      { ...two, policy: 'redis-sentinel', redis_sentinels: [] },
      'property "redis_sentinels" validation failed: expect array to have at least 1 items',
    ],
    [{ ...two, policy: 'memcached' }, 'property "policy" validation failed: matches none of the enum values'],
    [{ ...two, rejected_code: 600 }, 'property "rejected_code" validation failed: expected 600 to be at most 599'],
  ],
);

it('limit-count: a group shares its counters, other configurations have their own', async () => {
  const conf = { count: 1, time_window: 60 };
  const [a, b] = await Promise.all([1, 2].map(() => Gateway.of({ plugins: [{ name: 'limit-count', conf }] })));
  expect([(await a!.send()).status, (await b!.send()).status]).toEqual([200, 200]);
  const shared = { ...conf, group: 'services_1#1640140620' };
  const [c, d] = await Promise.all([1, 2].map(() => Gateway.of({ plugins: [{ name: 'limit-count', conf: shared }] })));
  expect([(await c!.send()).status, (await d!.send()).status]).toEqual([200, 503]);
});

it('limit-count: of a sliding window, the part before counts that is not over yet', () => {
  const counters = new Counters<Window>();
  const take = () => takeLocal(counters, 'sliding', 'k', 4, 10).left;
  vi.useFakeTimers({ now: 1_000_000_000 });
  try {
    expect([take(), take(), take(), take(), take()]).toEqual([3, 2, 1, 0, -1]);
    vi.advanceTimersByTime(12_500); // A quarter of the next window: three of the four still count.
    expect([take(), take()]).toEqual([0, -1]);
    vi.advanceTimersByTime(20_000);
    expect(take()).toBe(3);
  } finally {
    vi.useRealTimers();
  }
});

const slow = { rate: 0.1, burst: 0.1, key: 'remote_addr' };
table(
  'limit-req',
  {
    'within the burst': {
      conf: { rate: 100, burst: 5, key: 'remote_addr' },
      given: times(4),
      status: [200, 200, 200, 200],
    },
    'over the burst': { conf: slow, given: times(4), status: [200, 503, 503, 503], body: '' },
    'a code and a message': {
      conf: { ...slow, rejected_code: 403, rejected_msg: 'too fast' },
      given: times(2),
      status: [200, 403],
      body: '{"error_msg":"too fast"}\n',
    },
    'nodelay does not wait': {
      conf: { rate: 0.1, burst: 4, key: 'remote_addr', nodelay: true },
      given: times(3),
      status: [200, 200, 200],
    },
    'each address for itself': {
      conf: slow,
      given: [{ remote: '1.1.1.1' }, { remote: '1.1.1.2' }],
      status: [200, 200],
    },
    'by a combination': {
      conf: { ...slow, key: '$http_a $http_b', key_type: 'var_combination' },
      given: [headers({ a: '1', b: '2' }), headers({ a: '1', b: '3' }), headers({ a: '1', b: '2' })],
      status: [200, 200, 503],
    },
    'a combination without variables is the address': {
      conf: { ...slow, key: 'abcdefgh', key_type: 'var_combination' },
      given: [{ remote: '1.1.1.1' }, { remote: '1.1.1.2' }, { remote: '1.1.1.1' }],
      status: [200, 200, 503],
    },
    'by the consumer': {
      conf: { ...slow, key: 'consumer_name' },
      config: {
        consumers: [
          { username: 'a', plugins: { 'key-auth': { key: 'a' } } },
          { username: 'b', plugins: { 'key-auth': { key: 'b' } } },
        ],
      },
      plugins: [{ name: 'key-auth' }],
      given: [headers({ apikey: 'a' }), headers({ apikey: 'b' }), headers({ apikey: 'a' })],
      status: [200, 200, 503],
    },
  },
  [
    [{ burst: 0, key: 'remote_addr' }, 'value should match only one schema, but matches none'],
    [{ ...slow, policy: 'redis' }, 'then clause did not match'],
    [{ ...slow, rate: -1 }, 'property "rate" validation failed: expected -1 to be greater than 0'],
    [{ ...slow, rate: 0 }, 'property "rate" validation failed: expected 0 to be greater than 0'],
    [{ ...slow, burst: -1 }, 'property "burst" validation failed: expected -1 to be at least 0'],
    [{ ...slow, key_type: 'constant' }, 'property "key_type" validation failed: matches none of the enum values'],
  ],
);

it('limit-req: what is over the rate waits', async () => {
  const gateway = await Gateway.of({
    plugins: [{ name: 'limit-req', conf: { rate: 4, burst: 2, key: 'remote_addr' } }],
  });
  const before = performance.now();
  expect([(await gateway.send()).status, (await gateway.send()).status]).toEqual([200, 200]);
  expect(performance.now() - before).toBeGreaterThan(245);
});

const uuid = (version: number) =>
  new RegExp(`[0-9a-f]{8}-[0-9a-f]{4}-${String(version)}[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`);
table(
  'request-id',
  {
    'a new one, for both': { conf: {}, headers: { 'x-request-id': uuid(4) }, upstream: { 'x-request-id': uuid(4) } },
    'the one that came': {
      conf: {},
      given: headers({ 'x-request-id': '123' }),
      headers: { 'x-request-id': '123' },
      upstream: { 'x-request-id': '123' },
    },
    'an empty one is none': { conf: {}, given: headers({ 'x-request-id': '' }), headers: { 'x-request-id': uuid(4) } },
    'a header of another name': {
      conf: { header_name: 'Custom-Header-Name' },
      headers: { 'custom-header-name': uuid(4), 'x-request-id': undefined },
    },
    'not in the response': {
      conf: { include_in_response: false },
      headers: { 'x-request-id': undefined },
      upstream: { 'x-request-id': uuid(4) },
    },
    "the upstream's own stays": {
      conf: {},
      given: { upstream: { headers: [['x-request-id', 'own']] } },
      headers: { 'x-request-id': 'own' },
    },
    uuidv7: { conf: { algorithm: 'uuidv7' }, headers: { 'x-request-id': uuid(7) } },
    nanoid: { conf: { algorithm: 'nanoid' }, headers: { 'x-request-id': /[\w-]{21}/ } },
    range_id: { conf: { algorithm: 'range_id' }, headers: { 'x-request-id': /[A-Za-z0-9]{16}/ } },
    'range_id with a set and a length': {
      conf: { algorithm: 'range_id', range_id: { char_set: 'abcdefg', length: 20 } },
      headers: { 'x-request-id': /[a-g]{20}/ },
    },
    ksuid: { conf: { algorithm: 'ksuid' }, headers: { 'x-request-id': /[A-Za-z0-9]{27}/ } },
  },
  [
    [
      { include_in_response: 'bad_type' },
      'property "include_in_response" validation failed: wrong type: expected boolean, got string',
    ],
    [{ algorithm: 'bad_algorithm' }, 'property "algorithm" validation failed: matches none of the enum values'],
    [
      { range_id: { length: 3 } },
      'property "range_id" validation failed: property "length" validation failed: expected 3 to be at least 6',
    ],
  ],
);

const field = (schema: object) => ({ response_schema: { type: 'object', properties: { field1: schema } } });
table(
  'mocking',
  {
    'an example': {
      conf: { content_type: 'text/plain', response_example: 'hello world' },
      body: 'hello world',
      headers: { 'content-type': 'text/plain', 'x-mock-by': /APISIX\/[\d.]+/ },
      upstream: false,
    },
    'JSON unless told otherwise': {
      conf: { response_example: '{}' },
      headers: { 'content-type': 'application/json;charset=utf8' },
    },
    'a status': { conf: { response_example: 'x', response_status: 404 }, status: 404, body: 'x' },
    'variables in the example': {
      conf: { response_example: 'remote_addr:$remote_addr' },
      body: 'remote_addr:127.0.0.1',
    },
    'a variable that is none': { conf: { response_example: 'empty_var:$foo' }, body: 'empty_var:' },
    'other letters': { conf: { response_example: 'grüße $remote_addr' }, body: 'grüße 127.0.0.1' },
    'headers with variables': {
      conf: { response_example: 'x', response_headers: { 'X-Apisix': 'is, cool', 'X-Route-Id': '$route_id' } },
      headers: { 'x-apisix': 'is, cool', 'x-route-id': 'r1' },
    },
    'no mock header': { conf: { response_example: 'x', with_mock_header: false }, headers: { 'x-mock-by': undefined } },
    'a schema: examples': { conf: field({ type: 'string', example: 'hello' }), body: '{"field1":"hello"}' },
    'a schema: numbers': { conf: field({ type: 'number', example: 5.5 }), body: '{"field1":5.5}' },
    'a schema: booleans': { conf: field({ type: 'boolean', example: true }), body: '{"field1":true}' },
    'a schema: objects': { conf: field({ type: 'object' }), body: '{"field1":{}}' },
    'a schema without examples': {
      conf: field({ type: 'array', items: { type: 'integer' } }),
      body: /^\{"field1":\[\d+(,\d+)*\]\}$/,
    },
  },
  [
    [{ content_type: 'text/plain' }, 'object matches none of the required'],
    [
      { response_example: 'x', response_status: 99 },
      'property "response_status" validation failed: expected 99 to be at least 100',
    ],
    [
      { response_example: 'x', delay: 'a' },
      'property "delay" validation failed: wrong type: expected integer, got string',
    ],
  ],
);

const abort = { http_status: 403, body: 'Fault Injection!\n' };
const vars = [
  [
    ['arg_name', '==', 'jack'],
    ['arg_age', '!', '<', 18],
  ],
  [['http_apikey', '==', 'api-key']],
];
const injected = { status: 403, body: 'Fault Injection!\n', upstream: false } as const;
table(
  'fault-injection',
  {
    aborts: { conf: { abort }, ...injected },
    'aborts without a body': { conf: { abort: { http_status: 200 } }, body: '', upstream: false },
    'goes before redirect': { conf: { abort }, plugins: [{ name: 'redirect', conf: { uri: '/x' } }], ...injected },
    'never, with 0 percent': {
      conf: { abort: { ...abort, percentage: 0 } },
      plugins: [{ name: 'redirect', conf: { uri: '/x' } }],
      status: 302,
    },
    'always, with 100 percent': { conf: { abort: { ...abort, percentage: 100 } }, ...injected },
    'variables in the body': {
      conf: { abort: { ...abort, body: '{"count": $arg_count}' } },
      given: { path: '/hello?count=2' },
      status: 403,
      body: '{"count": 2}',
    },
    headers: {
      conf: { abort: { http_status: 200, headers: { h1: 'v1', h2: 2, h3: '$uri' } } },
      given: { path: '/hello' },
      headers: { h1: 'v1', h2: '2', h3: '/hello' },
    },
    'vars: all of a group': {
      conf: { abort: { ...abort, vars } },
      given: { path: '/hello?name=jack&age=20' },
      ...injected,
    },
    'vars: one of the groups': {
      conf: { abort: { ...abort, vars } },
      given: headers({ apikey: 'api-key' }),
      ...injected,
    },
    'vars: none': { conf: { abort: { ...abort, vars } }, given: { path: '/hello?name=allen' }, upstream: {} },
    'vars: a group turned round': {
      conf: { abort: { ...abort, vars: [['!AND', ['arg_name', '==', 'jack'], ['arg_age', '!', '<', 18]]] } },
      given: { path: '/hello?name=jack&age=17' },
      ...injected,
    },
    'vars: and what it does not hold for': {
      conf: { abort: { ...abort, vars: [['!AND', ['arg_name', '==', 'jack'], ['arg_age', '!', '<', 18]]] } },
      given: { path: '/hello?name=jack&age=18' },
      upstream: {},
    },
    delays: { conf: { delay: { duration: 0.01 } }, upstream: {} },
  },
  [
    [{}, 'expect object to have at least 1 properties'],
    [{ abort: {} }, 'property "abort" validation failed: property "http_status" is required'],
    [
      { abort: { http_status: 100 } },
      'property "abort" validation failed: property "http_status" validation failed: expected 100 to be at least 200',
    ],
    [{ delay: {} }, 'property "delay" validation failed: property "duration" is required'],
    [
      { delay: { duration: 'test' } },
      'property "delay" validation failed: property "duration" validation failed: wrong type: expected number, got string',
    ],
    [{ abort: { ...abort, vars: [['arg_name', '!=', 'jack']] } }, 'rule should be wrapped inside brackets'],
    [{ abort: { ...abort, vars: [[['arg_name', '=', 'jack']]] } }, "invalid operator '='"],
    [
      { abort: { ...abort, percentage: 101 } },
      'property "abort" validation failed: property "percentage" validation failed: expected 101 to be at most 100',
    ],
  ],
);

it('fault-injection: a delay takes its time', async () => {
  const gateway = await Gateway.of({ plugins: [{ name: 'fault-injection', conf: { delay: { duration: 0.1 } } }] });
  const before = performance.now();
  await gateway.send();
  expect(performance.now() - before).toBeGreaterThan(95);
});

const only = { plugins: [{ name: 'ip-restriction', conf: { whitelist: ['1.1.1.1', '::2'] } }] };
const xff = (...values: string[]) => ({ headers: values.map((value) => ['x-forwarded-for', value] as const) });
table(
  'real-ip',
  {
    'an address': { conf: { source: 'http_xff' }, ...only, given: headers({ xff: '1.1.1.1' }), upstream: {} },
    'with a port': { conf: { source: 'http_xff' }, ...only, given: headers({ xff: '1.1.1.1:80' }), upstream: {} },
    none: { conf: { source: 'http_xff' }, ...only, status: 403 },
    'no address': { conf: { source: 'http_xff' }, ...only, given: headers({ xff: '1.1.1.1.1' }), status: 403 },
    'no port': { conf: { source: 'http_xff' }, ...only, given: headers({ xff: '1.1.1.1:65536' }), status: 403 },
    'of an argument': { conf: { source: 'arg_realip' }, ...only, given: { path: '/?realip=1.1.1.1' }, upstream: {} },
    IPv6: { conf: { source: 'http_xff' }, ...only, given: headers({ xff: '::2' }), upstream: {} },
    'IPv6 with a port': { conf: { source: 'http_xff' }, ...only, given: headers({ xff: '[::2]:80' }), upstream: {} },
    'IPv6 in brackets': { conf: { source: 'http_xff' }, ...only, given: headers({ xff: '[::2]' }), upstream: {} },
    'x-forwarded-for: the last': {
      conf: { source: 'http_x_forwarded_for' },
      ...only,
      given: xff('::1, ::2'),
      upstream: {},
    },
    'x-forwarded-for: the last of several lines': {
      conf: { source: 'http_x_forwarded_for' },
      ...only,
      given: xff('::1', '::2'),
      upstream: {},
    },
    'from a peer that is not trusted': {
      conf: { source: 'http_x_forwarded_for', trusted_addresses: ['192.128.0.0/16'] },
      ...only,
      given: xff('1.1.1.1'),
      status: 403,
    },
    'from one that is': {
      conf: { source: 'http_x_forwarded_for', trusted_addresses: ['127.0.0.0/24'] },
      ...only,
      given: xff('1.1.1.1'),
      upstream: {},
    },
    'recursive: the last that is not trusted': {
      conf: { source: 'http_x_forwarded_for', trusted_addresses: ['192.128.0.0/16', '127.0.0.0/24'], recursive: true },
      ...only,
      given: xff('1.1.1.1, 192.128.1.1, 127.0.0.1'),
      upstream: {},
    },
  },
  [
    [{}, 'property "source" is required'],
    [
      { source: 'http_xff', trusted_addresses: ['127.0.0.1/33'] },
      'property "trusted_addresses" validation failed: failed to validate item 1: object matches none of the required',
    ],
    [
      { source: 'http_xff', recursive: 1 },
      'property "recursive" validation failed: wrong type: expected boolean, got number',
    ],
  ],
);

describe('forward-auth', () => {
  const asked: { headers: IncomingMessage['headers']; method: string | undefined; body: string }[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (piece: Buffer) => (body += piece.toString()));
    request.on('end', () => {
      asked.push({ headers: request.headers, method: request.method, body });
      const who = request.headers.authorization ?? body;
      if (who.includes('good')) response.writeHead(200, { 'x-user-id': 'i-am-an-user' });
      else response.writeHead(403, { location: 'http://example.com/auth' });
      response.end(who.includes('good') ? '' : 'not allowed');
    });
  });
  let uri = '';
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    uri = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/auth`;
  });
  afterAll(() => void server.close());
  const gateway = (conf: object): Promise<Gateway> =>
    Gateway.of({ plugins: [{ name: 'forward-auth', conf: { uri, ...conf } }] });
  const as = (authorization: string) => headers({ authorization });

  it('asks with request_headers, and gives upstream_headers to the upstream', async () => {
    const at = await gateway({ request_headers: ['Authorization'], upstream_headers: ['X-User-ID'] });
    const { request } = await at.send({ path: '/hello', ...as('good') });
    expect(request?.header('x-user-id')).toBe('i-am-an-user');
  });
  it('says what is asked for, whatever the client claims', async () => {
    const at = await gateway({ request_headers: ['Authorization', 'X-Forwarded-Host'] });
    await at.send({
      path: '/hello?a=1',
      method: 'PUT',
      ...headers({ authorization: 'good', 'x-forwarded-host': 'apisix.apache.org' }),
    });
    expect(asked.at(-1)).toMatchObject({
      method: 'GET',
      headers: {
        'x-forwarded-proto': 'http',
        'x-forwarded-method': 'PUT',
        'x-forwarded-host': 'localhost',
        'x-forwarded-uri': '/hello?a=1',
        'x-forwarded-for': '127.0.0.1',
      },
    });
  });
  it('answers what the service refuses with, and client_headers', async () => {
    const at = await gateway({ request_headers: ['Authorization'], client_headers: ['Location'] });
    const { status, response, request } = await at.send(as('bad'));
    expect([status, response.text, response.header('location')]).toEqual([
      403,
      'not allowed',
      'http://example.com/auth',
    ]);
    expect(request).toBeUndefined();
  });
  it('gives no headers to the client that are not named', async () => {
    const at = await gateway({ request_headers: ['Authorization'] });
    expect((await at.send(as('bad'))).response.header('location')).toBeUndefined();
  });
  it('takes out upstream_headers that the client claims and the service leaves out', async () => {
    const at = await gateway({ request_headers: ['Authorization'], upstream_headers: ['X-Other', 'X-User-ID'] });
    const { request } = await at.send(headers({ authorization: 'good', 'x-other': 'root' }));
    expect(request?.header('x-other')).toBeUndefined();
  });
  it('sends the body with POST, and the body goes on', async () => {
    const at = await gateway({ request_method: 'POST', upstream_headers: ['X-User-ID'] });
    const { request } = await at.send({ method: 'POST', body: '{"authorization": "good"}' });
    expect(asked.at(-1)).toMatchObject({ method: 'POST', body: '{"authorization": "good"}' });
    expect([request?.header('x-user-id'), request?.text]).toEqual(['i-am-an-user', '{"authorization": "good"}']);
  });
  it('refuses a body that is too large with 413', async () => {
    const at = await gateway({ request_method: 'POST', max_req_body_size: 5 });
    expect((await at.send({ method: 'POST', body: 'good body' })).status).toBe(413);
  });
  it('sends extra_headers', async () => {
    const at = await gateway({ extra_headers: { 'X-Tenant': '$arg_tenant', authorization: 'good' } });
    expect((await at.send({ path: '/?tenant=7' })).status).toBe(200);
    expect(asked.at(-1)?.headers['x-tenant']).toBe('7');
  });
  it('answers status_on_error when the service is away, or lets the request go', async () => {
    const away = { uri: 'http://127.0.0.1:1/auth' };
    expect((await (await gateway(away)).send()).status).toBe(403);
    expect((await (await gateway({ ...away, status_on_error: 503 })).send()).status).toBe(503);
    expect((await (await gateway({ ...away, allow_degradation: true })).send()).status).toBe(200);
  });
  it.each([
    [{}, 'property "uri" is required'],
    [{ uri: 3233 }, 'property "uri" validation failed: wrong type: expected string, got number'],
    [
      { uri: 'http://a', request_headers: 'test' },
      'property "request_headers" validation failed: wrong type: expected array, got string',
    ],
    [
      { uri: 'http://a', request_method: 'PUT' },
      'property "request_method" validation failed: matches none of the enum values',
    ],
    [{ uri: 'http://a', timeout: 0 }, 'property "timeout" validation failed: expected 0 to be at least 1'],
    [{ uri: 'ftp://a' }, 'invalid uri "ftp://a"'],
  ])('refuses %j', async (conf, message) => {
    await expect(Gateway.of({ plugins: [{ name: 'forward-auth', conf }] })).rejects.toThrow(`err: ${message}`);
  });
});
