import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { bundleFilters, bundleInit, findFilterFiles } from './loader.js';
import { type FileEvents, FilterFiles } from './filter-files.js';
import { importBundle, loadFailure } from './loader-import.js';

let folder: string;
const cache = process.env.XDG_CACHE_HOME;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ts-filter-loader-'));
  process.env.XDG_CACHE_HOME = join(folder, '.cache');
});
afterEach(async () => {
  if (cache === undefined) delete process.env.XDG_CACHE_HOME;
  else process.env.XDG_CACHE_HOME = cache;
  await rm(folder, { recursive: true });
});

async function write(files: Record<string, string>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
}
const path = (name: string) => join(folder, name);
/** They fail at once, not later. */
const AT_ONCE: FileEvents = {
  failed(_file, error) {
    throw error;
  },
  slow: (file) => expect.unreachable(file),
  loaded: (file) => expect.unreachable(file),
};
async function filesOf(names: readonly string[], events: FileEvents): Promise<FilterFiles> {
  return new FilterFiles(await importBundle((await bundleFilters(names.map(path))).url), events);
}
async function load(...names: string[]) {
  const files = await filesOf(names, AT_ONCE);
  await files.start();
  return files.definitions.map(({ filter }) => filter);
}
// What defineFilter makes; the loader sees that and nothing else of a filter.
const filter = (name: string) =>
  `{ name: '${name}', [Symbol.for('envoy-ts-filter.definition')]: { name: '${name}', create() { return {}; } } }`;
const failure = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work;
  } catch (error) {
    return loadFailure(error);
  }
  throw new Error('it did not fail');
};

test('a folder holds <name>/index.ts and <name>.ts; tests, types, and packages are no filters', async () => {
  await write({
    'f/a/index.ts': '',
    'f/b.ts': '',
    'f/c.mjs': '',
    'f/a/part.ts': '',
    'f/b.test.ts': '',
    'f/t.d.ts': '',
    'f/node_modules/x/index.js': '',
    'f/empty/readme.md': '',
    'f/notes.md': '',
  });
  await symlink(path('f/a'), path('f/z'));
  expect(await findFilterFiles([path('f')])).toEqual(
    ['a/index.ts', 'b.ts', 'c.mjs', 'z/index.ts'].map((n) => path(`f/${n}`)),
  );
  expect(await findFilterFiles([path('f/a')])).toEqual([path('f/a/index.ts')]);
});

test('a path that is not there, and a folder without filters, are named', async () => {
  await write({ 'empty/readme.md': '' });
  expect(await failure(load('nowhere'))).toMatch(/^TSF_FILTER_NOT_FOUND: .*nowhere: no such file/);
  expect(await failure(load('empty'))).toMatch(/TSF_FILTER_NOT_FOUND.*no filter in this folder; expected/);
});

test('default exports, lists and CommonJS are all found', async () => {
  await write({
    'one.ts': `export default ${filter('one')} satisfies object;`,
    'list.js': `export default [${filter('two')}, ${filter('three')}];`,
    'named.mjs': `export default ${filter('four')}; export const helper = () => 4;`,
    'plain.cjs': `module.exports = ${filter('five')};`,
    'compiled.cjs': `Object.defineProperty(exports, '__esModule', { value: true }); exports.default = ${filter('six')};`,
  });
  const filters = await load('one.ts', 'list.js', 'named.mjs', 'plain.cjs', 'compiled.cjs');
  expect(filters.map((f) => f.name)).toEqual(['one', 'two', 'three', 'four', 'five', 'six']);
});

test('two filters of one name are refused with both files', async () => {
  await write({ 'a.ts': `export default ${filter('same')};`, 'b.ts': `export default ${filter('same')};` });
  expect(await failure(load('a.ts', 'b.ts'))).toMatch(/^TSF_FILTER_DUPLICATE: .*"same".*a\.ts.*b\.ts.*rename/);
});

