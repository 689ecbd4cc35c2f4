/** The core: phases, priorities, exits, where plugins come from, and what they can ask of `core` and `ctx`. */
import { afterEach, describe, expect, it } from 'vitest';
import { core, type Plugin } from '../../filters/apisix/core/index.js';
import { plugins as shipped } from '../../filters/apisix/plugins/index.js';
import { Gateway, type Given } from './gateway.js';
import { headers } from './table.js';

declare module '../../filters/apisix/core/ctx.js' {
  interface CtxFields {
    seen?: string[];
  }
}

const said: string[] = [];
afterEach(() => void said.splice(0));

/** Says which of its phases runs; `exit` ends the request in that phase. */
function witness(
  name: string,
  priority: number,
  more: Partial<Plugin<{ exit?: string }>> = {},
): Plugin<{ exit?: string }> {
  const in_ = (phase: string) => (conf: { exit?: string }) => {
    said.push(`${name} ${phase}`);
    return conf.exit === phase ? ([418, { by: name }] as const) : undefined;
  };
  return {
    version: 0.1,
    priority,
    name,
    schema: { type: 'object', properties: { exit: { type: 'string' } } },
    rewrite: in_('rewrite'),
    access: in_('access'),
    header_filter: () => void said.push(`${name} header_filter`),
    body_filter: (_conf, _ctx, { eof }) => void said.push(`${name} body_filter${eof ? ' eof' : ''}`),
    log: () => void said.push(`${name} log`),
    ...more,
  };
}
const low = witness('low', 1);
const high = witness('high', 2);
const of = (plugins: readonly Plugin[], list: unknown, more: object = {}): Promise<Gateway> =>
  Gateway.of({ plugins: list, ...more }, { plugins });
const REST = [
  'high header_filter',
  'low header_filter',
  'high body_filter',
  'low body_filter',
  'high body_filter eof',
  'low body_filter eof',
  'high log',
  'low log',
];

describe('phases', () => {
  it('run one after the other, in each the highest priority first', async () => {
    await (await of([low, high], [{ name: 'low' }, { name: 'high' }])).send();
    expect(said).toEqual(['high rewrite', 'low rewrite', 'high access', 'low access', ...REST]);
  });

  it.each([
    ['rewrite', ['high rewrite']],
    ['access', ['high rewrite', 'low rewrite', 'high access']],
  ])('an exit in %s ends the request, and the answer passes the phases of the response', async (exit, before) => {
    const at = await of([low, high], [{ name: 'low' }, { name: 'high', conf: { exit } }]);
    const { status, response, request } = await at.send();
    expect([status, response.text, request]).toEqual([418, '{"by":"high"}\n', undefined]);
    expect(said).toEqual([...before, ...REST]);
  });

  it('_meta: priority, disable, error_response and filter', async () => {
    const list = [
      { name: 'low', conf: { exit: 'rewrite', _meta: { priority: 3, error_response: { message: 'own' } } } },
      { name: 'high', conf: { _meta: { disable: true } } },
    ];
    const { response } = await (await of([low, high], list)).send();
    expect(response.text).toBe('{"message":"own"}\n');
    expect(said[0]).toBe('low rewrite');
    expect(said.join()).not.toContain('high');

    const filtered = [{ name: 'low', conf: { exit: 'access', _meta: { filter: [['arg_version', '==', 'v2']] } } }];
    const at = await of([low], filtered);
    expect([(await at.send({ path: '/?version=v2' })).status, (await at.send({ path: '/' })).status]).toEqual([
      418, 200,
    ]);
  });

  it('share one ctx', async () => {
    const first = witness('first', 9, { rewrite: (_conf, ctx) => void (ctx.seen = ['request']) });
    const second = witness('second', 1, {
      header_filter: (_conf, ctx) => core.response.set_header(ctx, 'x-seen', ctx.seen?.join()),
    });
    const { response } = await (await of([first, second], [{ name: 'first' }, { name: 'second' }])).send();
    expect(response.header('x-seen')).toBe('request');
  });

  it('a plugin that throws ends the request with 500', async () => {
    const bad = witness('bad', 1, {
      access: () => {
        throw new Error('oh');
      },
    });
    await expect((await of([bad], [{ name: 'bad' }])).send()).rejects.toThrow('oh');
  });

  it('init and destroy frame the time in which a configuration names the plugin', async () => {
    const plugin = witness('framed', 1, {
      init: () => void said.push('init'),
      destroy: () => void said.push('destroy'),
    });
    const at = await of([plugin], [{ name: 'framed' }]);
    await at.send();
    at.release();
    await new Promise((resolve) => setImmediate(resolve));
    expect([said[0], said.at(-1)]).toEqual(['init', 'destroy']);
  });

  it('body_filter: 64 KiB in odd pieces through several plugins are exact', async () => {
    const body = Buffer.from(Array.from({ length: 65536 }, (_, i) => (i * 7 + (i >> 8)) & 0xff));
    const pieces = [1, 3, 1000, 4096, 30000].map((end, i, all) => body.subarray(i === 0 ? 0 : all[i - 1], end));
    pieces.push(body.subarray(30000));
    const flip = (name: string, priority: number): Plugin =>
      ({
        ...witness(name, priority),
        body_filter: (_conf, _ctx, part) => void (part.data = part.bytes.map((byte) => byte ^ 0x5a)),
      }) as Plugin;
    const held = {
      ...witness('held', 5),
      body_filter: (_conf: object, ctx: never, part: never) => {
        const whole = core.response.hold_body_chunk(ctx, part);
        if (whole !== undefined) (part as { data: Uint8Array }).data = whole;
      },
    } as Plugin;
    const list = [flip('a', 9), held, flip('b', 1)];
    const at = await of(
      list,
      list.map(({ name }) => ({ name })),
    );
    const { response } = await at.send({ upstream: { body: pieces } });
    expect(response.body.equals(body)).toBe(true);
  });
});

