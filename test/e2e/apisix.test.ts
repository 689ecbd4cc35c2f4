/** APISIX's plugins on a real Envoy; each plugin's cases are in test/apisix. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import {
  Digest,
  dynamicModulePerRoute,
  eventually,
  get,
  http1,
  patternBody,
  root,
  type Seen,
  startEnvoy,
} from '../fixture/index.js';
import { withDemo } from './demo.js';
import { logsOnFailure, stage } from './support.js';

/** Hands the route's metadata over. */
const fromMetadata = {
  name: 'apisix_plugins_of_route',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config',
    on_request_headers: [
      {
        object_key: 'apisix.plugins',
        factory_key: 'envoy.string',
        format_string: {
          text_format_source: { inline_string: '%METADATA(ROUTE:envoy.filters.http.lua.redirect:plugins)%' },
        },
      },
    ],
  },
};
const withPlugins = (prefix: string, plugins: readonly object[]) => ({
  match: { prefix },
  route: { cluster: 'upstream' },
  metadata: { filter_metadata: { 'envoy.filters.http.lua.redirect': { plugins } } },
});

const EIGHT = [
  { name: 'request-id' },
  { name: 'cors' },
  { name: 'ip-restriction', conf: { whitelist: ['127.0.0.0/8'] } },
  { name: 'ua-restriction', conf: { denylist: ['my-bot'], bypass_missing: true } },
  { name: 'uri-blocker', conf: { block_rules: ['root\\.exe'] } },
  { name: 'key-auth', conf: { hide_credentials: true } },
  { name: 'limit-count', conf: { count: 3, time_window: 60, rejected_code: 429 } },
  { name: 'proxy-rewrite', conf: { uri: '/sink', headers: { set: { 'x-was': '$uri' } } } },
];

/** Lets requests go whose body has `good` in it. */
const authorizer = createHttpServer((request, response) => {
  const pieces: Buffer[] = [];
  request.on('data', (piece: Buffer) => pieces.push(piece));
  request.on('end', () => {
    const isGood = Buffer.concat(pieces).includes('good');
    response.writeHead(isGood ? 200 : 403, { 'x-user-id': 'ali' }).end(isGood ? '' : 'no\n');
  });
});
authorizer.listen(0, '127.0.0.1');
await once(authorizer, 'listening');
afterAll(() => void authorizer.close());
const forwardAuth = {
  name: 'forward-auth',
  conf: {
    uri: `http://127.0.0.1:${String((authorizer.address() as AddressInfo).port)}/`,
    request_method: 'POST',
    upstream_headers: ['x-user-id'],
  },
};

const at = stage({
  filters: [
    fromMetadata,
    {
      name: 'apisix-own',
      config: { consumers: [{ username: 'jack', plugins: { 'key-auth': { key: 'sesame' } } }] },
    },
  ],
  edges: true,
  hostArgs: ['--init', join(root, 'filters/apisix/init.ts')],
  routes: [
    withPlugins('/eight', EIGHT),
    withPlugins('/echo', [{ name: 'flip' }, { name: 'held', conf: { needs: '$upstream_addr' } }]),
    {
      match: { prefix: '/sink/auth' },
      route: { cluster: 'upstream' },
      typed_per_filter_config: {
        'apisix-own': dynamicModulePerRoute('apisix-own', {
          plugin_config: { plugins: [forwardAuth, { name: 'proxy-rewrite', conf: { uri: '/sink' } }] },
        }),
      },
    },
    withPlugins('/wrong', [{ name: 'redirect', conf: {} }]),
    { match: { prefix: '/sink' }, route: { cluster: 'upstream' } },
    withPlugins('/', [{ name: 'redirect', conf: { ret_code: 302, uri: '/redirected/path' } }]),
  ],
});

it("a route's filter_metadata redirects", async () => {
  logsOnFailure(at);
  const { stdout } = await promisify(execFile)('curl', ['-si', '--max-time', '10', `http://127.0.0.1:${at.port}/`]);
  expect(stdout).toMatch(/^HTTP\/1\.1 302 Found\r\n/);
  expect(stdout).toMatch(/\r\nlocation: \/redirected\/path\r\n/);
});

