/** Each language's library: its own tests, and its size. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { buildDir, root } from '../fixture/paths.js';

const clients = join(root, 'filters/calls/clients');
const built = join(buildDir, 'calls');

it.each<[string, string, string[]]>([
  ['Python', 'python3', ['-B', '-m', 'unittest', '-q']],
  ['Go', 'go', ['test', '-count=1', '.']],
  ['Java', 'java', ['-ea', '-cp', join(built, 'java'), 'tsfilter.CallsTest']],
  ['Rust', join(built, 'rust-test'), []],
])('%s: its own tests pass', { timeout: 60_000 }, async (name, command, args) => {
  const cwd = join(clients, name.toLowerCase());
  const { stdout, stderr } = await promisify(execFile)(command, args, { cwd });
  expect(stdout + stderr).toMatch(/OK|ok|passed/);
});

it.each([
  'python/ts_filter_calls.py',
  'go/calls.go',
  'java/tsfilter/Calls.java',
  'rust/src/lib.rs',
  'typescript/serve.ts',
])('%s has less than 150 lines of code', (path) => {
  const lines = readFileSync(join(clients, path), 'utf8').split('\n');
  const code = lines.filter((line) => !/^\s*($|\/\/|#( |$)|\/?\*|""")/.test(line));
  expect(code.length).toBeLessThan(150);
});
