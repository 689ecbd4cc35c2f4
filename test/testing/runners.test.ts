/** `envoy-ts-filter/testing` as a package, in the runners that people have: README's example in vitest, and node:test. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { nodeBinary, root } from '../fixture/paths.js';

// Inside the package, where its own name leads to it.
const dir = mkdtempSync(join(root, 'build', 'runners-'));
afterAll(() => rmSync(dir, { recursive: true }));

function run(args: readonly string[]): string {
  // Not the runner's own settings, which would be inherited.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(VITEST|NODE_|TEST)/.test(name)));
  const { status, stdout, stderr } = spawnSync(nodeBinary, args, { encoding: 'utf8', cwd: dir, env, timeout: 60_000 });
  expect(status, stdout + stderr).toBe(0);
  return stdout + stderr;
}

test("README's test passes with README's filter, in vitest", () => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  const blocks = [...readme.matchAll(/^```(?:ts|typescript)\n\/\/ (my-filters\/\S+)\n([^]*?)^```$/gm)];
  for (const [, path, source] of blocks) {
    mkdirSync(join(dir, path!, '..'), { recursive: true });
    writeFileSync(join(dir, path!), source!);
  }
  expect(blocks.map(([, path]) => path)).toEqual(['my-filters/x-user/index.ts', 'my-filters/x-user/index.test.ts']);
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  // A config of its own, or the repository's is found.
  writeFileSync(join(dir, 'vitest.config.mjs'), 'export default {};\n');
  const output = run([vitest, 'run', '--root', dir, '--reporter', 'default']);
  expect(output).toMatch(/1 passed/);
}, 60_000);

test('a test for node:test passes, with its fake time', () => {
  writeFileSync(
    join(dir, 'slow.test.mjs'),
    `import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { defineFilter } from 'envoy-ts-filter';
import { settled, testFilter } from 'envoy-ts-filter/testing';

const slow = defineFilter({
  name: 'slow',
  create: (_config, callbacks) => ({
    async decodeHeaders(headers) {
      if (headers.path === '/for-ever') callbacks.extendTimeout(60_000);
      await new Promise((resolve) => setTimeout(resolve, headers.path === '/minute' ? 4_000 : 2 ** 30));
      headers.set('x-slow', '1');
    },
  }),
});

test('time passes when it is told to', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const filter = testFilter(slow);
  const pass = async (coming, milliseconds) => {
    await settled();
    mock.timers.tick(milliseconds);
    return coming;
  };
  const minute = await pass(filter.request('/minute'), 4_000);
  assert.equal(minute.upstream.headers.get('x-slow'), '1');
  const late = await pass(filter.request('/late'), 5_000);
  assert.deepEqual([late.status, late.details], [504, 'ts_filter_timeout']);
  const later = await pass(filter.request('/for-ever'), 65_000);
  assert.equal(later.status, 504);
  mock.timers.reset();
});
`,
  );
  const output = run(['--test', 'slow.test.mjs']);
  expect(output).toMatch(/pass 1/);
}, 60_000);
