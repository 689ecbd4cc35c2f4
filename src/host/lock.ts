/**
 * One host a socket. The lock file beside the socket names its holder by pid and start time, so that a pid that was given
 * to another program is not taken for a living host. Who holds it owns the socket's path.
 */
import {
  closeSync,
  constants,
  fstatSync,
  linkSync,
  openSync,
  readFileSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { HostError } from '../base/host-errors.js';

interface Holder {
  readonly pid: number;
  readonly started: string;
}

export class LockFile {
  readonly #path: string;
  readonly #holder: Holder;

  private constructor(path: string, holder: Holder) {
    this.#path = path;
    this.#holder = holder;
  }

  /** Undefined: a living process holds it, which is not this one. */
  static acquire(socket: string): LockFile | undefined {
    const { path, me, draft } = drafted(socket);
    try {
      for (;;) {
        try {
          // A link appears with its whole content, or not at all.
          linkSync(draft, path);
          return new LockFile(path, me);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
        }
        const holder = readHolder(path);
        if (holder !== undefined && isSame(holder, me)) return new LockFile(path, me);
        if (holder !== undefined && isAlive(holder)) return undefined;
        removeStale(path, holder);
      }
    } catch (error) {
      throw unusable(path, error);
    } finally {
      unlinkSync(draft);
    }
  }

  /** Its holder has given it to this process. */
  static seize(socket: string): LockFile {
    const { path, me, draft } = drafted(socket);
    try {
      renameSync(draft, path);
    } catch (error) {
      throw unusable(path, error);
    }
    return new LockFile(path, me);
  }

  /** The pid of who holds it. */
  static holder(socket: string): number | undefined {
    return readHolder(lockPath(socket))?.pid;
  }

  release(): void {
    const holder = readHolder(this.#path);
    if (holder !== undefined && isSame(holder, this.#holder)) unlinkSync(this.#path);
  }
}

const MOST_LOCK_BYTES = 1024;

const lockPath = (socket: string): string => `${socket}.lock`;

function drafted(socket: string): { path: string; me: Holder; draft: string } {
  const path = lockPath(socket);
  const me: Holder = { pid: process.pid, started: startTime(process.pid) ?? '' };
  const draft = `${path}.${process.pid}`;
  // Nothing that lies there is followed or written into: others may write to the folder.
  try {
    unlinkSync(draft);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw unusable(draft, error);
  }
  try {
    writeFileSync(draft, JSON.stringify(me), { mode: 0o600, flag: 'wx' });
  } catch (error) {
    throw unusable(draft, error);
  }
  return { path, me, draft };
}

const isSame = (a: Holder, b: Holder): boolean => a.pid === b.pid && a.started === b.started;

/** Two starters may find the same stale lock: it is moved away, and put back when it was no longer that one. */
function removeStale(path: string, seen: Holder | undefined): void {
  const aside = `${path}.${process.pid}.stale`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  const moved = readHolder(aside);
  if (moved !== undefined && moved.pid !== seen?.pid) {
    try {
      linkSync(aside, path);
    } catch {
      // A third one is there already.
    }
  }
  unlinkSync(aside);
}

const unusable = (path: string, error: unknown): HostError =>
  new HostError(
    'TSF_SOCKET_DIR',
    `${path} cannot be written (${(error as NodeJS.ErrnoException).code}); the folder of --socket has to be the host's, or shared with it`,
    { cause: error },
  );

/** A file of another user's, a link, or what is no file at all says nothing. */
function readHolder(path: string): Holder | undefined {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  let file;
  try {
    file = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    const stats = fstatSync(file);
    if (!stats.isFile() || stats.size > MOST_LOCK_BYTES || stats.uid !== process.getuid?.()) return undefined;
    const value = JSON.parse(readFileSync(file, 'utf8')) as Partial<Holder>;
    return typeof value.pid === 'number' && typeof value.started === 'string' ? (value as Holder) : undefined;
  } catch {
    return undefined;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function isAlive(holder: Holder): boolean {
  const started = startTime(holder.pid);
  return started !== undefined && started === holder.started;
}

/** Field 22 of /proc/<pid>/stat: clock ticks from boot to the process's start. */
function startTime(pid: number): string | undefined {
  try {
    const line = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
