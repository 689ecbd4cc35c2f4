/** Routes, metadata and the choice of a host in the Golang filter's way. */
import { afterAll, beforeAll, describe, expect } from 'vitest';
import {
  dynamicModulePerRoute,
  eventually,
  get,
  http1,
  NO_PORT,
  startEnvoy,
  startUpstream,
  type Config,
  type Line,
  type Upstream,
} from '../../fixture/index.js';
import { logsOnFailure, stage, withEnvoy } from '../support.js';
import { goCase } from './case.js';

const toUpstream = { cluster: 'upstream', timeout: '0s' };

describe('the route after the path changed', () => {
  const at = stage({
    filters: [{ name: 'go-route' }],
    virtualHost: {
      routes: [
        { name: 'first', match: { prefix: '/disney/api' }, route: toUpstream },
        {
          name: 'second',
          match: { prefix: '/user/api' },
          route: toUpstream,
          response_headers_to_add: [{ header: { key: 'x-second', value: 'yes' } }],
        },
        { name: 'hello', match: { path: '/hello' }, route: toUpstream },
      ],
    },
  });
  const ask = (headers: Line[], path = '/hello') => get(at.port, path, headers);

  goCase('go/route/path-without-clear', async () => {
    const answer = await ask([['x-new-path', '/nowhere']]);
    expect([answer.status, answer.text]).toEqual([200, 'you asked for /nowhere']);
  });
  goCase('go/route/path-with-clear', async () => {
    logsOnFailure(at);
    const answer = await ask([
      ['x-new-path', '/nowhere'],
      ['x-clear', 'yes'],
    ]);
    expect([answer.status, answer.text]).toEqual([404, '']);
  });
  goCase('go/route/refresh', async () => {
    logsOnFailure(at);
    const path = '/disney/api';
    const kept = await ask([['x-new-path', '/user/api']], path);
    expect([kept.header('x-second'), kept.header('x-route-name')]).toEqual([undefined, 'first']);
    const answer = await ask(
      [
        ['x-new-path', '/user/api'],
        ['x-refresh', 'yes'],
      ],
      path,
    );
    expect([answer.status, answer.text]).toEqual([200, 'you asked for /user/api']);
    expect([answer.header('x-second'), answer.header('x-route-name')]).toEqual(['yes', 'second']);
  });
});

describe('dynamic metadata and filter state', () => {
  const at = stage({
    filters: [
      // its encode hook runs after ours
      {
        name: 'envoy.filters.http.lua',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua',
          default_source_code: {
            inline_string: `
              function envoy_on_response(handle)
                local metadata = handle:streamInfo():dynamicMetadata():get("filter.go")
                handle:headers():add("x-lua-metadata", metadata and metadata["foo"] or "none")
              end`,
          },
        },
      },
      { name: 'go-basic' },
      {
        name: 'envoy.filters.http.header_mutation',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation',
          mutations: {
            request_mutations: [
              ['x-later-metadata', '%DYNAMIC_METADATA(filter.go:foo)%'],
              ['x-later-state', '%FILTER_STATE(go_state_test_key:PLAIN)%'],
            ].map(([key, value]) => ({ append: { header: { key, value } } })),
          },
        },
      },
    ],
  });
  for (const [style, query] of [
    ['plain', ''],
    ['async', '?async'],
    ['async+sleep', '?async&sleep'],
  ] as const) {
    goCase(`go/metadata/${style}`, async () => {
      logsOnFailure(at);
      const answer = await http1(at.port, {
        method: 'POST',
        path: `/sink${query}`,
        headers: [['x-set-metadata', 'true']],
        body: 'helloworld',
      });
      expect([answer.status, answer.header('x-lua-metadata')]).toEqual([200, 'bar']);
      // the body is JSON in capitals, made by the filter
      expect(answer.text).toContain('["X-LATER-METADATA","BAR"]');
      expect(answer.text).toContain('["X-LATER-STATE","GO_STATE_TEST_VALUE"]');
    });
  }
});

