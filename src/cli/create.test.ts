import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hostScript, nodeBinary, root } from '../../test/fixture/paths.js';

// Below the repository's node_modules, where vitest and TypeScript are found.
mkdirSync(join(root, 'build'), { recursive: true });
const dir = mkdtempSync(join(root, 'build', 'create-'));
afterAll(() => rmSync(dir, { recursive: true }));
mkdirSync(join(dir, 'node_modules'));
symlinkSync(root, join(dir, 'node_modules', 'envoy-ts-filter'));

const run = (...args: string[]) => spawnSync(nodeBinary, args, { cwd: dir, encoding: 'utf8', timeout: 60_000 });
const create = (...args: string[]) => run(hostScript, 'create', ...args);
const manifest = (name: string) =>
  JSON.parse(readFileSync(join(dir, name, 'package.json'), 'utf8')) as {
    name: string;
    dependencies: Record<string, string>;
  };

describe('a new project', () => {
  beforeAll(() => {
    writeFileSync(join(dir, 'package.json'), '{ "dependencies": { "envoy-ts-filter": "file:lib.tgz" } }');
    expect(create('x-mark').stderr).toBe('');
  });

  test('has all that is named in the docs, and no name left open', () => {
    const files = ['package.json', 'tsconfig.json', 'README.md', 'AGENTS.md', '.gitignore', '.vscode/launch.json'];
    for (const file of [...files, 'filters/x-mark.ts', 'filters/x-mark.test.ts']) {
      expect(readFileSync(join(dir, 'x-mark', file), 'utf8'), file).not.toMatch(/NAME|undefined|\\[`$]/);
    }
    expect(readFileSync(join(dir, 'x-mark/.vscode/launch.json'), 'utf8')).toContain(
      '"${workspaceFolder}/node_modules/',
    );
  });

  test('takes the library from where the folder around has it', () => {
    expect(manifest('x-mark').dependencies['envoy-ts-filter']).toBe('file:../lib.tgz');
  });

  test('has no mistake that check finds', () => {
    const { stdout, status } = run(hostScript, 'check', 'x-mark/filters');
    expect([stdout, status]).toEqual(['1 filter file(s), no mistakes found\n', 0]);
  });

  test('passes its own tests, and their types are right', () => {
    const env = { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined };
    const at = { cwd: join(dir, 'x-mark'), encoding: 'utf8' as const, env };
    execFileSync(nodeBinary, [join(root, 'node_modules/typescript/bin/tsc'), '-p', '.'], at);
    const tests = spawnSync(nodeBinary, [join(root, 'node_modules/vitest/vitest.mjs'), 'run', '--root', '.'], at);
    expect(tests.stdout + tests.stderr).toMatch(/Tests +2 passed/);
  }, 60_000);
});

test('npm create calls the same code', () => {
  const packed = join(dir, 'node_modules', 'create-envoy-ts-filter');
  mkdirSync(packed);
  for (const file of ['package.json', 'create.js']) {
    writeFileSync(join(packed, file), readFileSync(join(root, 'packages/create-envoy-ts-filter', file)));
  }
  const { stdout } = run(join(packed, 'create.js'), 'from-npm', '--package', '^9.9.9');
  expect(stdout).toContain('from-npm/filters/from-npm.ts');
  expect(manifest('from-npm')).toMatchObject({ name: 'from-npm', dependencies: { 'envoy-ts-filter': '^9.9.9' } });
  const own = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const its = JSON.parse(readFileSync(join(packed, 'package.json'), 'utf8')) as {
    version: string;
    dependencies: object;
  };
  expect(its).toMatchObject({ version: own.version, dependencies: { 'envoy-ts-filter': own.version } });
});

test('nothing that is there is written over', () => {
  mkdirSync(join(dir, 'mine'));
  const { stderr, status } = create('mine');
  expect(stderr).toMatch(/^ts-filter-host: TSF_EXISTS: .*\/mine is there already; choose another name.*\n$/);
  expect(status).toBe(1);
});

test.each([
  ['My Filter', 'for instance my-filter'],
  ['../up', 'for instance up'],
  ['9lives', 'for instance lives'],
  ['a--b', 'for instance a-b'],
  ['x'.repeat(65), `for instance ${'x'.repeat(64)}`],
  ['', 'a letter first'],
  ['envoy-ts-filter', 'for instance my-envoy-ts-filter'],
])('the name "%s" is refused, with one that is not', (name, mend) => {
  const { stderr, status } = create(name);
  expect(stderr).toContain(mend);
  expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  expect(status).toBe(2);
});
