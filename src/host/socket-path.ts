/** Where the host listens; the module follows the same rule (design: "socket"). */
import { statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { HostError } from '../base/host-errors.js';
import { privateDir } from '../base/private-dir.js';

/** The kernel's limit for unix socket paths, its closing zero not counted, less what a temporary name beside it adds. */
const MAX_PATH_BYTES = 107 - 12;

export function socketPath(flag: string | undefined, env: NodeJS.ProcessEnv = process.env): string {
  const path = resolve(flag ?? (env.TS_FILTER_SOCKET || defaultPath(env)));
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
    throw new HostError('TSF_SOCKET_PATH', `${path} is longer than ${MAX_PATH_BYTES} bytes; choose a shorter --socket`);
  }
  return path;
}

function defaultPath(env: NodeJS.ProcessEnv): string {
  const runtime = env.XDG_RUNTIME_DIR;
  return join(runtime !== undefined && runtime.startsWith('/') ? runtime : privateDir(), 'ts-filter.sock');
}

/** Whoever can write to the folder can put a socket of his own in our place. */
export function checkSocketDir(path: string): void {
  const folder = dirname(path);
  let stats;
  try {
    stats = statSync(folder);
  } catch {
    throw new HostError('TSF_SOCKET_DIR', `${folder} does not exist; create it (mode 0700) or choose another --socket`);
  }
  const uid = process.getuid?.() ?? 0;
  const sticky = (stats.mode & 0o1000) !== 0;
  if (!stats.isDirectory() || (stats.uid !== uid && stats.uid !== 0)) {
    throw new HostError('TSF_SOCKET_DIR', `${folder} must be a folder of uid ${uid}; choose another --socket`);
  }
  if ((stats.mode & 0o022) !== 0 && !sticky) {
    throw new HostError(
      'TSF_SOCKET_DIR',
      `${folder} may be written by other users; chmod go-w it, or choose another --socket`,
    );
  }
}
