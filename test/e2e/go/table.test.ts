/** The table of cases and the tests name the same, and so do the table and docs/go-compat.md. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { root } from '../../fixture/index.js';
import { impossible } from './case.js';
import { CASES } from './cases.js';

it('each case of the table has one test, and each test is in the table', async () => {
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const args = [vitest, 'list', 'test/e2e/go/', '--project', 'e2e', '--json'];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root, maxBuffer: 1 << 26 });
  const tests = (JSON.parse(stdout) as { name: string }[])
    .map(({ name }) => name.split(' > ').at(-1)!)
    .filter((name) => name.startsWith('go/'))
    .map((name) => name.replace(/ \(impossible here\)$/, ''));
  expect(tests.sort()).toEqual([...CASES].sort());
  expect(new Set(CASES).size).toBe(CASES.length);
});

it('docs/go-compat.md lists no case that the table does not have', () => {
  expect([...impossible.keys()].filter((id) => !(CASES as readonly string[]).includes(id))).toEqual([]);
});

it('docs/go-compat.md names each case', () => {
  const page = readFileSync(join(root, 'docs', 'go-compat.md'), 'utf8');
  // a case over both protocols is there once, for both
  const named = CASES.filter((id) => !id.endsWith('/h2'));
  expect(named.filter((id) => !page.includes(`\`${id}\``))).toEqual([]);
});
