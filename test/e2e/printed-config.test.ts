/** What we tell people to paste into their configuration: Envoy takes it as it stands, with all companion entries. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { buildDir, envoyBinary, hostScript, nodeBinary, root, within, Child } from '../fixture/index.js';

const dir = mkdtempSync(join(tmpdir(), 'tsf-printed-'));
afterAll(() => rmSync(dir, { recursive: true }));

function printed(name: string): string {
  const { status, stdout } = spawnSync(nodeBinary, [hostScript, 'print-config', name, '--socket', '/run/a b/s'], {
    encoding: 'utf8',
  });
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

async function validate(httpFilters: string): Promise<{ code: number | null; output: string }> {
  const path = join(dir, 'envoy.yaml');
  writeFileSync(path, around(httpFilters));
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
