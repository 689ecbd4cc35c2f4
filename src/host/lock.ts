/**
 * One host a socket. The lock file beside the socket names its holder by pid and start time, so that a pid that was given
 * to another program is not taken for a living host.
 */
import { linkSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
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

  static acquire(socket: string): LockFile {
    const path = `${socket}.lock`;
    const me: Holder = { pid: process.pid, started: startTime(process.pid) ?? '' };
    const draft = `${path}.${process.pid}`;
    writeFileSync(draft, JSON.stringify(me), { mode: 0o600 });
    try {
      for (let tries = 0; tries < 10; tries++) {
        try {
          // A link appears with its whole content, or not at all.
          linkSync(draft, path);
          return new LockFile(path, me);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
        }
        const holder = readHolder(path);
        if (holder !== undefined && isAlive(holder)) {
          throw new HostError(
            'TSF_HOST_RUNNING',
            `a host with pid ${holder.pid} serves ${socket}; stop it (kill ${holder.pid}) or choose another --socket`,
          );
        }
        removeStale(path, holder);
      }
      throw new HostError('TSF_HOST_RUNNING', `${path} is fought over by several hosts; start one at a time`);
    } finally {
      unlinkSync(draft);
    }
  }

  release(): void {
    const holder = readHolder(this.#path);
    if (holder?.pid === this.#holder.pid && holder.started === this.#holder.started) unlinkSync(this.#path);
  }
}

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

function readHolder(path: string): Holder | undefined {
  try {
    const value = JSON.parse(readFileSync(path, 'utf8')) as Partial<Holder>;
    return typeof value.pid === 'number' && typeof value.started === 'string' ? (value as Holder) : undefined;
  } catch {
    return undefined;
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
