/** Configs that are too large for a message to the host: refused while Envoy loads them, and nobody else notices. */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { envoyVersion, eventually, get, startEnvoy, type Config, type Fixture } from '../fixture/index.js';
import { scene } from './support.js';

const MODULE_FILTER = 'type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter';
const LIMIT = /filter "touch": filter_config\.plugin_config: is \d+ bytes of JSON; the limit is 15728640 bytes/;
const large = (bytes: number): Config => ({ tag: 'on', ballast: 'x'.repeat(bytes) });

const EDGE = {
  '@type': MODULE_FILTER,
  dynamic_module_config: { name: 'ts_filter', do_not_close: true },
  filter_name: 'ts_filter_edge',
};

/** The first request may come before the host's verdict. */
const serves = (fx: Fixture, path = '/hello'): Promise<unknown> =>
  eventually('it serves', async () => (await get(fx.port, path)).status === 200, 20_000);

// What the module does with them does not depend on Envoy's version.
describe.runIf(envoyVersion === '1.40')('a plugin_config', () => {
  // 300 MB of them need much memory in Envoy itself: HUGE=1.
  const sizes = [[17 << 20, LIMIT] as const];
  if (process.env.HUGE !== undefined)
    sizes.push([300 << 20, /filter "touch": filter_config: plugin_config is too large: .*the limit is 15728640 bytes/]);
  it.each(sizes)('of %i bytes is refused at load with filter, key and limit', async (bytes, line) => {
    let why = '';
    try {
      await startEnvoy({ filters: [{ name: 'touch', config: large(bytes) }], host: false });
    } catch (error) {
      why = (error as Error).message;
    }
    expect(why).toMatch(line);
  });

  it('of 17 MB by ECDS is rejected, and the filters of the socket serve on', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'tsf-ecds-'));
    const file = join(dir, 'ecds.json');
    // Envoy looks for renames.
    const discover = (fx: Fixture, config: Config): void => {
      writeFileSync(`${file}.new`, discovered(fx, config));
      renameSync(`${file}.new`, file);
    };
    writeFileSync(file, JSON.stringify({ resources: [] }));
    const bySource = {
      name: 'discovered',
      config_discovery: {
        config_source: { path_config_source: { path: file } },
        type_urls: [MODULE_FILTER],
        default_config: EDGE,
        apply_default_config_without_warming: true,
      },
    };
    try {
      await scene(
        [{ name: 'touch' }, bySource],
        async (fx) => {
          await serves(fx);
          discover(fx, large(10));
          const touches = async (): Promise<number> => (await get(fx.port, '/hello')).all('x-touch-response').length;
          await eventually('the update serves', async () => (await touches()) === 2);
          const fails = async (): Promise<number> => [...(await fx.stats(/discovered\.config_fail$/)).values()][0] ?? 0;
          const failsBefore = await fails();
          const before = fx.envoy.output.length;
          discover(fx, large(17 << 20));
          await eventually('the update is rejected', async () => {
            expect(await touches()).toBe(2);
            return LIMIT.test(fx.envoy.output.slice(before));
          });
          for (let i = 0; i < 50; i++) expect(await touches()).toBe(2);
          expect(await fails()).toBe(failsBefore + 1);
          expect(fx.envoy.output.slice(before)).not.toMatch(/lost:|connected to ts-filter-host/);
        },
        { counters: false, envoyArgs: ['--service-node', 'a', '--service-cluster', 'a'] },
      );
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it('of 20 KB for each of 2000 routes is served', () => {
    const routes = Array.from({ length: 2000 }, (_, i) => ({
      match: { path: `/r${i}` },
      route: { cluster: 'upstream', prefix_rewrite: '/hello' },
      typed_per_filter_config: {
        touch: {
          '@type': 'type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilterPerRoute',
          dynamic_module_config: { name: 'ts_filter', do_not_close: true },
          per_route_config_name: 'touch',
          filter_config: {
            '@type': 'type.googleapis.com/google.protobuf.Struct',
            value: { plugin_config: { tag: `route-${i}`, ballast: 'x'.repeat(20_000) } },
          },
        },
      },
    }));
    return scene(
      [{ name: 'touch' }],
      async (fx) => {
        await serves(fx);
        for (const i of [0, 1, 999, 1999]) {
          await serves(fx, `/r${i}`);
          expect((await get(fx.port, `/r${i}`)).header('x-touch-response')).toBe(`route-${i}`);
        }
      },
      { routes, counters: false },
    );
  });
});

function discovered(fx: Fixture, plugin_config: Config): string {
  return JSON.stringify({
    version_info: '1',
    resources: [
      {
        '@type': 'type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig',
        name: 'discovered',
        typed_config: {
          '@type': MODULE_FILTER,
          dynamic_module_config: { name: 'ts_filter', do_not_close: true },
          filter_name: 'touch',
          filter_config: {
            '@type': 'type.googleapis.com/google.protobuf.Struct',
            value: { socket: fx.socket, plugin_config },
          },
        },
      },
    ],
  });
}