test('a filter that is no default export is refused, and the mend is said', async () => {
  await write({ 'a.ts': `export const mine = ${filter('a')};` });
  await expect(load('a.ts')).rejects.toThrow(/a\.ts: exports the filter as "mine".*write export default defineFilter/);
});

test('a file without a filter is named', async () => {
  await write({ 'a.ts': 'export const x = 1;' });
  expect(await failure(load('a.ts'))).toMatch(/^TSF_FILTER_NONE: .*a\.ts: exports no filter; export/);
});

test('a syntax error names file, line and column', async () => {
  await write({ 'a.ts': '\n\nexport default {{;\n' });
  expect(await failure(load('a.ts'))).toMatch(/^TSF_LOAD_FAILED: .*a\.ts:3:\d+: /);
});

test('an import that leads nowhere names its place and the mend', async () => {
  await write({ 'a.ts': `\nimport 'no-such-package';\nexport default ${filter('a')};` });
  expect(await failure(load('a.ts'))).toMatch(/^TSF_LOAD_FAILED: .*a\.ts:2:8: Could not resolve.*npm install/);
});

test('each source keeps its own import.meta.url and __dirname', async () => {
  await write({
    'lib/where.ts': 'export const where = import.meta.url; export const text = "import.meta.url";',
    'lib/old.cjs': 'module.exports = { folder: __dirname, file: __filename };',
    'a.ts': `
      import { where, text } from './lib/where.js';
      import old from './lib/old.cjs';
      export default { ...${filter('a')}, here: import.meta.url, dir: import.meta.dirname, where, text, old };`,
  });
  const [a] = await load('a.ts');
  expect(a).toMatchObject({
    here: pathToFileURL(path('a.ts')).href,
    dir: folder,
    where: pathToFileURL(path('lib/where.ts')).href,
    text: 'import.meta.url',
    old: { folder: path('lib'), file: path('lib/old.cjs') },
  });
});

test('packages are imported from beside the filter, not bundled', async () => {
  await write({
    'node_modules/esm-only/package.json': '{"type":"module","exports":{"import":"./m.js"}}',
    'node_modules/esm-only/m.js': 'export const at = import.meta.url;',
    'node_modules/old/package.json': '{"main":"o.js"}',
    'node_modules/old/o.js': 'module.exports = { at: __filename };',
    'a.ts': `
      import { at } from 'esm-only';
      import old from 'old';
      import { readFileSync } from 'node:fs';
      export default { ...${filter('a')}, at, old: old.at, fs: typeof readFileSync };`,
    'b.cjs': `module.exports = { ...${filter('b')}, old: require('old').at, fs: typeof require('fs').readFileSync };`,
  });
  const [a, b] = await load('a.ts', 'b.cjs');
  const old = path('node_modules/old/o.js');
  expect(a).toMatchObject({ at: pathToFileURL(path('node_modules/esm-only/m.js')).href, old, fs: 'function' });
  expect(b).toMatchObject({ old, fs: 'function' });
});

test('packages are the files that Node itself would load', async () => {
  await write({
    'node_modules/two/package.json': '{"exports":{"module":"./bundlers.mjs","import":"./node.mjs"}}',
    'node_modules/two/bundlers.mjs': 'export const at = "for bundlers";',
    'node_modules/two/node.mjs': 'export const at = "for Node";',
    'node_modules/fields/package.json': '{"module":"./bundlers.mjs"}',
    'node_modules/fields/bundlers.mjs': 'export default "for bundlers";',
    'node_modules/fields/index.js': 'module.exports = "for Node";',
    'a.ts': `
      import { at } from 'two';
      import fields from 'fields';
      export default { ...${filter('a')}, at, fields };`,
  });
  expect((await load('a.ts'))[0]).toMatchObject({ at: 'for Node', fields: 'for Node' });
});

