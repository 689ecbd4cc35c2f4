/** A filter of ours inside Envoy's composite filter: where its routes' configs have to stand, and where they are ignored. */
import { expect, it } from 'vitest';
import {
  dynamicModule,
  dynamicModulePerRoute,
  envoyVersion,
  filterPath,
  Fixture,
  get,
  startUpstream,
  type Config,
  type Seen,
} from '../fixture/index.js';

const EXTENSION = 'type.googleapis.com/envoy.extensions.common.matching.v3';
const ANY = {
  '@type': 'type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput',
  header_name: ':method',
};

const composite = (inner: Config): Config => ({
  '@type': `${EXTENSION}.ExtensionWithMatcher`,
  extension_config: {
    name: 'composite',
    typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.composite.v3.Composite' },
  },
  xds_matcher: {
    matcher_tree: {
      input: { name: 'method', typed_config: ANY },
      exact_match_map: {
        map: {
          GET: {
            action: {
              name: 'composite-action',
              typed_config: {
                '@type': 'type.googleapis.com/envoy.extensions.filters.http.composite.v3.ExecuteFilterAction',
                typed_config: { name: 'inner', typed_config: inner },
              },
            },
          },
        },
      },
    },
  },
});

it.runIf(envoyVersion === '1.40')(
  "composite: a route's config under the inner name is ignored, under the outer one it is found",
  async () => {
    const upstream = await startUpstream();
    const rules = (from: string) => dynamicModulePerRoute('rules', { plugin_config: { set: { 'x-from': from } } });
    const route = (path: string, name: string): Config => ({
      match: { path: '/sink', headers: [{ name: 'x-route', string_match: { exact: path } }] },
      route: { cluster: 'upstream' },
      typed_per_filter_config: { [name]: rules(name) },
    });
    const fx = new Fixture({
      upstream,
      hostPaths: [filterPath('rules')],
      filters: [],
      routes: [route('in', 'inner'), route('out', 'outer')],
    });
    const inner = dynamicModule('rules', {
      socket: fx.socket,
      host_wait: '5s',
      plugin_config: { set: { 'x-from': 'filter' } },
    });
    Object.assign(fx.options, { filters: [{ name: 'outer', typed_config: composite(inner) }] });
    await fx.startAll(true);
    try {
      const from = async (name: string) =>
        Object.fromEntries(((await get(fx.port, '/sink', [['x-route', name]])).json as Seen).headers)['x-from'];
      expect([await from('none'), await from('in'), await from('out')]).toEqual(['filter', 'filter', 'outer']);
      expect(fx.envoy.output).not.toMatch(/inner.*ignored/);
    } finally {
      await fx.stop();
      await upstream.close();
    }
  },
);