describe('plugins come from', () => {
  const redirect = (uri: string) => [{ name: 'redirect', conf: { uri } }];
  const state = (value: unknown): Given => ({
    filterState: { 'apisix.plugins': typeof value === 'string' ? value : JSON.stringify(value) },
  });

  it("the route, over the filter's of the same name", async () => {
    const config = { plugins: [...redirect('/filter'), { name: 'echo', conf: { headers: { 'x-echo': '1' } } }] };
    const at = await Gateway.of(config, { route: { plugins: redirect('/route') } });
    const { response } = await at.send();
    expect([response.header('location'), response.header('x-echo')]).toEqual(['/route', '1']);
  });

  it("the stream's filter state, when the configuration names none", async () => {
    const at = await Gateway.of({});
    const moved = await at.send(state(redirect('/redirected/path')));
    expect([moved.status, moved.response.header('location')]).toEqual([302, '/redirected/path']);
    expect((await at.send()).response.text).toBe('hello world\n');
    expect((await at.send(state('-'))).status).toBe(200);
    const echo = await at.send(state([{ name: 'echo', conf: { body: 'x' } }]));
    expect(echo.response.text).toBe('x');
  });

  it('a request with a body and plugins of a filter state: both bodies are untouched', async () => {
    const at = await Gateway.of({});
    const { request, response } = await at.send({ ...state([]), method: 'POST', body: 'sent' });
    expect([request?.text, response.text]).toEqual(['sent', 'hello world\n']);
  });

  it('both, when the configuration names the filter state', async () => {
    const at = await Gateway.of({ plugins: redirect('/own'), filter_state: 'apisix.plugins' });
    expect((await at.send(state(redirect('/state')))).response.header('location')).toBe('/state');
    expect((await at.send()).response.header('location')).toBe('/own');
  });

  it('a filter state that is wrong ends the request with 500, and the log says why', async () => {
    const at = await Gateway.of({});
    expect((await at.send(state(redirect('')))).status).toBe(500);
    expect((await at.send(state('{'))).status).toBe(500);
    expect(at.logger.lines.join('\n')).toContain(
      'failed to check the configuration of plugin redirect err: property "uri"',
    );
  });

  it('the consumer, with its own rewrite', async () => {
    const at = await Gateway.of({
      plugins: [{ name: 'key-auth' }],
      consumers: [
        {
          username: 'jack',
          plugins: {
            'key-auth': { key: 'k' },
            'limit-count': { count: 1, time_window: 60, rejected_code: 429 },
            'proxy-rewrite': { uri: '/jack' },
          },
        },
        { username: 'jill', plugins: { 'key-auth': { key: 'l' } } },
      ],
    });
    const jack = headers({ apikey: 'k' });
    expect((await at.send(jack)).request?.header(':path')).toBe('/jack');
    expect((await at.send(jack)).status).toBe(429);
    const jill = await at.send(headers({ apikey: 'l' }));
    expect([jill.status, jill.request?.header(':path')]).toEqual([200, '/']);
  });
});

