/** Several filters in a chain, their configs per route, and filters switched off per route. */
import { describe, expect, it } from 'vitest';
import {
  dynamicModulePerRoute,
  envoyVersion,
  Fixture,
  get,
  type Config,
  type EnvoyOptions,
  type Seen,
} from '../fixture/index.js';
import { logsOnFailure, scene, stage } from './support.js';

const DISABLED: Config = { '@type': 'type.googleapis.com/envoy.config.route.v3.FilterConfig', disabled: true };
const toUpstream = { cluster: 'upstream', timeout: '0s' };
const rules = (plugin_config: unknown, more: Config = {}) => ({
  rules: dynamicModulePerRoute('rules', { plugin_config, ...more }),
});

describe('the config of a virtual host', () => {
  const at = stage({
    filters: [{ name: 'rules', config: { set: { 'x-from': 'filter', 'x-own': 'filter' } } }],
    virtualHost: { typed_per_filter_config: rules({ set: { 'x-from': 'host' } }) },
  });
  it("merges over the filter's own", async () => {
    logsOnFailure(at);
    const seen = Object.fromEntries(((await get(at.port, '/sink')).json as Seen).headers);
    expect(seen).toMatchObject({ 'x-from': 'host', 'x-own': 'filter' });
  });
});

describe('per-route configs', () => {
  const sink = '/sink';
  const byHeader = (name: string, perFilter: Config): Config => ({
    match: { path: sink, headers: [{ name: 'x-route', string_match: { exact: name } }] },
    route: toUpstream,
    typed_per_filter_config: perFilter,
  });
  const at = stage({
    filters: [
      { name: 'rules', config: { set: { 'x-from': 'filter', 'x-own': 'filter' }, remove: ['x-0'] } },
      { name: 'rules', instance: 'rules-2', config: { set: { 'x-second': 'yes' } } },
      { name: 'touch' },
    ],
    routes: [
      byHeader('merged', rules({ set: { 'x-from': 'route', 'x-route-only': 'yes' }, remove: ['x-1'] })),
      byHeader('off', { rules: DISABLED }),
      byHeader('all-off', { rules: DISABLED, 'rules-2': DISABLED, touch: DISABLED }),
      byHeader('second', {
        'rules-2': dynamicModulePerRoute('rules', { plugin_config: { set: { 'x-second': 'route' } } }),
      }),
      byHeader('refused', rules({ refuse: 'this route is refused' })),
    ],
  });
  const asked = async (name: string) => {
    const answer = await get(at.port, sink, [
      ['x-route', name],
      ['x-0', '0'],
      ['x-1', '1'],
    ]);
    return { answer, seen: answer.status === 200 ? Object.fromEntries((answer.json as Seen).headers) : {} };
  };

  it("no route config: the filter's own", async () => {
    logsOnFailure(at);
    const { seen } = await asked('none');
    expect(seen).toMatchObject({
      'x-from': 'filter',
      'x-own': 'filter',
      'x-second': 'yes',
      'x-touch-request': 'on',
      'x-1': '1',
    });
    expect(seen['x-0']).toBeUndefined();
  });

  it("a route's config merges over the filter's own", async () => {
    logsOnFailure(at);
    const { seen } = await asked('merged');
    expect(seen).toMatchObject({ 'x-from': 'route', 'x-own': 'filter', 'x-route-only': 'yes', 'x-second': 'yes' });
    expect([seen['x-0'], seen['x-1']]).toEqual([undefined, undefined]);
  });

  it('each instance of a filter has its own route config', async () => {
    const { seen } = await asked('second');
    expect(seen).toMatchObject({ 'x-from': 'filter', 'x-second': 'route' });
  });

  it('FilterConfig disabled switches one filter off, or all of them', async () => {
    const { seen } = await asked('off');
    expect(seen).toMatchObject({ 'x-0': '0', 'x-second': 'yes', 'x-touch-request': 'on' });
    expect(seen['x-from']).toBeUndefined();
    const { answer, seen: untouched } = await asked('all-off');
    expect([
      untouched['x-from'],
      untouched['x-second'],
      untouched['x-touch-request'],
      answer.header('x-touch-response'),
    ]).toEqual([undefined, undefined, undefined, undefined]);
    expect(untouched['x-0']).toBe('0');
  });

  it('a refused route config answers 500 on that route only', async () => {
    logsOnFailure(at);
    const { answer } = await asked('refused');
    expect(answer.status).toBe(500);
    expect((await asked('none')).answer.status).toBe(200);
  });
});

