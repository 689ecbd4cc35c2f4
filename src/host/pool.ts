/**
 * The threads that run one generation of the filters. All of them judge every config; each serves some of the channels. One that dies or hangs
 * takes its own streams along and is replaced; the others serve on.
 */
import { Channels, type HostChannel } from './channels.js';
import type { FilterConfigMessage } from '../channel/codec/index.js';
import { deathOf, stallOf } from './faults.js';
import { Judgements } from './judgements.js';
import type { Logger } from '../base/log.js';
import type { ConnectionId, LastWords, Loaded, Verdict } from '../thread/messages.js';
import { Place, type ServingMessage } from './place.js';
import type { GlobalHost } from '../api/runtime-global.js';
import { stuckStack } from './stuck-stack.js';
import { mainThread, type Thread, workerThreads } from './thread.js';
import { Watchdog } from './watchdog.js';

/** V8 shows where a thread is in some 30 ms on an idle machine, or not at all. */
const STACK_MS = 500;

export interface PoolOptions {
  /** 0: in this thread. */
  readonly workers: number;
  /** Milliseconds without a turn after which a thread counts as hung; 0: never. */
  readonly stallTimeoutMs: number;
  readonly bundle: string;
  readonly init: string | undefined;
  readonly logLevel: string;
  /** See WorkerStart. */
  readonly needsAll: boolean;
  readonly log: Logger;
  /** The threads of runtime.global: one per name and process. */
  readonly globals: GlobalHost;
  readonly events: PoolEvents;
}

export interface PoolEvents {
  verdict(connection: ConnectionId, id: number, verdict: Verdict): void;
  malformed(connection: ConnectionId, message: string): void;
  /** One more channel of it can be used. */
  channelReady(connection: ConnectionId): void;
}

export class Pool {
  readonly #options: PoolOptions;
  readonly #places: readonly Place[];
  readonly #judgements: Judgements;
  readonly #channels = new Channels();
  readonly #watchdog: Watchdog;
  /** What the threads that turn have loaded. */
  readonly #has = new Map<Place, Loaded>();
  /** Those that serve. One that lacks filters does not while another one has all. */
  readonly #joined = new Set<Place>();
  /** Of the thread that has joined last, or has loaded more since. */
  #latest: Loaded = { filters: [], missing: [] };

