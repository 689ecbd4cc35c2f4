/**
 * Makes one file of all filter sources. It is bundled once per content, in the main thread, and every worker imports the same
 * file, so that all workers run the same code. Packages stay outside the bundle: they are imported from where they lie.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, rename, stat, writeFile } from 'node:fs/promises';
import { extname, join, relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build, type BuildFailure, type Message } from 'esbuild';
import { HostError } from '../base/host-errors.js';
import { nativePlugin, sourcePlugin } from './loader-plugin.js';
import { privateDir } from '../base/private-dir.js';

const EXTENSIONS = ['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs'];
const INDEX_FILES = ['index.ts', 'index.mts', 'index.js', 'index.mjs', 'index.cjs'];

export interface Bundle {
  /** File URL of the bundle. */
  readonly url: string;
  /** Source files that were given or found, in order. */
  readonly files: readonly string[];
  /** Every source file that went into the bundle. */
  readonly inputs: readonly string[];
}

export const isSource = (name: string): boolean =>
  EXTENSIONS.includes(extname(name)) && !/\.(test|spec)\.[cm]?[jt]s$/.test(name) && !/\.d\.[cm]?ts$/.test(name);

/** The filter files of a list of files and folders. A folder holds `<name>/index.ts` and `<name>.ts`. */
export async function findFilterFiles(paths: readonly string[]): Promise<string[]> {
  const files = new Set<string>();
  for (const given of paths) {
    const path = resolve(given);
    const stats = await stat(path).catch(() => undefined);
    if (stats === undefined) throw new HostError('TSF_FILTER_NOT_FOUND', `${given}: no such file or folder`);
    if (!stats.isDirectory()) {
      if (!EXTENSIONS.includes(extname(path))) {
        throw new HostError('TSF_FILTER_NOT_FOUND', `${given}: not a filter file; expected ${EXTENSIONS.join(', ')}`);
      }
      files.add(path);
      continue;
    }
    const found = await filesOfFolder(path);
    if (found.length === 0) {
      throw new HostError(
        'TSF_FILTER_NOT_FOUND',
        `${given}: no filter in this folder; expected <name>.ts or <name>/index.ts in it`,
      );
    }
    for (const file of found) files.add(file);
  }
  return [...files];
}

async function filesOfFolder(folder: string): Promise<string[]> {
  // A folder that is itself one filter: its other files are parts of it.
  const own = INDEX_FILES.map((name) => join(folder, name)).find((path) => existsSync(path));
  if (own !== undefined) return [own];
  const files: string[] = [];
  const entries = await readdir(folder, { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.name === 'node_modules' || entry.name.startsWith('.')) continue;
    const path = join(folder, entry.name);
    const isFolder = entry.isDirectory() || (entry.isSymbolicLink() && (await stat(path)).isDirectory());
    if (!isFolder) {
      if (isSource(entry.name)) files.push(path);
      continue;
    }
    const index = INDEX_FILES.map((name) => join(path, name)).find((candidate) => existsSync(candidate));
    if (index !== undefined) files.push(index);
  }
  return files;
}

/** Bundles filters. The result's `modules` export lists `[file, load]` pairs: each file runs when it is asked for, and what
 *  several of them import runs once. */
export async function bundleFilters(paths: readonly string[]): Promise<Bundle> {
  const files = await findFilterFiles(paths);
  const pairs = files.map((file) => JSON.stringify(file)).map((file) => `[${file}, () => import(${file})]`);
  const { url, inputs } = await bundle(`export const modules = [${pairs.join(', ')}];`, 'filters');
  return { url, files, inputs };
}

/** Bundles the `--init` script, which is TypeScript too. */
export async function bundleInit(path: string): Promise<Omit<Bundle, 'files'>> {
  const file = resolve(path);
  if (!existsSync(file)) throw new HostError('TSF_INIT_FAILED', `--init ${path}: no such file`);
  return bundle(`import ${JSON.stringify(file)};`, 'init');
}

/** Bundles a module of runtime.global; the result exports it as `module`. */
export async function bundleGlobal(url: string): Promise<string> {
  const from = url.startsWith('file:') ? fileURLToPath(url) : url;
  return (await bundle(`export * as module from ${JSON.stringify(from)};`, 'global')).url;
}

