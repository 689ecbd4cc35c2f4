/** module-path, build-module and build-addon. That they build what works is tested where the package is (test/package). */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { hostScript, nodeBinary, root } from '../../test/fixture/paths.js';

const dir = mkdtempSync(join(tmpdir(), 'tsf-native-'));
afterAll(() => rmSync(dir, { recursive: true }));

function run(args: readonly string[], env: Record<string, string> = {}) {
  return spawnSync(nodeBinary, [hostScript, ...args], { encoding: 'utf8', env: { ...process.env, ...env } });
}

test('module-path prints where the module is', () => {
  const { status, stdout, stderr } = run(['module-path']);
  const path = join(root, 'build', 'libts_filter.so');
  if (existsSync(path)) expect([status, stdout]).toEqual([0, `${path}\n`]);
  else expect(stderr).toMatch(/TSF_MODULE_MISSING: .*is missing; run `ts-filter-host build-module`/);
});

describe.each(['build-module', 'build-addon'])('%s', (command) => {
  const out = join(dir, command);

  test('without a compiler says how to get one', () => {
    const { status, stderr } = run([command, '--out', out], { CXX: 'no-such-compiler' });
    expect(stderr).toMatch(/TSF_COMPILER_MISSING: there is no C\+\+ compiler no-such-compiler; install one/);
    expect([status, existsSync(out)]).toEqual([1, false]);
  });

  test("hands over the compiler's own words when it fails", () => {
    const { status, stderr } = run([command, '--out', out], { CXXFLAGS: '--no-such-flag' });
    expect(stderr).toMatch(/TSF_BUILD_FAILED: g\+\+ failed:\n[^]*--no-such-flag/);
    expect([status, existsSync(out)]).toEqual([1, false]);
  });
});

test('build-addon wants the headers of Node', () => {
  const { status, stderr } = run(['build-addon', '--out', join(dir, 'x'), '--node-headers', dir]);
  expect(stderr).toMatch(/TSF_HEADERS_MISSING: .*npx node-gyp install/);
  expect(status).toBe(1);
});

test('a copy that is not built, from a git address, says so', () => {
  mkdirSync(join(dir, 'bin'));
  copyFileSync(hostScript, join(dir, 'bin', 'ts-filter-host.js'));
  writeFileSync(join(dir, 'package.json'), '{ "type": "module" }');
  const { status, stderr } = spawnSync(nodeBinary, [join(dir, 'bin', 'ts-filter-host.js'), 'x'], { encoding: 'utf8' });
  expect(stderr).toMatch(/main\.js is missing: this copy is not built\. .*make package/);
  expect(status).toBe(1);
});
