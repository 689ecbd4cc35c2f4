/** What we tell people to paste into their configuration: Envoy takes it as it stands, with all companion entries. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parse, parseAllDocuments, stringify } from 'yaml';
import { buildDir, envoyBinary, hostScript, nodeBinary, root, within, Child, type Config } from '../fixture/index.js';

const dir = mkdtempSync(join(tmpdir(), 'tsf-printed-'));
afterAll(() => rmSync(dir, { recursive: true }));

function printed(name: string, ...options: string[]): string {
  const args = [hostScript, 'print-config', name, '--socket', '/run/a b/s', ...options];
  const { status, stdout, stderr } = spawnSync(nodeBinary, args, { encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(status).toBe(0);
  return stdout;
}

/** The block of that kind in the README which has our filter's entry. */
function inReadme(): string {
  const blocks = readFileSync(join(root, 'README.md'), 'utf8').matchAll(/^```yaml\n(.*?)^```/gms);
  return [...blocks].map(([, yaml]) => yaml!).find((yaml) => yaml.includes('- name: ts_filter'))!;
}

const indented = (text: string, by: number): string => text.replace(/^(?=.)/gm, ' '.repeat(by));
const ROOM = 12;
const around = (httpFilters: string): string => `static_resources:
  listeners:
  - name: main
    address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: main
          route_config: { virtual_hosts: [{ name: all, domains: ["*"], routes: [{ match: { prefix: / }, direct_response: { status: 200 } }] }] }
          http_filters:
${indented(httpFilters, ROOM)}`;

const validate = (httpFilters: string) => validateWhole(around(httpFilters));

async function validateWhole(config: string): Promise<{ code: number | null; output: string }> {
  const path = join(dir, 'envoy.yaml');
  writeFileSync(path, config);
  const child = new Child('envoy', envoyBinary(), ['--mode', 'validate', '--use-dynamic-base-id', '-c', path], {
    ENVOY_DYNAMIC_MODULES_SEARCH_PATH: buildDir,
  });
  try {
    const { code } = await within(15_000, 'envoy --mode validate', child.exit);
    return { code, output: child.output };
  } finally {
    await child.kill();
  }
}

describe.each([
  ['print-config', () => printed('na"me')],
  ["the README's entries", inReadme],
] as const)('%s', (_what, made) => {
  it('is taken by --mode validate', async () => {
    const { code, output } = await validate(made());
    expect(code, output).toBe(0);
  });

  it("has an edge first, one last before the router, and one in the router's own chain", () => {
    const names = [...made().matchAll(/^( *)- name: (\S+)/gm)].map(([, space, name]) => `${space!}${name!}`);
    expect(names).toEqual([
      'ts_filter_edge_first',
      'ts_filter',
      'ts_filter_edge_last',
      'envoy.filters.http.router',
      '    ts_filter_edge_upstream',
      '    envoy.filters.http.upstream_codec',
    ]);
  });

  it('has a line about what each of them brings', () => {
    for (const place of ['first', 'last', 'upstream'])
      expect(made()).toMatch(new RegExp(`^ *# .*\\w.*\\n *- name: ts_filter_edge_${place}$`, 'm'));
  });
});

it('is refused when an entry is broken, so that the test would tell', async () => {
  const { code, output } = await validate(printed('a').replaceAll('filter_name: ts_filter_edge', 'filter_nam: x'));
  expect([code, output.includes('filter_nam')]).toEqual([1, true]);
});

describe('print-config --full', () => {
  it.each([[[]], [['--metadata', 'envoy.filters.http.lua.redirect:plugins', '--upstream', 'backend.example:80']]])(
    'is a whole envoy.yaml: %j',
    async (options) => {
      const config = printed('x-user', '--full', '--port', '12345', ...options);
      const { code, output } = await validateWhole(config);
      expect(code, output).toBe(0);
      expect(config).toContain('port_value: 12345');
    },
  );

  it('hands nested metadata over before the filter that reads it', () => {
    const text = printed('apisix', '--metadata', 'envoy.filters.http.lua.redirect:plugins');
    expect(text).toMatch(
      /object_key: "apisix.plugins"[^]*%METADATA\(ROUTE:envoy.filters.http.lua.redirect:plugins\)%[^]*filter_name: "apisix"/,
    );
  });
});