async function bundle(entry: string, name: string): Promise<{ url: string; inputs: string[] }> {
  const built = await build({
    stdin: { contents: entry, resolveDir: process.cwd(), sourcefile: `${name}.ts`, loader: 'ts' },
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    // What Node itself goes by, or a package would be there twice: as esbuild finds it, and as Node does.
    conditions: [],
    mainFields: ['main'],
    sourcemap: 'inline',
    // Paths of sources in stack traces are absolute whatever folder the bundle lies in.
    sourceRoot: pathToFileURL(process.cwd()).href + '/',
    outfile: join(process.cwd(), `${name}.mjs`),
    logLevel: 'silent',
    legalComments: 'none',
    define: {
      'import.meta.url': '__tsf_url',
      'import.meta.filename': '__tsf_filename',
      'import.meta.dirname': '__tsf_dirname',
      __filename: '__tsf_filename',
      __dirname: '__tsf_dirname',
    },
    banner: {
      js: "import { createRequire as __tsf_require } from 'node:module'; const require = __tsf_require(import.meta.url);",
    },
    plugins: [sourcePlugin(), nativePlugin()],
  }).catch((error: unknown) => {
    throw new HostError('TSF_LOAD_FAILED', describeFailure(error), { cause: error });
  });
  const contents = Buffer.from(withRetries(built.outputFiles[0]?.text ?? ''));
  const inputs = Object.keys(built.metafile.inputs)
    .filter((input) => !input.startsWith('<'))
    .map((i) => resolve(i));
  return { url: pathToFileURL(await store(contents, name)).href, inputs };
}

/** What esbuild puts around each module that runs when it is asked for: it remembers an error for ever. */
const RUN_ONCE = /^var __esm = .*\n(?: .*\n)+\};$/m;
/** As many lines, or the source map would be wrong: a module that throws or rejects runs again when it is asked for again. */
const RUN_UNTIL_DONE = `var __esm = (fn, res) => function __init() {
  if (!fn) return res;
  const run = fn;
  fn = 0;
  try { res = run[__getOwnPropNames(run)[0]](); } catch (e) { fn = run; throw e; }
  res?.then(undefined, () => { fn = run; res = undefined; });
  return res;
};`;

function withRetries(bundled: string): string {
  const helper = RUN_ONCE.exec(bundled)?.[0];
  if (helper === undefined) {
    if (bundled.includes('__esm(')) throw new HostError('TSF_INTERNAL', 'this esbuild wraps modules in another way');
    return bundled;
  }
  const lines = (text: string): number => text.split('\n').length;
  const missing = lines(helper) - lines(RUN_UNTIL_DONE);
  return bundled.replace(helper, () => RUN_UNTIL_DONE + '\n'.repeat(Math.max(0, missing)));
}

/** Keeps a bundle under its content's name. Another host may be doing the same right now. */
async function store(contents: Uint8Array, name: string): Promise<string> {
  const folder = await cacheDir();
  const hash = createHash('sha256').update(contents).digest('hex').slice(0, 32);
  const path = join(folder, `${name}-${hash}.mjs`);
  const there = await readFile(path).catch(() => undefined);
  if (there !== undefined && Buffer.compare(there, contents) === 0) return path;
  const draft = `${path}.${process.pid}.${process.hrtime.bigint()}`;
  await writeFile(draft, contents, { mode: 0o600 });
  await rename(draft, path);
  return path;
}

async function cacheDir(): Promise<string> {
  const base = process.env.XDG_CACHE_HOME;
  if (base !== undefined && base.startsWith('/')) {
    const folder = join(base, 'ts-filter');
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return folder;
  }
  const folder = join(privateDir(), 'cache');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return folder;
}

const isBuildFailure = (error: unknown): error is BuildFailure =>
  error instanceof Error && Array.isArray((error as Partial<BuildFailure>).errors);

/** Where a bundle has failed. */
export function filesOfFailure(error: unknown): string[] {
  const cause = error instanceof HostError ? error.cause : error;
  if (!isBuildFailure(cause)) return [];
  return cause.errors.flatMap(({ location }) => (location === null ? [] : [resolve(location.file)]));
}

function describeFailure(error: unknown): string {
  if (!isBuildFailure(error)) return error instanceof Error ? error.message : String(error);
  return error.errors.map(describeMessage).join('\n');
}

function describeMessage({ location, text, notes }: Message): string {
  if (location === null) return text;
  const file = relative(process.cwd(), resolve(location.file));
  const mend = text.startsWith('Could not resolve') ? ' (is it installed beside the filter? `npm install` there)' : '';
  const note = notes[0]?.text ?? '';
  return `${file}:${location.line}:${location.column + 1}: ${text}${mend}${mend === '' && note !== '' ? ` (${note})` : ''}`;
}

/** For messages: where filters were looked for. */
export const describePaths = (paths: readonly string[]): string =>
  paths.map((path) => relative(process.cwd(), resolve(path)) || '.').join(', ');
