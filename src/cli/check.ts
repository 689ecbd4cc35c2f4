/** `ts-filter-host check`: type-checks filters with the TypeScript of the author's project. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, extname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HostError } from '../base/host-errors.js';
import { findFilterFiles } from '../loader/loader.js';
import { privateDir } from '../base/private-dir.js';
import { mendFor } from './mends.js';

const LIBRARY = 'envoy-ts-filter';
const OWN_TYPES = fileURLToPath(new URL('../api/index.d.ts', import.meta.url));
/** What stands in for a project's own settings: as the loader takes sources. */
const DEFAULTS = { target: 'es2022', module: 'preserve', moduleResolution: 'bundler', strict: true };
/** Nothing is written, and JavaScript is looked at too. null: what a project says of its output does not count. */
const ALWAYS = {
  noEmit: true,
  allowJs: true,
  checkJs: true,
  skipLibCheck: true,
  composite: false,
  incremental: false,
  emitDeclarationOnly: false,
  rootDir: null,
  outDir: null,
  tsBuildInfoFile: null,
};

/** Prints what is wrong, a line of place, fault and mend each; true when nothing is. */
export async function check(paths: readonly string[]): Promise<boolean> {
  const files = await findFilterFiles(paths);
  const projects = new Map<string | undefined, string[]>();
  for (const file of files) {
    const project = upwards(dirname(file), 'tsconfig.json')[0];
    projects.set(project, [...(projects.get(project) ?? []), file]);
  }
  const found: string[] = [];
  for (const [project, own] of projects) found.push(...(await describe(await compile(own, project))));
  process.stdout.write(found.map((one) => `${one}\n`).join(''));
  if (found.length === 0) process.stdout.write(`${files.length} filter file(s), no mistakes found\n`);
  return found.length === 0;
}

/** That name in the folder and the folders above it, where it is there, the nearest first. */
function upwards(folder: string, name: string): string[] {
  const path = join(folder, name);
  const found = existsSync(path) ? [path] : [];
  return dirname(folder) === folder ? found : [...found, ...upwards(dirname(folder), name)];
}

async function compile(files: readonly string[], project: string | undefined): Promise<string> {
  const first = files[0]!;
  const tsc = compilerFor(first);
  const folder = await mkdtemp(join(privateDir(), 'check-'));
  try {
    const typeRoots = upwards(dirname(project ?? first), 'node_modules/@types');
    const compilerOptions = {
      ...(project === undefined ? defaults(files, typeRoots) : {}),
      ...ALWAYS,
      ...(typeRoots.length > 0 ? { typeRoots } : {}),
      ...(resolves(first, LIBRARY) ? {} : { paths: { [LIBRARY]: [OWN_TYPES] } }),
    };
    const config = join(folder, 'tsconfig.json');
    await writeFile(config, JSON.stringify({ extends: project, files, include: [], compilerOptions }));
    return await run(tsc, config);
  } finally {
    await rm(folder, { recursive: true });
  }
}

function defaults(files: readonly string[], typeRoots: readonly string[]): object {
  const isJs = files.every((file) => /^\.[cm]?js$/.test(extname(file)));
  const types = typeRoots.some((root) => existsSync(join(root, 'node'))) ? ['node'] : [];
  // Whoever writes JavaScript has not left a type out.
  return { ...DEFAULTS, types, noImplicitAny: !isJs };
}

function compilerFor(file: string): string {
  for (const from of [file, join(process.cwd(), 'x')]) {
    const manifest = resolves(from, 'typescript/package.json');
    const tsc = manifest === undefined ? undefined : join(dirname(manifest), 'bin', 'tsc');
    if (tsc !== undefined && existsSync(tsc)) return tsc;
  }
  throw new HostError(
    'TSF_TYPESCRIPT_MISSING',
    `check needs TypeScript, which is not installed for ${file}; get it with: npm install --save-dev typescript`,
  );
}

function resolves(from: string, name: string): string | undefined {
  try {
    return createRequire(from).resolve(name);
  } catch {
    return undefined;
  }
}

function run(tsc: string, config: string): Promise<string> {
  return new Promise((done, reject) => {
    const args = [tsc, '-p', config, '--pretty', 'false'];
    execFile(process.execPath, args, { maxBuffer: 64 << 20, encoding: 'utf8' }, (error, stdout, stderr) => {
      // 1 and 2 say that there are diagnostics; anything else is the compiler's own failure.
      if (error === null || error.code === 1 || error.code === 2) done(stdout);
      else reject(new HostError('TSF_INTERNAL', `${tsc} failed: ${stderr}${stdout.slice(0, 2000)}`, { cause: error }));
    });
  });
}

/** The compiler's output, one text per diagnostic. */
async function describe(output: string): Promise<string[]> {
  const texts = output.split(/\n(?! )/).filter((text) => text.trim() !== '');
  return Promise.all(
    texts.map(async (text) => {
      const match = /^(.+?)\((\d+),(\d+)\): error (TS\d+): ([^]*)$/.exec(text);
      // About the project, not about a place in it.
      if (match === null) return text;
      const [, file = '', line = '', column = '', code = '', message = ''] = match;
      const mend = mendFor(message, await readFile(resolve(file), 'utf8').catch(() => ''));
      const said = `${code}: ${message}`;
      return `${file}:${line}:${column}: ${mend === undefined ? said : `${mend}\n  ${said}`}`;
    }),
  );
}