describe('configurations are refused', () => {
  it.each([
    [{ plugins: [{ name: 'no-such' }] }, 'plugins[0]: unknown plugin [no-such]'],
    [
      { plugins: [{ conf: {} }] },
      'property "plugins" validation failed: failed to validate item 1: property "name" is required',
    ],
    [{ plugins: [{ name: 'echo', conf: 'x' }] }, 'plugins[0]: invalid plugin conf "x" for plugin [echo]'],
    [
      {
        plugins: [
          { name: 'redirect', conf: { uri: '/a' } },
          { name: 'redirect', conf: { uri: '/b' } },
        ],
      },
      'plugins[1]: plugin redirect is there twice',
    ],
    [
      { plugins: [{ name: 'redirect', conf: { uri: '/a', _meta: { priority: 'x' } } }] },
      'property "priority" validation failed: wrong type',
    ],
    [{ plugin: [] }, 'additional properties forbidden, found plugin'],
    [{ consumers: [{}] }, 'property "username" is required'],
    [{ plugins: [{ name: 'csrf', conf: { key: '$env://APISIX_NOT_SET' } }] }, '$env://APISIX_NOT_SET is not set'],
    [{ plugins: [{ name: 'csrf', conf: { key: '$secret://vault/a/b' } }] }, 'secret managers are not supported'],
  ])('%j', async (config, message) => {
    await expect(Gateway.of(config)).rejects.toThrow(message);
  });

  it('and texts of the environment are put in', async () => {
    process.env['APISIX_TEST_KEY'] = 'auth-env';
    const consumers = [{ username: 'a', plugins: { 'key-auth': { key: '$env://APISIX_TEST_KEY' } } }];
    const at = await Gateway.of({ plugins: [{ name: 'key-auth' }], consumers });
    expect((await at.send(headers({ apikey: 'auth-env' }))).status).toBe(200);
    expect((await at.send(headers({ apikey: '$env://APISIX_TEST_KEY' }))).status).toBe(401);
  });
});

it('ctx.var has the variables of nginx and APISIX', async () => {
  const names =
    'uri request_uri args is_args query_string host http_host scheme request_method remote_addr remote_port server_addr server_port server_protocol arg_a arg_none http_x_y cookie_sid content_type route_id none constructor'.split(
      ' ',
    );
  let found: unknown[] = [];
  const asks = witness('asks', 1, { access: (_conf, ctx) => void (found = names.map((name) => ctx.var[name])) });
  const late: unknown[] = [];
  const looks = witness('looks', 2, {
    header_filter: (_conf, ctx) =>
      void late.push(
        ctx.var['status'],
        ctx.var['upstream_status'],
        ctx.var['upstream_addr'],
        ctx.var['sent_http_x_up'],
      ),
  });
  const at = await of([asks, looks], [{ name: 'asks' }, { name: 'looks', conf: { exit: '$upstream_addr' } }]);
  await at.send({
    path: '/a%20b/../c//d?a=1%202&b',
    host: 'Foo.test:8080',
    ...headers({ 'x-y': 'z', cookie: 'a=b; sid=s1', 'content-type': 'text/plain' }),
    upstream: { status: 201, headers: [['x-up', 'u']] },
  });
  expect(Object.fromEntries(names.map((name, i) => [name, found[i]]))).toEqual({
    uri: '/c/d',
    request_uri: '/a%20b/../c//d?a=1%202&b',
    args: 'a=1%202&b',
    is_args: '?',
    query_string: 'a=1%202&b',
    host: 'foo.test',
    http_host: 'Foo.test:8080',
    scheme: 'http',
    request_method: 'GET',
    remote_addr: '127.0.0.1',
    remote_port: '4711',
    server_addr: '127.0.0.1',
    server_port: '9080',
    server_protocol: 'HTTP/1.1',
    arg_a: '1%202',
    arg_none: undefined,
    http_x_y: 'z',
    cookie_sid: 's1',
    content_type: 'text/plain',
    route_id: 'r1',
    none: undefined,
  });
  expect(late).toEqual(['201', '201', '10.9.8.7:1980', 'u']);
});

it('core.request and core.response change what goes on', async () => {
  const own = witness('own', 1, {
    rewrite: (_conf, ctx) => {
      core.request.set_uri_args(ctx, { ...core.request.get_uri_args(ctx), added: 'a b' });
      core.request.set_header(ctx, 'x-own', '1');
      core.request.set_method(ctx, 'PUT');
      core.response.add_header(ctx, 'x-early', 'kept');
    },
  });
  const { request, response } = await (await of([own], [{ name: 'own' }])).send({ path: '/p?x=1' });
  expect([':path', ':method', 'x-own'].map((name) => request?.header(name))).toEqual([
    '/p?x=1&added=a%20b',
    'PUT',
    '1',
  ]);
  expect(response.header('x-early')).toBe('kept');
});

it('core.lrucache makes a value once for a version', () => {
  const cached = core.lrucache.new({ count: 2 });
  let made = 0;
  const get = (key: string, version: number) => cached(key, version, () => ++made);
  expect([get('a', 1), get('a', 1), get('a', 2), get('b', 1), get('c', 1), get('a', 2)]).toEqual([1, 1, 2, 3, 4, 5]);
});

it('core.ctx.register_var adds a variable', async () => {
  core.ctx.register_var('a6_path_length', (ctx) => ctx.path.length);
  const conf = { response_example: '$a6_path_length' };
  const at = await of(shipped, [{ name: 'mocking', conf }]);
  expect((await at.send({ path: '/12345' })).response.text).toBe('6');
});

it('a body filter gives a body to an answer without one', async () => {
  const list = [
    { name: 'redirect', conf: { uri: '/a' } },
    { name: 'echo', conf: { body: 'moved' } },
  ];
  const { status, response } = await (await of(shipped, list)).send();
  expect([status, response.text]).toEqual([302, 'moved']);
});
