/**
 * The worker threads. All of them judge every config; each serves some of the channels. A thread that dies is replaced, and
 * whoever had something on it is told.
 */
import { MessageChannel, Worker } from 'node:worker_threads';
import type { FilterConfigMessage } from '../channel/codec/index.js';
import { exitText, messageOf } from '../base/host-errors.js';
import { bundleGlobal } from '../loader/loader.js';
import { errorFields, type Logger } from '../base/log.js';
import type {
  ChannelFds,
  ConnectionId,
  FromWorker,
  ToWorker,
  Verdict,
  WorkerData,
  WorkerStart,
} from '../thread/messages.js';
import { GlobalHost, type GlobalLink } from '../api/runtime-global.js';

const FIRST_BACK_OFF_MS = 100;
const MAX_BACK_OFF_MS = 10_000;
/** A worker that lived so long did not die of starting. */
const HEALTHY_MS = 30_000;
/** A start that takes longer is told: it may never end. */
const SLOW_START_MS = 10_000;
/** A busy thread is not waited for longer. */
const STOP_MS = 1000;
/** Young generation: fresh body chunks fill a larger one before anything is freed (facts: resident memory). */
const YOUNG_GENERATION_MB = 8;

export interface PoolOptions {
  /** 0: in this thread. */
  readonly workers: number;
  readonly bundle: string;
  readonly init: string | undefined;
  readonly logLevel: string;
  readonly log: Logger;
  readonly events: PoolEvents;
}

export interface PoolEvents {
  verdict(connection: ConnectionId, id: number, verdict: Verdict): void;
  channelReady(connection: ConnectionId, id: number): void;
  channelFailed(connection: ConnectionId, id: number, message: string): void;
  malformed(connection: ConnectionId, message: string): void;
  /** The worker holds none of this connection's channels any more. */
  released(connection: ConnectionId): void;
  /** A worker died with channels or judgements of these connections. */
  lost(connections: readonly ConnectionId[]): void;
}

interface Thread {
  post(message: ToWorker): void;
  terminate(): Promise<unknown>;
}

/** One place for a thread; the threads in it come and go. */
interface Place {
  readonly index: number;
  thread: Thread | undefined;
  ready: boolean;
  bornAt: number;
  backOff: number;
  retry: NodeJS.Timeout | undefined;
  onStopped: (() => void) | undefined;
  readonly channels: Map<ConnectionId, number>;
  readonly judging: Map<ConnectionId, number>;
}

interface Judgement {
  waiting: number;
  verdict: Verdict | undefined;
}

interface Module {
  readonly configs: Map<number, FilterConfigMessage>;
  readonly judgements: Map<number, Judgement>;
}