describe('a host of the cluster that the filter chooses', () => {
  let other: Upstream;
  beforeAll(async () => {
    other = await startUpstream({ paths: { '/who': (_req, res) => void res.end('other') } });
  });
  afterAll(() => other.close());

  const hosts = (...ports: number[]): Config => ({
    lb_endpoints: ports.map((port_value) => ({
      endpoint: { address: { socket_address: { address: '127.0.0.1', port_value } } },
    })),
  });
  /** Two hosts that live and one where nobody listens, which only an override can choose first. */
  const cluster = (ports: readonly number[], retry: boolean): Config => ({
    name: retry ? 'retried' : 'pair',
    type: 'STATIC',
    connect_timeout: '1s',
    load_assignment: {
      cluster_name: retry ? 'retried' : 'pair',
      endpoints: [
        { priority: 0, ...hosts(...ports) },
        { priority: 1, ...hosts(NO_PORT) },
      ],
    },
  });
  const answers = { '/who': (_req: unknown, res: { end(text: string): unknown }) => void res.end('one') };

  async function chosen(host: (ports: readonly [number, number]) => string, headers: Line[], retry = false) {
    const one = await startUpstream({ paths: answers });
    try {
      const retry_policy = { retry_on: 'connect-failure,refused-stream', num_retries: 2 };
      const route = { cluster: retry ? 'retried' : 'pair', ...(retry ? { retry_policy } : {}) };
      return await withEnvoy(
        {
          filters: [{ name: 'go-override-host' }],
          upstream: one,
          clusters: [cluster([one.port, other.port], retry)],
          route: { route },
        },
        async (fx) => {
          const all = [];
          for (let i = 0; i < 6; i++) {
            const answer = await get(fx.port, '/who', [['x-host', host([one.port, other.port])], ...headers]);
            all.push(`${answer.status} ${answer.status === 503 ? '' : answer.text}`.trim());
          }
          return all;
        },
      );
    } finally {
      await one.close();
    }
  }
  const six = (text: string) => Array.from({ length: 6 }, () => text);
  const STRICT: Line[] = [['x-strict', 'yes']];
  const nobody = () => `127.0.0.1:${NO_PORT}`;
  const unknown = () => '127.0.0.1:2';
  const anyOf = (all: string[]) => expect([...new Set(all)].sort()).toEqual(['200 one', '200 other']);

  goCase('go/override-host/plain', async () => {
    expect(await chosen(([one]) => `127.0.0.1:${one}`, [])).toEqual(six('200 one'));
    expect(await chosen(([, two]) => `127.0.0.1:${two}`, [])).toEqual(six('200 other'));
  });
  goCase('go/override-host/unknown', async () => {
    anyOf(await chosen(unknown, []));
  });
  goCase('go/override-host/bad-host', async () => {
    expect(await chosen(() => 'upstream.example:80', [])).toEqual(six('403 TSF_ARGUMENT_INVALID'));
  });
  goCase('go/override-host/unavailable', async () => {
    expect(await chosen(nobody, [])).toEqual(six('503'));
  });
  goCase('go/override-host/strict', async () => {
    expect(await chosen(nobody, STRICT)).toEqual(six('503'));
  });
  // A retry chooses anew, without the override.
  goCase('go/override-host/unavailable-with-retry', async () => {
    anyOf(await chosen(nobody, [], true));
  });
  goCase('go/override-host/strict-with-retry', async () => {
    anyOf(await chosen(nobody, STRICT, true));
  });
  goCase('go/override-host/strict-unknown', async () => {
    expect(await chosen(unknown, STRICT)).toEqual(six('503'));
  });
  goCase('go/override-host/strict-unknown-with-retry', async () => {
    expect(await chosen(unknown, STRICT, true)).toEqual(six('503'));
  });
});

describe('configs of routes', () => {
  const config = (remove: string, set: string): Config => ({
    'go-routeconfig': dynamicModulePerRoute('go-routeconfig', { plugin_config: { remove, set } }),
  });
  const at = stage({
    filters: [{ name: 'go-routeconfig', config: { remove: 'x-test-header-0', set: 'foo' } }],
    hcm: {
      route_config: {
        name: 'local',
        virtual_hosts: [
          {
            name: 'filter-level',
            domains: ['filter-level.com'],
            routes: [{ match: { prefix: '/' }, route: toUpstream }],
          },
          {
            name: 'host-level',
            domains: ['*'],
            typed_per_filter_config: config('x-test-header-1', 'bar'),
            routes: [
              {
                match: { prefix: '/route-config-test' },
                route: toUpstream,
                typed_per_filter_config: config('x-test-header-0', 'baz'),
              },
              { match: { prefix: '/' }, route: toUpstream },
            ],
          },
        ],
      },
    },
    upstream: {
      paths: Object.fromEntries(
        ['/test', '/route-config-test'].map((path) => [
          path,
          (_req, res) => void res.writeHead(200, { 'x-test-header-0': 'foo', 'x-test-header-1': 'bar' }).end(),
        ]),
      ),
    },
  });
  const names = ['x-test-header-0', 'x-test-header-1', 'foo', 'bar', 'baz'];
  const ask = async (host: string, path: string) => {
    logsOnFailure(at);
    const answer = await get(at.port, path, [['host', host]]);
    return Object.fromEntries(names.flatMap((name) => answer.all(name).map((value) => [name, value])));
  };
  goCase('go/route-config/filter', async () => {
    expect(await ask('filter-level.com', '/test')).toEqual({ 'x-test-header-1': 'bar', foo: 'test-value' });
  });
  goCase('go/route-config/virtual-host', async () => {
    expect(await ask('test.com', '/test')).toEqual({ 'x-test-header-0': 'foo', bar: 'test-value' });
  });
  goCase('go/route-config/route', async () => {
    expect(await ask('test.com', '/route-config-test')).toEqual({ 'x-test-header-1': 'bar', baz: 'test-value' });
  });
});

/** Of two Envoys with one host, the one that ends drops its config; what the host then destroyed is counted. */
goCase('go/config-destroy', async () => {
  const upstream = await startUpstream();
  try {
    const filters = [{ name: 'go-routeconfig', config: { remove: 'x-none', set: 'mine' } }];
    await withEnvoy({ filters, upstream, counters: true }, async (fx) => {
      const destroyed = async () => (await fx.counters())['go-routeconfig.destroyed.other'] ?? 0;
      const options = { socket: fx.socket };
      const second = await startEnvoy({
        filters: [{ name: 'go-routeconfig', config: { remove: 'x-none', set: 'other' }, options }],
        upstream,
        host: false,
      });
      try {
        expect((await get(second.port, '/hello')).header('other')).toBe('test-value');
        expect(await destroyed()).toBe(0);
      } finally {
        await second.stop();
      }
      await eventually('its config is destroyed', async () => (await destroyed()) === 1);
      expect((await fx.counters())['go-routeconfig.destroyed.mine']).toBeUndefined();
      expect((await get(fx.port, '/hello')).header('mine')).toBe('test-value');
    });
  } finally {
    await upstream.close();
  }
});
