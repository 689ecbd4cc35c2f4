/**
 * The processes of runtimes: started, waited for, ended. All of a host's belong to one thread that lives as long as the
 * host: a filter thread that is replaced could not wait for the processes that it leaves behind, and they would stay zombies.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';

export interface Command {
  readonly command: readonly string[];
  readonly cwd?: string;
  readonly env: Readonly<Record<string, string>>;
}

interface Running {
  readonly child: ChildProcess;
  /** How it ended, in words. */
  readonly ended: Promise<string>;
}

/** By ids that a later thread, in the place of one that died, does not give again. */
const running = new Map<string, Running>();

const exitText = (code: number | null, signal: NodeJS.Signals | null): string =>
  signal === null ? `exit code ${String(code)}` : `killed by ${signal}`;

/** Resolves to its id here when it runs, rejects when it cannot be started. */
export async function startProcess({ command, cwd, env }: Command): Promise<string> {
  const [program = '', ...args] = command;
  const child = spawn(program, args, {
    env: { ...process.env, ...env },
    ...(cwd === undefined ? {} : { cwd }),
    // The host's standard output is its log, which is JSON.
    stdio: ['ignore', 2, 2],
    // A process group of its own: Ctrl-C on a terminal is for the host, which still needs the runtime for a while.
    detached: true,
  });
  const ended = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(exitText(code, signal)));
  });
  await once(child, 'spawn');
  child.on('error', () => undefined); // what could fail now shows as its end, or as its silence
  child.unref();
  const id = randomUUID();
  running.set(id, { child, ended });
  void ended.then(() => running.delete(id));
  return id;
}

/** Resolves when it has ended; at once when it is not known any more. */
export async function processEnded(id: string): Promise<string> {
  return (await running.get(id)?.ended) ?? 'it has ended';
}

/** Kills it, with all that it has started, unless it ends by itself in time. */
export async function endProcess(id: string, graceMs: number): Promise<void> {
  const one = running.get(id);
  if (one === undefined) return;
  const timer = setTimeout(() => kill(one.child), graceMs).unref();
  await one.ended;
  clearTimeout(timer);
}

function kill({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // it has just ended
  }
}