test('native addons are imported and required', async () => {
  await cp(new URL('../../build/ts_filter_addon.node', import.meta.url), path('native/addon.node'));
  await cp(path('native/addon.node'), path('node_modules/native/addon.node'));
  await write({
    'a.ts': `
      import addon from './native/addon.node';
      export default { ...${filter('a')}, addon };`,
    'b.cjs': `module.exports = { ...${filter('b')}, addon: require('./native/addon.node') };`,
    'c.ts': `import addon from 'native/addon.node'; export default { ...${filter('c')}, addon };`,
  });
  const [a, b, c] = (await load('a.ts', 'b.cjs', 'c.ts')) as unknown as { addon: { Listener: unknown } }[];
  expect([typeof a?.addon.Listener, b?.addon === a?.addon, typeof c?.addon.Listener]).toEqual([
    'function',
    true,
    'function',
  ]);
});

test('the bundle is named by its content', async () => {
  await write({ 'a.ts': `export default ${filter('a')};` });
  const first = (await bundleFilters([path('a.ts')])).url;
  expect((await bundleFilters([path('a.ts')])).url).toBe(first);
  expect(first.startsWith(pathToFileURL(path('.cache/ts-filter/filters-')).href)).toBe(true);
  await write({ 'a.ts': `export default ${filter('changed')};` });
  expect((await bundleFilters([path('a.ts')])).url).not.toBe(first);
});

test('an error thrown while loading shows the place in the source', async () => {
  await write({ 'a.ts': `type A = string;\nconst a: A = '';\nthrow new TypeError('no ' + a);\n` });
  process.setSourceMapsEnabled(true);
  expect(await failure(load('a.ts'))).toMatch(/^TSF_LOAD_FAILED: (.*a\.ts:3:7: )?TypeError: no $/);
});

test('the init script is TypeScript with top-level await', async () => {
  await write({ 'init.ts': `(globalThis as { seen?: unknown }).seen = await Promise.resolve('yes');` });
  await import((await bundleInit(path('init.ts'))).url);
  expect((globalThis as { seen?: unknown }).seen).toBe('yes');
});

/** Three filters: `a` alone, `b` and `c` by way of `lib/shared.ts`, which needs what may be gone. */
async function writeDependents(shared: string): Promise<void> {
  await write({
    'lib/one.ts': `const seen = globalThis as { ones?: number }; seen.ones = (seen.ones ?? 0) + 1; export const one = { n: seen.ones };`,
    'lib/shared.ts': `import { one } from './one.js';\n${shared}\nexport const shared = { one };`,
    'a.ts': `import { one } from './lib/one.js'; export default { ...${filter('a')}, one };`,
    'b.ts': `import { shared } from './lib/shared.js'; export default { ...${filter('b')}, shared };`,
    'c.ts': `import { shared } from './lib/shared.js'; export default { ...${filter('c')}, shared };`,
  });
}
const world = globalThis as { ones?: number; isGone?: boolean; runs?: number; release?: () => void };

function recorded(): { events: FileEvents; said: string[] } {
  const said: string[] = [];
  const name = (file: string) => file.slice(folder.length + 1);
  const events: FileEvents = {
    failed: (file, error, ms) => void said.push(`${name(file)}: ${(error as Error).message}, ${ms}`),
    slow: (file) => void said.push(`${name(file)} is slow`),
    loaded: (file) => void said.push(`${name(file)} has loaded`),
  };
  return { events, said };
}

afterEach(() => {
  for (const key of ['ones', 'isGone', 'runs', 'release'] as const) delete world[key];
  vi.useRealTimers();
});