describe('per-route keys of the module', () => {
  const at = stage({
    filters: [{ name: 'park', options: { message_timeout: '20s' } }],
    routes: [
      {
        match: { prefix: '/quick' },
        route: toUpstream,
        typed_per_filter_config: { park: dynamicModulePerRoute('park', { message_timeout: '0.2s' }) },
      },
      {
        match: { prefix: '/open' },
        route: toUpstream,
        typed_per_filter_config: {
          park: dynamicModulePerRoute('park', { message_timeout: '0.2s', failure_mode: 'open' }),
        },
      },
    ],
  });
  it('message_timeout and failure_mode of the route win', async () => {
    logsOnFailure(at);
    const started = performance.now();
    expect((await get(at.port, '/quick', [['x-park', 'decodeHeaders']])).status).toBe(504);
    expect((await get(at.port, '/open', [['x-park', 'decodeHeaders']])).text).toBe('you asked for /open');
    expect(performance.now() - started).toBeLessThan(3_000);
  });
});

describe("a route's config as a Struct", () => {
  const filter_config = {
    '@type': 'type.googleapis.com/google.protobuf.Struct',
    value: { plugin_config: { set: { 'x-from': 'route' } } },
  };
  const options: EnvoyOptions = {
    filters: [{ name: 'rules', config: { set: { 'x-from': 'filter' } } }],
    virtualHost: { typed_per_filter_config: { rules: { ...dynamicModulePerRoute('rules', {}), filter_config } } },
  };

  it.skipIf(envoyVersion === '1.38')('works', async () => {
    await scene(
      options.filters!,
      async (fx) => {
        expect(((await get(fx.port, '/sink')).json as Seen).headers).toContainEqual(['x-from', 'route']);
      },
      options,
    );
  });

  it.runIf(envoyVersion === '1.38')('is refused by a message that says what 1.38 takes', async () => {
    const fx = new Fixture({ ...options, host: false });
    try {
      const { code, output } = await fx.runToEnd('--mode', 'validate');
      expect(code).toBe(1);
      expect(output).toMatch(/route config of filter "rules": filter_config: Envoy 1\.38 .*StringValue/);
    } finally {
      fx.remove();
    }
  });
});

describe('several filters in one crossing', () => {
  const chain = [
    { name: 'rules', plugin_config: { set: { 'x-a': '1', 'x-b': '1' } } },
    { name: 'rules', plugin_config: { set: { 'x-b': '2' }, remove: ['x-0'] } },
    { name: 'touch' },
    { name: 'replies' },
  ];
  const at = stage({ filters: [{ name: 'chain', filters: chain }] });
  it('run in their order, and back in the opposite one', async () => {
    logsOnFailure(at);
    const answer = await get(at.port, '/sink', [['x-0', '0']]);
    const seen = Object.fromEntries((answer.json as Seen).headers);
    expect(seen).toMatchObject({ 'x-a': '1', 'x-b': '2', 'x-touch-request': 'on' });
    expect(seen['x-0']).toBeUndefined();
    expect([answer.header('x-touch-response'), answer.header('x-passed')]).toEqual(['on', 'yes']);
  });

  it('a reply of one passes the encode hooks of those before it', async () => {
    const answer = await get(at.port, '/deny');
    expect([answer.status, answer.header('x-touch-response')]).toEqual([403, 'on']);
  });
});