it('a route without metadata has no plugins', async () => {
  const answer = await http1(at.port, { method: 'POST', path: '/sink', body: 'sent' });
  expect([answer.status, (answer.json as Seen).path]).toEqual([200, '/sink']);
});

it('eight plugins work on one request, in one crossing', async () => {
  logsOnFailure(at);
  const headers = [['apikey', 'sesame']] as const;
  const answer = await http1(at.port, { path: '/eight/x', headers });
  const seen = answer.json as Seen;
  const header = (name: string) => seen.headers.find(([key]) => key === name)?.[1];
  expect([answer.status, seen.path, header('x-was'), header('x-consumer-username'), header('apikey')]).toEqual([
    200,
    '/sink',
    '/eight/x',
    'jack',
    undefined,
  ]);
  expect(answer.header('x-request-id')).toBe(header('x-request-id'));
  expect([answer.header('access-control-allow-origin'), answer.header('x-ratelimit-remaining')]).toEqual(['*', '2']);

  const refused = await get(at.port, '/eight/x');
  expect([refused.status, refused.text]).toEqual([401, '{"message":"Missing API key in request"}\n']);
  expect(refused.header('access-control-allow-origin')).toBe('*');
  const statuses = [];
  for (let i = 0; i < 3; i++) statuses.push((await http1(at.port, { path: '/eight/x', headers })).status);
  expect(statuses).toEqual([200, 200, 429]);
});

it('64 KiB pass two body filters byte for byte; ctx is one for both halves, and the init script has set a global', async () => {
  logsOnFailure(at);
  const body = patternBody(0, 65536);
  const answer = await http1(at.port, { method: 'POST', path: '/echo', body });
  expect(answer.complete).toBe(true);
  expect(answer.body.equals(body)).toBe(true);
  expect(answer.header('x-held-path')).toBe('/echo');
  expect(answer.header('x-upstream')).toBe(`127.0.0.1:${at.upstream.port}`);
  expect(Date.parse(answer.header('x-began') ?? '')).toBeGreaterThan(0);
});

it("a route's own plugins see the request's body before it goes on, and can refuse it", async () => {
  logsOnFailure(at);
  const body = Buffer.concat([Buffer.from('good'), patternBody(0, 65536)]);
  const answer = await http1(at.port, { method: 'POST', path: '/sink/auth', body });
  const seen = answer.json as Seen;
  expect([answer.status, seen.path, seen.digest]).toEqual([200, '/sink', new Digest().update(body).end()]);
  expect(seen.headers).toContainEqual(['x-user-id', 'ali']);

  const refused = await http1(at.port, { method: 'POST', path: '/sink/auth', body: 'bad' });
  expect([refused.status, refused.text]).toEqual([403, 'no\n']);
});

it('metadata with a bad configuration ends the request with 500, and the log has the reason', async () => {
  expect((await get(at.port, '/wrong')).status).toBe(500);
  await eventually('the reason', () =>
    at.fx.host.output.includes('value should match only one schema, but matches none'),
  );
});

it("a bad configuration of the filter is refused with the schema's message", async () => {
  const filters = [{ name: 'apisix', config: { plugins: [{ name: 'redirect', conf: { uri: '/a', ret_code: 100 } }] } }];
  await expect(startEnvoy({ filters })).rejects.toThrow(
    'property \\"ret_code\\" validation failed: expected 100 to be at least 200',
  );
});

describe('make demo-apisix', () => {
  it('serves both curl lines, and Ctrl-C ends all of it', async () => {
    await withDemo('apisix', async (port, demo) => {
      expect(demo.output).toContain(`curl -i 127.0.0.1:${port}/\n`);
      const moved = await get(port, '/');
      expect([moved.status, moved.header('location')]).toEqual([302, '/redirected/path']);
      const hello = await get(port, '/hello', [['apikey', 'sesame']]);
      expect([hello.text, hello.header('x-consumer')]).toEqual(['hola mundo :)\n', 'ali']);
    });
  });
});