test.each([
  ['throws', `globalThis.runs = (globalThis.runs ?? 0) + 1; if (globalThis.isGone) throw new Error('gone');`],
  [
    'rejects',
    `globalThis.runs = (globalThis.runs ?? 0) + 1; if (globalThis.isGone) await Promise.reject(new Error('gone'));`,
  ],
])(
  'what %s while it loads fails those that import it, and they are tried again with back-off',
  async (_how, shared) => {
    world.isGone = true;
    await writeDependents(shared);
    const { events, said } = recorded();
    const files = await filesOf(['a.ts', 'b.ts', 'c.ts'], events);
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    await files.start();
    expect(files.definitions.map(({ filter: { name } }) => name)).toEqual(['a']);
    expect(files.missing).toEqual([path('b.ts'), path('c.ts')]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(said).toEqual(['b.ts: gone, 1000', 'c.ts: gone, 1000', 'b.ts: gone, 2000', 'c.ts: gone, 2000']);
    world.isGone = false;
    await vi.advanceTimersByTimeAsync(2000);
    expect(said.slice(4)).toEqual(['b.ts has loaded', 'c.ts has loaded']);
    expect(files.missing).toEqual([]);
    const [a, b, c] = files.definitions.map((one) => one.filter) as unknown as {
      one: unknown;
      shared: { one: unknown };
    }[];
    // What had loaded has not run again: there is one of each.
    expect([b?.shared === c?.shared, b?.shared.one === a?.one, world.ones]).toEqual([true, true, 1]);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(said).toHaveLength(6);
  },
);

test('back-off goes up to 30 s, and another thread that could load them ends it', async () => {
  world.isGone = true;
  await writeDependents(`if (globalThis.isGone) throw new Error('gone');`);
  const { events, said } = recorded();
  const files = await filesOf(['b.ts'], events);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  await files.start();
  await vi.advanceTimersByTimeAsync(200_000);
  expect(said.map((line) => Number(line.split(', ')[1]))).toEqual([
    1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000, 30_000, 30_000, 30_000,
  ]);
  world.isGone = false;
  files.tryAgain();
  await vi.advanceTimersByTimeAsync(0);
  expect(said.at(-1)).toBe('b.ts has loaded');
});

test('what does not settle keeps the others waiting for 2 s, and serves when it settles', async () => {
  await writeDependents('await new Promise((resolve) => (globalThis.release = resolve));');
  const { events, said } = recorded();
  const files = await filesOf(['a.ts', 'b.ts'], events);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const starting = files.start();
  await vi.advanceTimersByTimeAsync(2000);
  await starting;
  expect([files.missing, said]).toEqual([[path('b.ts')], ['b.ts is slow']]);
  files.tryAgain();
  world.release!();
  await vi.advanceTimersByTimeAsync(0);
  expect([files.missing, said.slice(1)]).toEqual([[], ['b.ts has loaded']]);
});

test('lines of a source are right behind what the bundle does to it', async () => {
  await write({
    'lib/x.ts': 'export const x = 1;',
    'a.ts': `import './lib/x.js';\nexport const f = () => new Error('here');\nexport default ${filter('a')};`,
    'b.ts': `import './lib/x.js';\nexport default ${filter('b')};`,
  });
  process.setSourceMapsEnabled(true);
  const [file] = await importBundle((await bundleFilters([path('a.ts'), path('b.ts')])).url);
  const { f } = (await file!.load()) as { f(): Error };
  expect(f().stack).toMatch(/(a\.ts:2:29|vitest)/);
});

test('a mistake that shows only later is told like any other failure', async () => {
  world.isGone = true;
  await write({
    'a.ts': `if (globalThis.isGone) throw new Error('gone');\nexport const nothing = 1;`,
    'b.ts': `await new Promise((resolve) => (globalThis.release = resolve)); export default ${filter('b')};`,
  });
  const { events, said } = recorded();
  const files = await filesOf(['a.ts', 'b.ts'], events);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const starting = files.start();
  await vi.advanceTimersByTimeAsync(0);
  world.isGone = false;
  await vi.advanceTimersByTimeAsync(1500);
  expect(said).toEqual(['a.ts: gone, 1000', expect.stringMatching(/^a\.ts: .*exports no filter.*, 2000$/)]);
  world.release!();
  await vi.advanceTimersByTimeAsync(0);
  await starting;
  expect(files.missing).toEqual([path('a.ts')]);
});