it('print-config --full, check --config and doctor agree with each other and with Envoy', () => {
  const socket = join(dir, 's');
  const config = join(dir, 'whole.yaml');
  const env = { ...process.env, ENVOY_DYNAMIC_MODULES_SEARCH_PATH: buildDir };
  const run = (...args: string[]) =>
    spawnSync(nodeBinary, [hostScript, ...args, '--socket', socket], { encoding: 'utf8', env });
  writeFileSync(config, run('print-config', 'hello', '--full').stdout);
  const filter = join(root, 'filters/hello');
  expect(run('check', '--config', config, filter).stdout).toBe(`${config}: no mistakes found\n`);
  const doctor = run('doctor', '--config', config, filter, '--envoy', envoyBinary());
  expect(doctor.stdout).toMatch(/^ok {4}envoy: 1\.[^]*^ok {4}config: /m);
  expect(doctor.status).toBe(0);

  // What the module alone refuses.
  writeFileSync(
    config,
    readFileSync(config, 'utf8').replace(
      'plugin_config: {}',
      'plugin_config: {}\n                  message_timout: 5s',
    ),
  );
  const wrong = run('doctor', '--config', config, filter, '--envoy', envoyBinary());
  expect(wrong.stdout).toMatch(
    /^wrong config: Envoy 1\..* refuses it: ts_filter: .*message_timout: is not a known key/m,
  );
  expect(wrong.status).toBe(1);
});

const NAMES = [
  'ts_filter_edge_first',
  'x_user.plugins',
  'ts_filter',
  'ts_filter_edge_last',
  'envoy.filters.http.router',
] as const;
const withModule = (text: string) =>
  text.replaceAll('/opt/ts-filter/libts_filter.so', join(buildDir, 'libts_filter.so'));

describe('print-config --istio', () => {
  /** What Istio makes of the patches. */
  function patched(text: string): Config[] {
    const { spec } = parse(text) as Config;
    const chain: Config[] = [
      {
        name: 'istio.stats',
        typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig' },
      },
      { name: 'envoy.filters.http.router', typed_config: { suppress_envoy_headers: true } },
    ];
    for (const { applyTo, patch } of spec.configPatches as Config[]) {
      expect(applyTo).toBe('HTTP_FILTER');
      const at = chain.findIndex(({ name }) => name === 'envoy.filters.http.router');
      if (patch.operation === 'INSERT_FIRST') chain.unshift(patch.value as Config);
      else if (patch.operation === 'INSERT_BEFORE') chain.splice(at, 0, patch.value as Config);
      else Object.assign(chain[at]!['typed_config'] as Config, patch.value.typed_config);
    }
    return chain;
  }

  it('puts edges and filter in their places of a chain that Envoy takes', async () => {
    const chain = patched(withModule(printed('x-user', '--istio', '--metadata', 'a.b:plugins')));
    expect(chain.map(({ name }) => name as string)).toEqual([NAMES[0], 'istio.stats', ...NAMES.slice(1)]);
    const { code, output } = await validate(stringify(chain));
    expect(code, output).toBe(0);
  });

  it('has the context that was asked for, in every patch', () => {
    const contexts = printed('x', '--istio', 'GATEWAY').match(/context: \w+/g);
    expect(contexts).toEqual(Array(4).fill('context: GATEWAY'));
  });
});

describe('print-config --gateway-api', () => {
  it('registers the module, and names filters that it has, with configs that it takes', async () => {
    const [proxy, policy] = parseAllDocuments(withModule(printed('x-user', '--gateway-api'))).map(
      (doc) => doc.toJS() as Config,
    );
    const [module] = proxy!['spec'].dynamicModules as Config[];
    const chain = (policy!['spec'].dynamicModule as Config[]).map(({ name, filterName, config }, i) => {
      expect(name).toBe(module!['name']);
      expect(name).toMatch(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/);
      return {
        name: `module-${i}`,
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter',
          dynamic_module_config: {
            do_not_close: module!['doNotClose'],
            module: { local: { filename: module!['source'].local.path } },
          },
          filter_name: filterName,
          ...(config === undefined
            ? {}
            : {
                filter_config: {
                  '@type': 'type.googleapis.com/google.protobuf.StringValue',
                  value: JSON.stringify(config),
                },
              }),
        },
      };
    });
    const router = {
      name: 'router',
      typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
    };
    const { code, output } = await validate(stringify([...chain, router]));
    expect(code, output).toBe(0);
  });
});
