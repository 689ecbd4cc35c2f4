/** `ts-filter-host create`: a folder with a filter, its test, and what an editor needs. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { HostError } from '../base/host-errors.js';
import { usage } from './command.js';
import { filesOf } from './create-files.js';
import { version } from './version.js';

const LIBRARY = 'envoy-ts-filter';
const MAX_NAME = 64;
const TAKEN = [LIBRARY, `create-${LIBRARY}`, 'node_modules', 'ts-filter-edge'];

export interface CreateOptions {
  readonly name: string;
  /** The folder that gets the new one. */
  readonly into: string;
  /** What its package.json says for envoy-ts-filter; undefined: as the folder's own package.json, else this version. */
  readonly library: string | undefined;
}

/** Paths of the files that were written. */
export function create({ name, into, library }: CreateOptions): string[] {
  checkName(name);
  const folder = resolve(into, name);
  if (existsSync(folder)) {
    throw new HostError('TSF_EXISTS', `${folder} is there already; choose another name, or move it away first`);
  }
  const project = { name, library: library ?? libraryOf(resolve(into), folder) ?? `^${version}` };
  return [...filesOf(project)].map(([path, text]) => {
    const file = join(folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text, { flag: 'wx' });
    return file;
  });
}

function checkName(name: string): void {
  const rule = `lower-case letters, digits and single hyphens, a letter first, at most ${MAX_NAME} characters`;
  if (/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name) && name.length <= MAX_NAME) {
    if (!TAKEN.includes(name)) return;
    throw usage(`${name}: this name has a meaning already; choose another, for instance my-${name}`);
  }
  const near = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^[-0-9]+|-+$/g, '')
    .slice(0, MAX_NAME);
  throw usage(`"${name}" cannot be a filter's name: ${rule}${near === '' ? '' : `; for instance ${near}`}`);
}

/** Whoever installed the library from a file into the folder around means that file. */
function libraryOf(folder: string, project: string): string | undefined {
  const path = join(folder, 'package.json');
  if (!existsSync(path)) return undefined;
  const manifest = JSON.parse(readFileSync(path, 'utf8')) as {
    readonly dependencies?: Readonly<Record<string, string>>;
    readonly devDependencies?: Readonly<Record<string, string>>;
  };
  const spec = manifest.dependencies?.[LIBRARY] ?? manifest.devDependencies?.[LIBRARY];
  if (spec === undefined || !spec.startsWith('file:')) return spec;
  return `file:${relative(project, resolve(folder, spec.slice('file:'.length)))}`;
}