export class Pool {
  filters: readonly string[] = [];
  readonly #options: PoolOptions;
  readonly #places: Place[];
  readonly #modules = new Map<ConnectionId, Module>();
  readonly #pendingChannels: Extract<ToWorker, { type: 'channel' }>[] = [];
  /** The threads of runtime.global: one per name and process. */
  readonly #globals: GlobalHost;
  /** Threads that failed to start, until they have ended. */
  readonly #failed = new Set<Promise<unknown>>();
  #stopping = false;
  #idle: { waiting: Set<Place>; resolve: () => void } | undefined;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#globals = new GlobalHost({
      onError: (name, err) => options.log.error({ global: name, err }, 'runtime.global failed'),
      load: bundleGlobal,
    });
    this.#places = Array.from({ length: Math.max(1, options.workers) }, (_, index) => ({
      index,
      thread: undefined,
      ready: false,
      bornAt: 0,
      backOff: FIRST_BACK_OFF_MS,
      retry: undefined,
      onStopped: undefined,
      channels: new Map(),
      judging: new Map(),
    }));
  }

  get size(): number {
    return this.#places.length;
  }

  /** Rejects when the filters do not load. */
  async start(): Promise<void> {
    await Promise.all(this.#places.map((place) => this.#startThread(place)));
  }

  judge(connection: ConnectionId, config: FilterConfigMessage): void {
    const module = this.#module(connection);
    module.configs.set(config.id, config);
    const live = this.#places.filter((place) => place.ready);
    module.judgements.set(config.id, { waiting: live.length, verdict: undefined });
    for (const place of live) this.#ask(place, connection, config);
    // With no thread alive the next one judges it (#replay).
  }

  forget(connection: ConnectionId, id: number): void {
    const module = this.#modules.get(connection);
    module?.configs.delete(id);
    module?.judgements.delete(id);
    for (const place of this.#places) if (place.ready) place.thread?.post({ type: 'forget', connection, id });
  }

  openChannel(connection: ConnectionId, id: number, ringBytes: number, fds: ChannelFds): void {
    this.#place({ type: 'channel', connection, id, ringBytes, fds });
  }

  /** Every thread lets go of this connection; events.released comes once no thread holds a channel of it. */
  disconnect(connection: ConnectionId): void {
    this.#modules.delete(connection);
    for (let i = this.#pendingChannels.length - 1; i >= 0; i--) {
      if (this.#pendingChannels[i]?.connection === connection) this.#pendingChannels.splice(i, 1);
    }
    for (const place of this.#places) {
      place.judging.delete(connection);
      if (place.ready) place.thread?.post({ type: 'disconnect', connection });
    }
    this.#releaseWhenFree(connection);
  }

  /** Settles when no stream is left anywhere. */
  async drained(): Promise<void> {
    await new Promise<void>((resolve) => {
      const waiting = new Set(this.#places.filter((place) => place.ready));
      this.#idle = { waiting, resolve };
      for (const place of waiting) place.thread?.post({ type: 'drain' });
      if (waiting.size === 0) resolve();
    });
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(
      this.#places.map(async (place) => {
        clearTimeout(place.retry);
        const { thread } = place;
        if (thread === undefined) return;
        const stopped = new Promise<void>((resolve) => {
          place.onStopped = resolve;
          setTimeout(resolve, STOP_MS).unref();
        });
        thread.post({ type: 'stop' });
        await stopped;
        place.thread = undefined;
        place.ready = false;
        await thread.terminate();
      }),
    );
    await Promise.all(this.#failed);
    await this.#globals.dispose();
  }

  async #startThread(place: Place): Promise<void> {
    place.bornAt = performance.now();
    const slow = setTimeout(() => {
      this.#options.log.warn(
        { code: 'TSF_LOAD_SLOW', worker: place.index },
        `the filters are still loading after ${SLOW_START_MS / 1000} s: does a top-level await of theirs ever settle?`,
      );
    }, SLOW_START_MS);
    slow.unref();
    try {
      await this.#run(place);
    } finally {
      clearTimeout(slow);
    }
  }

  /** A new thread in that place; settles when it is ready, or has failed. */
  async #run(place: Place): Promise<void> {
    const { bundle, init, logLevel } = this.#options;
    const start: WorkerStart = { worker: place.index, bundle, init, logLevel };
    await new Promise<void>((resolve, reject) => {
      const onMessage = (message: FromWorker): void => {
        if (message.type === 'ready') {
          place.ready = true;
          this.filters = message.filters;
          this.#replay(place);
          resolve();
        } else if (message.type === 'failed') {
          this.#end(place);
          reject(new LoadError(message.message));
        } else this.#message(place, message);
      };
      if (this.#options.workers === 0) {
        localThread(start, this.#globals, this.#options.log, onMessage, (thread) => (place.thread = thread)).catch(
          reject,
        );
        return;
      }
      const { port1, port2 } = new MessageChannel();
      this.#globals.serve(port1);
      const worker = new Worker(new URL('../thread/worker.js', import.meta.url), {
        name: `ts-filter-${place.index}`,
        workerData: { start, globals: port2 } satisfies WorkerData,
        transferList: [port2],
        resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
      });
      const thread = { post: (message: ToWorker) => worker.postMessage(message), terminate: () => worker.terminate() };
      place.thread = thread;
      let cause: unknown;
      worker.on('message', onMessage);
      worker.on('error', (error) => (cause = error));
      worker.on('exit', (code) => {
        const why = cause === undefined ? exitText(code) : messageOf(cause);
        reject(new LoadError(`TSF_LOAD_FAILED: the worker ended while it loaded (${why})`));
        // One that failed has left the place, and its successor is well.
        if (place.thread === thread) this.#died(place, cause ?? new Error(why));
      });
    });
  }

  /** It did not load: what its modules have begun would go on. */
  #end(place: Place): void {
    const ended = place.thread?.terminate();
    place.thread = undefined;
    if (ended === undefined) return;
    this.#failed.add(ended);
    void ended.finally(() => this.#failed.delete(ended));
  }

  #message(place: Place, message: Exclude<FromWorker, { type: 'ready' | 'failed' }>): void {
    const { events } = this.#options;
    switch (message.type) {
      case 'verdict':
        this.#verdict(place, message.connection, message.id, message.verdict);
        return;
      case 'channelReady':
        events.channelReady(message.connection, message.id);
        return;
      case 'channelFailed':
        events.channelFailed(message.connection, message.id, message.message);
        return;
      case 'malformed':
        events.malformed(message.connection, message.message);
        return;
      case 'disconnected':
        place.channels.delete(message.connection);
        this.#releaseWhenFree(message.connection);
        return;
      case 'idle':
        this.#idle?.waiting.delete(place);
        if (this.#idle?.waiting.size === 0) this.#idle.resolve();
        return;
      case 'stopped':
        place.onStopped?.();
        return;
    }
  }

  #ask(place: Place, connection: ConnectionId, config: FilterConfigMessage): void {
    place.judging.set(connection, (place.judging.get(connection) ?? 0) + 1);
    place.thread?.post({ type: 'judge', connection, config });
  }

  /** The first refusal is everybody's; acceptance needs all. */
  #verdict(place: Place, connection: ConnectionId, id: number, verdict: Verdict): void {
    const open = (place.judging.get(connection) ?? 1) - 1;
    if (open <= 0) place.judging.delete(connection);
    else place.judging.set(connection, open);
    const judgements = this.#modules.get(connection)?.judgements;
    const judgement = judgements?.get(id);
    if (judgement === undefined) return;
    judgement.waiting--;
    if (judgement.verdict?.accepted !== false) judgement.verdict = verdict;
    if (judgement.verdict.accepted && judgement.waiting > 0) return;
    judgements?.delete(id);
    this.#options.events.verdict(connection, id, judgement.verdict);
  }

  /** A new thread learns what the others know, and takes what nobody could. */
  #replay(place: Place): void {
    for (const [connection, { configs, judgements }] of this.#modules) {
      for (const config of configs.values()) {
        const judgement = judgements.get(config.id);
        if (judgement !== undefined) judgement.waiting++;
        this.#ask(place, connection, config);
      }
    }
    for (const message of this.#pendingChannels.splice(0)) this.#place(message);
  }

  #place(message: Extract<ToWorker, { type: 'channel' }>): void {
    const load = (place: Place): number => [...place.channels.values()].reduce((sum, n) => sum + n, 0);
    const place = this.#places.filter((p) => p.ready).sort((a, b) => load(a) - load(b))[0];
    if (place === undefined) {
      this.#pendingChannels.push(message);
      return;
    }
    place.channels.set(message.connection, (place.channels.get(message.connection) ?? 0) + 1);
    place.thread?.post(message);
  }

  #died(place: Place, cause: unknown): void {
    const wasReady = place.ready;
    place.ready = false;
    place.thread = undefined;
    place.onStopped?.();
    if (this.#stopping) return;
    this.#idle?.waiting.delete(place);
    if (this.#idle?.waiting.size === 0) this.#idle.resolve();
    const lost = [...new Set([...place.channels.keys(), ...place.judging.keys()])];
    place.channels.clear();
    place.judging.clear();
    // A thread that never ran is the business of whoever started it.
    if (!wasReady) return;
    this.#options.log.error(
      { code: 'TSF_WORKER_DIED', worker: place.index, ...errorFields(cause) },
      'a worker thread died; its streams are lost and it is replaced',
    );
    this.#options.events.lost(lost);
    for (const connection of lost) this.#releaseWhenFree(connection);
    if (performance.now() - place.bornAt > HEALTHY_MS) place.backOff = FIRST_BACK_OFF_MS;
    this.#restartLater(place);
  }

  #restartLater(place: Place): void {
    const delay = place.backOff;
    place.backOff = Math.min(delay * 2, MAX_BACK_OFF_MS);
    place.retry = setTimeout(() => {
      this.#startThread(place).then(
        () => this.#options.log.info({ worker: place.index }, 'worker thread replaced'),
        (error: unknown) => {
          this.#options.log.error(
            { worker: place.index, ...errorFields(error) },
            'worker thread could not be replaced yet',
          );
          if (!this.#stopping) this.#restartLater(place);
        },
      );
    }, delay);
  }

  #releaseWhenFree(connection: ConnectionId): void {
    if (this.#modules.has(connection)) return;
    if (this.#places.some((place) => place.channels.has(connection))) return;
    this.#options.events.released(connection);
  }

  #module(connection: ConnectionId): Module {
    let module = this.#modules.get(connection);
    if (module === undefined) {
      module = { configs: new Map(), judgements: new Map() };
      this.#modules.set(connection, module);
    }
    return module;
  }
}

/** The text comes ready from the thread. */
export class LoadError extends Error {}

/** `--workers 0`: the same thread object, called instead of sent to. */
async function localThread(
  start: WorkerStart,
  globals: GlobalLink,
  log: Logger,
  onMessage: (message: FromWorker) => void,
  onThread: (thread: Thread) => void,
): Promise<void> {
  const { startThread } = await import('../thread/worker.js');
  let early: FromWorker[] | undefined = [];
  const thread = await startThread(start, globals, log, (message) => {
    if (early === undefined) onMessage(message);
    else early.push(message);
  });
  if (thread !== undefined) onThread({ post: (message) => thread.handle(message), terminate: () => Promise.resolve() });
  const messages = early;
  early = undefined;
  messages.forEach(onMessage);
}
