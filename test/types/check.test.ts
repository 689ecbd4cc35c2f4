/** `ts-filter-host check`: every mistake that TypeScript refuses, with its place and mend, also in JavaScript. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hostScript, nodeBinary } from '../fixture/paths.js';
import { COMPILERS } from './compile.js';
import { JS_HEADING, MISTAKES, moduleOf } from './mistakes.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Outside the repository: what a project has not installed is not found. */
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tsf-check-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function check(cwd: string, ...paths: string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(nodeBinary, [hostScript, 'check', ...paths], { cwd, encoding: 'utf8' });
  return { status, stdout, stderr };
}

/** A project with packages of this one, by the name that each has there. */
function project(
  name: string,
  packages: Readonly<Record<string, string>>,
  files: Readonly<Record<string, string>>,
): string {
  const path = join(folder, name);
  mkdirSync(join(path, 'node_modules'), { recursive: true });
  for (const [as, from] of Object.entries(packages)) symlinkSync(join(ROOT, from), join(path, 'node_modules', as));
  for (const [file, source] of Object.entries(files)) writeFileSync(join(path, file), source);
  return path;
}

describe.each(COMPILERS)('check with %s', (compiler) => {
  const files: Record<string, string> = {};
  for (const [i, one] of MISTAKES.entries()) {
    for (const extension of ['ts', 'js']) files[`wrong-${i}.${extension}`] = moduleOf(one, JS_HEADING);
  }
  let said: string[];
  beforeAll(() => {
    const packages = { 'envoy-ts-filter': '.', typescript: `node_modules/${compiler}`, zod: 'node_modules/zod' };
    const { status, stdout } = check(project(compiler, packages, files));
    expect(status).toBe(1);
    said = stdout.split(/\n(?! )/);
  }, 120_000);

  it.each(MISTAKES.flatMap((one, i) => ['ts', 'js'].map((extension) => [one.title, extension, one, i] as const)))(
    'finds %s in a .%s file',
    (_title, extension, { mend }, i) => {
      const file = `wrong-${i}.${extension}`;
      const own = said.filter((text) => text.startsWith(`${file}:`));
      const source = files[file]!.split('\n');
      const marked = source.flatMap((line, n) => (line.endsWith('// wrong') ? [n + 1] : []));
      const lines = own.map((text) => Number(text.split(':')[1]));
      expect(own).not.toEqual([]);
      for (const line of marked) expect(lines).toContain(line);
      if (mend !== undefined) expect(own.join('\n')).toMatch(mend);
    },
  );
});

it('is content with filters that are right, by the settings of their project', () => {
  const source = `import { defineFilter } from 'envoy-ts-filter';
export default defineFilter({ name: 'a', create: () => ({ decodeHeaders(headers) { const unused = headers.path; } }) });
`;
  // The library need not be installed there: filters get the host's own.
  const path = project('right', { typescript: 'node_modules/typescript' }, { 'a.ts': source });
  expect(check(path)).toEqual({ status: 0, stdout: '1 filter file(s), no mistakes found\n', stderr: '' });
  writeFileSync(join(path, 'tsconfig.json'), '{ "compilerOptions": { "module": "nodenext", "noUnusedLocals": true } }');
  expect(check(path, 'a.ts').stdout).toMatch(/^a\.ts:2:\d+: TS6133: 'unused' is declared/);
});

it('without TypeScript it says how to get it', () => {
  const path = project('without', {}, { 'a.js': '' });
  const { status, stderr } = check(path, 'a.js');
  expect(stderr).toMatch(/TSF_TYPESCRIPT_MISSING: .*a\.js; get it with: npm install --save-dev typescript\n$/);
  expect(status).toBe(1);
});
