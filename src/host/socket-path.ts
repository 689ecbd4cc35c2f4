/** Where the host listens; the module follows the same rule (design: "socket"). */
import { accessSync, constants, lstatSync, statSync } from 'node:fs';
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

/** Who may connect to the host's socket, beside its own user and root. */
export interface SocketAccess {
  readonly allowedUids: readonly number[];
  /** The file's permissions. */
  readonly mode: number;
}

/** The host's own user alone. */
export const OWN_ACCESS: SocketAccess = { allowedUids: [], mode: 0o600 };

const WRITABLE_BY_OTHERS = 0o022;
const STICKY = 0o1000;

/**
 * Whoever can write to the folder can put a socket of his own in our place. Where other users are allowed that is
 * accepted: Envoy looks at the uid of whoever listens there (`allowed_uids`), so that such a socket is refused, and the
 * host follows no link and trusts no file that others put there.
 */
export function checkSocketDir(path: string, access: SocketAccess = OWN_ACCESS): void {
  const folder = dirname(path);
  const bad = (what: string): HostError => new HostError('TSF_SOCKET_DIR', `${folder} ${what}`);
  let stats;
  try {
    stats = statSync(folder);
  } catch {
    throw bad('does not exist; create it (mode 0700) or choose another --socket');
  }
  const uid = process.getuid?.() ?? 0;
  const owners = [uid, 0, ...access.allowedUids];
  if (!stats.isDirectory() || !owners.includes(stats.uid)) {
    throw bad(`must be a folder of uid ${uid}; choose another --socket`);
  }
  const isShared = (stats.mode & WRITABLE_BY_OTHERS) !== 0 && (stats.mode & STICKY) === 0;
  if (isShared && access.allowedUids.length === 0) {
    throw bad(
      "may be written by other users; chmod go-w it, or choose another --socket, or, where it is shared on purpose, name Envoy's user: --allowed-uids 101 --socket-mode 0666",
    );
  }
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
  } catch {
    throw bad(`cannot be written by uid ${uid}; chown or chmod it, or choose another --socket`);
  }
  checkSocketFile(path);
}

/** What lies at the path is a socket, or nothing: a file is not replaced, and a link is not followed. */
function checkSocketFile(path: string): void {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined || stats.isSocket()) return;
  const what = stats.isSymbolicLink() ? 'a link, which is not followed' : 'no socket';
  throw new HostError('TSF_SOCKET_PATH', `${path} is ${what}; remove it, or choose another --socket`);
}
