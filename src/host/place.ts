/** One place for a thread; the threads in it come and go. One that ends is followed by another, with back-off. */
import { BackOff } from '../base/back-off.js';
import { messageOf } from '../base/host-errors.js';
import { errorFields, type Logger } from '../base/log.js';
import type { FromWorker, LastWords, Loaded, ToWorker, WorkerStart } from '../thread/messages.js';
import type { Spawn, Thread } from './thread.js';

/** A start that takes longer is told: it may never end. */
const SLOW_START_MS = 10_000;
/** A successor that has not started by then, or in ten times what a start has taken at most, is ended: others may start. */
const LONGEST_START_MS = 30_000;
/** A busy thread is not waited for longer: once for its last hooks, and once for its end. */
const STOP_MS = 500;

/** The text comes ready from the thread. */
export class LoadError extends Error {}

export interface PlaceEvents {
  /** Its thread serves from now on. */
  ready(place: Place, loaded: Loaded): void;
  message(place: Place, message: ServingMessage): void;
  /** The thread that served serves no more. It may still run for a while: see Thread.ended. */
  lost(place: Place, thread: Thread): void;
  /** For the log: why a thread that served has ended by itself. */
  died(place: Place, cause: unknown, words: LastWords | undefined): void;
}
export type ServingMessage = Exclude<FromWorker, { type: 'ready' | 'failed' | 'dying' | 'stopped' }>;

export interface PlaceOptions {
  readonly start: WorkerStart;
  readonly spawn: Spawn;
  readonly log: Logger;
  readonly events: PlaceEvents;
}

export class Place {
  readonly #options: PlaceOptions;
  /** Serves, or is about to. */
  #thread: Thread | undefined;
  #serves = false;
  #hasServed = false;
  #words: LastWords | undefined;
  #bornAt = 0;
  #slowestStartMs = 0;
  readonly #backOff = new BackOff();
  #retry: NodeJS.Timeout | undefined;
  /** No thread comes after this one. */
  #isLast = false;
  #onStopped: (() => void) | undefined;
  #startFailed: ((error: LoadError) => void) | undefined;
  /** Threads that are to end. */
  readonly #ending = new Set<Promise<void>>();

  constructor(options: PlaceOptions) {
    this.#options = options;
  }

  get index(): number {
    return this.#options.start.worker;
  }

  /** The thread that serves; undefined: none does now. */
  get serving(): Thread | undefined {
    return this.#serves ? this.#thread : undefined;
  }

  /** Threads that were told to end and have not: they are inside native code. */
  get isStuck(): boolean {
    return this.#ending.size > 0;
  }

  post(message: ToWorker): void {
    this.serving?.post(message);
  }

  /** Settles when a thread serves, or could not. */
  async start(): Promise<void> {
    this.#bornAt = performance.now();
    const slow = setTimeout(() => {
      this.#options.log.warn(
        { code: 'TSF_LOAD_SLOW', worker: this.index },
        `the filters are still loading after ${SLOW_START_MS / 1000} s: does a top-level await of theirs ever settle?`,
      );
    }, SLOW_START_MS);
    slow.unref();
    try {
      await this.#run();
      this.#slowestStartMs = Math.max(this.#slowestStartMs, performance.now() - this.#bornAt);
    } finally {
      clearTimeout(slow);
    }
  }

  /** The first one has all the time that it wants: whoever started the host sees that it does not listen. */
  async #startAnother(): Promise<void> {
    const limit = Math.max(LONGEST_START_MS, 10 * this.#slowestStartMs);
    const giveUp = setTimeout(() => this.#giveUp(limit), limit).unref();
    try {
      await this.start();
    } finally {
      clearTimeout(giveUp);
    }
  }

  #giveUp(limit: number): void {
    const thread = this.#thread;
    if (thread === undefined || this.#serves) return;
    this.#thread = undefined;
    this.#end(thread);
    this.#startFailed?.(new LoadError(`TSF_LOAD_SLOW: the filters have not loaded in ${Math.round(limit / 1000)} s`));
  }

  /** Ends the thread that serves; another one comes. */
  replace(): void {
    const thread = this.serving;
    if (thread === undefined) return;
    this.#leave(thread);
    this.#end(thread);
    this.#startLater();
  }

  /** When its thread ends, no other one comes. */
  retire(): void {
    this.#isLast = true;
    clearTimeout(this.#retry);
  }

  /** The thread runs its last hooks and ends. */
  async stop(): Promise<void> {
    this.retire();
    const thread = this.#thread;
    if (thread !== undefined) {
      if (this.#serves) {
        await atMost(STOP_MS, (stopped) => {
          this.#onStopped = stopped;
          thread.post({ type: 'stop' });
        });
      }
      this.#thread = undefined;
      this.#serves = false;
      this.#end(thread);
    }
    // One that hangs in native code ends with the process.
    await atMost(STOP_MS, (ended) => void Promise.all(this.#ending).then(ended));
  }

  async #run(): Promise<void> {
    const { start, spawn, events } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#words = undefined;
      this.#startFailed = reject;
      // One that has served is followed by what can serve.
      const needsAll = start.needsAll && !this.#hasServed;
      const thread = spawn(
        { ...start, needsAll },
        {
          message: (message) => {
            if (this.#thread !== thread) return;
            switch (message.type) {
              case 'ready':
                this.#serves = this.#hasServed = true;
                events.ready(this, message);
                resolve();
                return;
              case 'failed':
                this.#thread = undefined;
                this.#end(thread);
                reject(new LoadError(message.message));
                return;
              case 'dying':
                this.#words = message;
                return;
              case 'stopped':
                this.#onStopped?.();
                return;
              default:
                events.message(this, message);
            }
          },
          ended: (cause) => {
            reject(new LoadError(`TSF_LOAD_FAILED: the worker ended while it loaded (${messageOf(cause)})`));
            // One that was told to end has left the place, and its successor is well.
            if (this.#thread === thread) this.#died(thread, cause);
          },
        },
      );
      this.#thread = thread;
    });
  }

  #died(thread: Thread, cause: unknown): void {
    const served = this.#serves;
    if (served) this.#leave(thread);
    this.#thread = undefined;
    // One that never served is the business of whoever started it.
    if (!served) return;
    this.#startLater();
    this.#options.events.died(this, cause, this.#words);
  }

  #leave(thread: Thread): void {
    this.#thread = undefined;
    this.#serves = false;
    this.#onStopped?.();
    this.#options.events.lost(this, thread);
  }

  #end(thread: Thread): void {
    const { ended } = thread;
    this.#ending.add(ended);
    void ended.finally(() => this.#ending.delete(ended));
    thread.terminate();
  }

  #startLater(): void {
    if (this.#isLast) return;
    const delay = this.#backOff.after(performance.now() - this.#bornAt);
    const { log } = this.#options;
    this.#retry = setTimeout(() => {
      this.#startAnother().then(
        () => log.info({ worker: this.index }, 'worker thread replaced'),
        (error: unknown) => {
          if (this.#isLast) return;
          log.error({ worker: this.index, ...errorFields(error) }, 'worker thread could not be replaced yet');
          this.#startLater();
        },
      );
    }, delay);
  }
}

function atMost(milliseconds: number, run: (done: () => void) => void): Promise<void> {
  return new Promise((resolve) => {
    const late = setTimeout(resolve, milliseconds);
    run(() => {
      clearTimeout(late);
      resolve();
    });
  });
}
