/**
 * The small parent of the host. A burst out of memory, or a fault in native code, ends the whole process, which only another
 * process can mend: it starts the host again, with back-off. It runs none of the author's code.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { constants } from 'node:os';
import { BackOff } from '../base/back-off.js';
import type { Logger } from '../base/log.js';
import { OUTPUT_READ, STARTED_AGAIN } from './options.js';
import { Terminal } from './terminal.js';

/** Of what the host wrote to stderr last. */
const KEPT = 16 * 1024;
/** How long a host that is to go at once may take. */
const ABANDON_MS = 1_000;
/** A process that the host has left behind may keep its stderr open. */
const LAST_WORDS_MS = 500;
const ENDING = ['SIGINT', 'SIGTERM'] as const;

/** The host to its parent: it listens; it ends by plan, whatever becomes of it. */
const LISTENING = 'listening';
const LEAVING = 'leaving';
/** The parent to the host. A signal would come twice where a whole process group gets it, and twice means: at once. */
export type Order = 'stop' | 'abandon' | 'reload';

export interface SupervisorOptions {
  /** What the host is started with. */
  readonly script: string;
  readonly args: readonly string[];
  readonly log: Logger;
  /** The files of the filters, for the log. */
  readonly paths: readonly string[];
}

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class Supervisor {
  readonly #options: SupervisorOptions;
  #child: ChildProcess | undefined;
  #listened = false;
  #isLeaving = false;
  #isStopping = false;
  readonly #backOff = new BackOff();
  #endPause: (() => void) | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  /** Until the host has ended for good; its exit code. */
  async run(): Promise<number> {
    for (const signal of ENDING) process.on(signal, () => this.#stop());
    const terminal = new Terminal();
    process.on('SIGHUP', () => (terminal.isGone() ? this.#stop() : this.#order('reload')));
    // Started by a process that minds it, such as dev: with that one it goes.
    if (process.connected) process.once('disconnect', () => this.#stop());
    process.channel?.unref();
    process.on('SIGUSR2', () => this.#child?.kill('SIGUSR2'));
    for (;;) {
      const bornAt = performance.now();
      const { ended, lastWords } = await this.#runOnce().catch((error: unknown) => {
        // Where memory runs out, a process cannot be had at times.
        if (!this.#listened) throw error;
        return { ended: { code: 1, signal: null }, lastWords: String(error) };
      });
      // A host that never listened has said why: that is for a person to mend.
      if (this.#isStopping || this.#isLeaving || !this.#listened || ended.code === 0) return exitCodeOf(ended);
      const delay = this.#backOff.after(performance.now() - bornAt);
      this.#tell(ended, lastWords, delay);
      await this.#pause(delay);
      if (this.#isStopping) return exitCodeOf(ended);
    }
  }

  /** The first time its streams may end; the second time it goes at once. */
  #stop(): void {
    const child = this.#child;
    this.#order(this.#isStopping ? 'abandon' : 'stop');
    if (this.#isStopping) setTimeout(() => child?.kill('SIGKILL'), ABANDON_MS).unref();
    this.#isStopping = true;
    this.#endPause?.();
  }

  #order(order: Order): void {
    if (this.#child?.connected === true) this.#child.send(order);
  }

  #runOnce(): Promise<{ ended: Ended; lastWords: string }> {
    return new Promise((resolve, reject) => {
      const { script, args } = this.#options;
      const own = ['--no-supervise', `--${OUTPUT_READ}`, ...(this.#listened ? [`--${STARTED_AGAIN}`] : [])];
      const child = spawn(process.execPath, [...process.execArgv, script, ...own, ...args], {
        stdio: ['inherit', 'inherit', 'pipe', 'ipc'],
        // Ctrl-C reaches this process alone, which passes it on once.
        detached: true,
      });
      this.#child = child;
      let kept = '';
      child.stderr?.setEncoding('utf8').on('data', (text: string) => {
        process.stderr.write(text);
        kept = (kept + text).slice(-KEPT);
      });
      child.on('message', (message) => {
        if (message === LISTENING) this.#listened = true;
        if (message === LEAVING) this.#isLeaving = true;
      });
      child.once('error', reject);
      child.once('exit', (code, signal) => {
        const done = (): void => {
          clearTimeout(late);
          child.stderr?.destroy();
          this.#child = undefined;
          resolve({ ended: { code, signal }, lastWords: kept });
        };
        const late = setTimeout(done, LAST_WORDS_MS);
        child.once('close', done);
      });
    });
  }

  #tell(ended: Ended, lastWords: string, restartInMs: number): void {
    const how = ended.signal === null ? `exit code ${ended.code}` : ended.signal;
    this.#options.log.error(
      { code: 'TSF_HOST_DIED', how, restartInMs },
      `the host died (${how}): ${causeOf(ended, lastWords, this.#options.paths)}; its streams are lost and it is started again`,
    );
  }

  #pause(delay: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, delay);
      this.#endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

function causeOf({ signal }: Ended, lastWords: string, paths: readonly string[]): string {
  if (/heap out of memory|invalid table size|Allocation failed/i.test(lastWords))
    return `out of memory in a burst that V8 could not stop; bound what the filters (${paths.join(', ')}) gather at once, or give the host more by NODE_OPTIONS=--max-old-space-size=<MB>`;
  if (signal === 'SIGKILL') return 'killed from outside, as the kernel does where memory runs out; look in its log';
  if (signal === 'SIGSEGV' || signal === 'SIGBUS' || signal === 'SIGILL')
    return 'a fault in native code, of a package with an addon or of Node';
  return 'what it wrote last says why';
}

const exitCodeOf = ({ code, signal }: Ended): number => code ?? 128 + (signal === null ? 0 : constants.signals[signal]);

export interface Parent {
  listening(): void;
  leaving(): void;
}

/** In the host: its parent hears how it is, says what to do, and takes it along when it goes itself. */
export function heedParent(obey: (order: Order) => void): Parent {
  if (process.send === undefined) return { listening: () => undefined, leaving: () => undefined };
  process.on('message', (order: Order) => obey(order));
  process.once('disconnect', () => obey('stop'));
  if (!process.connected) queueMicrotask(() => obey('stop'));
  // Alone it keeps nothing alive.
  process.channel?.unref();
  const tell = (message: string): void => {
    if (process.connected) process.send?.(message);
  };
  return { listening: () => tell(LISTENING), leaving: () => tell(LEAVING) };
}