  constructor(options: PoolOptions) {
    this.#options = options;
    const { workers, bundle, init, logLevel, needsAll, log, globals, events } = options;
    this.#judgements = new Judgements({
      verdict: (connection, id, verdict) => events.verdict(connection, id, verdict),
      refusedAgain: ({ index }, { name }, { message }) =>
        log.error(
          { worker: index, filter: name, code: 'TSF_CONFIG_REFUSED' },
          `a worker thread that was replaced refuses a config which others have accepted (${message}); its streams of that filter fail until it accepts, and it is asked again each second`,
        ),
    });
    const spawn = workers === 0 ? mainThread(globals, log) : workerThreads(globals);
    const placeEvents = {
      ready: (place: Place, loaded: Loaded) => this.#loaded(place, loaded),
      message: (place: Place, message: ServingMessage) => this.#message(place, message),
      lost: (place: Place, thread: Thread) => this.#left(place, thread),
      died: (place: Place, cause: unknown, words: LastWords | undefined) => this.#died(place, cause, words),
    };
    this.#places = Array.from(
      { length: Math.max(1, workers) },
      (_, worker) =>
        new Place({ start: { worker, bundle, init, logLevel, needsAll }, spawn, log, events: placeEvents }),
    );
    // The main thread cannot watch itself.
    const limit = workers === 0 ? 0 : options.stallTimeoutMs;
    this.#watchdog = new Watchdog(limit, this.#places, (place, thread) => void this.#stalled(place, thread));
  }

  /** Names of the filters. */
  get filters(): readonly string[] {
    return this.#latest.filters.map(({ name }) => name);
  }

  /** A name that is in none of these may be one of a file that cannot be loaded now. */
  get lacksFilters(): boolean {
    return this.#latest.missing.length > 0 || this.#serving().some((place) => !this.#isWhole(place));
  }

  /** Rejects for mistakes; a filter that cannot be loaded now is none. */
  async start(): Promise<void> {
    await Promise.all(this.#places.map((place) => place.start()));
    this.#watchdog.start();
  }

  judge(connection: ConnectionId, config: FilterConfigMessage): void {
    this.#judgements.judge(connection, config, this.#serving());
  }

  forget(connection: ConnectionId, id: number): void {
    this.#judgements.forget(connection, id);
    for (const place of this.#places) place.post({ type: 'forget', connection, id });
  }

  openChannel(channel: HostChannel): void {
    this.#channels.open(channel, this.#serving());
  }

  /** Its module uses it no more. */
  closeChannel(connection: ConnectionId, id: number): void {
    this.#channels.close(connection, id);
  }

  /** Every thread lets go of this connection. */
  disconnect(connection: ConnectionId): void {
    this.#judgements.disconnect(connection);
    this.#channels.disconnect(connection);
    for (const place of this.#places) place.post({ type: 'disconnect', connection });
  }

  /** Of a connection: how many channels can be used. */
  readyChannels(connection: ConnectionId): number {
    return this.#channels.readyOf(connection);
  }

  /** Settles when the modules use no channel any more. Threads that end from now on are not replaced. */
  async drained(): Promise<void> {
    for (const place of this.#places) place.retire();
    await this.#channels.empty();
  }

  /** What is left of its streams ends. */
  async stop(): Promise<void> {
    this.#watchdog.stop();
    await Promise.all(this.#places.map((place) => place.stop()));
    this.#channels.drained();
  }

  /** After stop(): a thread has not ended. */
  get isStuck(): boolean {
    return this.#places.some((place) => place.isStuck);
  }

  #serving(): Place[] {
    return this.#places.filter((place) => place.serving !== undefined && this.#joined.has(place));
  }

  #isWhole(place: Place): boolean {
    return this.#has.get(place)?.missing.length === 0;
  }

  /** For the first time, or more than before. */
  #loaded(place: Place, loaded: Loaded): void {
    this.#has.set(place, loaded);
    if (this.#joined.has(place)) {
      this.#latest = loaded;
      this.#judgements.loaded(place);
    }
    this.#admit();
  }

  #admit(): void {
    for (const [place, loaded] of this.#has) {
      if (this.#joined.has(place)) continue;
      if (!this.#isWhole(place) && [...this.#joined].some((other) => this.#isWhole(other))) continue;
      this.#joined.add(place);
      this.#latest = loaded;
      this.#judgements.joined(place);
      this.#channels.joined(this.#serving());
    }
  }

  #left(place: Place, thread: Thread): void {
    this.#has.delete(place);
    this.#joined.delete(place);
    this.#admit();
    this.#judgements.left(place);
    this.#channels.left(place, thread, this.#serving());
  }

  #died(place: Place, cause: unknown, words: LastWords | undefined): void {
    const { fields, text } = deathOf(cause, words, this.#latest.filters);
    this.#options.log.error({ worker: place.index, ...fields }, text);
  }

  async #stalled(place: Place, thread: Thread): Promise<void> {
    const stack = await stuckStack(thread.id, STACK_MS);
    if (place.serving !== thread) return;
    const { fields, text } = stallOf(stack, this.#options.stallTimeoutMs, this.#latest.filters);
    this.#options.log.error({ worker: place.index, ...fields }, text);
    place.replace();
  }

  #message(place: Place, message: ServingMessage): void {
    switch (message.type) {
      case 'loaded':
        this.#loaded(place, message);
        for (const other of this.#places) if (other !== place) other.post({ type: 'loadAgain' });
        return;
      case 'verdict':
        this.#judgements.heard(place, message.connection, message.id, message.verdict);
        return;
      case 'channelReady':
        this.#channels.ready(place, message.connection, message.id);
        this.#options.events.channelReady(message.connection);
        return;
      case 'channelFailed':
        this.#channels.failed(place, message.connection, message.id, message.message);
        return;
      case 'malformed':
        this.#options.events.malformed(message.connection, message.message);
        return;
      case 'closed':
        this.#channels.closed(place, message.connection, message.id);
        return;
      case 'disconnected':
        this.#channels.disconnected(place, message.connection);
        return;
      case 'pong':
        this.#watchdog.answered(place);
        return;
    }
  }
}
