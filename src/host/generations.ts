/**
 * The filters by generation: those of the start, and those of each reload. A new generation has threads of its own. It is
 * announced when it has loaded and accepts every config that the one before accepts; until modules can send it their new
 * streams, the one before serves on, and then it ends what it has.
 */
import type { FilterConfigMessage } from '../channel/codec/index.js';
import { GlobalHost } from '../api/runtime-global.js';
import { HostError } from '../base/host-errors.js';
import type { Logger } from '../base/log.js';
import { bundleGlobal } from '../loader/loader.js';
import { type ConnectionId, refusedVerdict, type Verdict } from '../thread/messages.js';
import type { HostChannel } from './channels.js';
import { Pool } from './pool.js';

/** Bundles, by URL. */
export interface Code {
  readonly filters: string;
  readonly init: string | undefined;
}

/** A module that has greeted. Generations are numbered as it knows them: 0 is the one that it began with. */
export interface ModuleLine {
  /** Envoy workers: so many channels it opens for each generation. */
  readonly concurrency: number;
  verdict(config: number, verdict: Verdict, generation: number): void;
  generation(generation: number): void;
  drain(generation: number): void;
  malformed(message: string): void;
}

export interface GenerationsOptions {
  readonly workers: number;
  readonly stallTimeoutMs: number;
  readonly logLevel: string;
  readonly drainTimeoutMs: number;
  /** For the message about a filter that nobody defined. */
  readonly searched: string;
  readonly log: Logger;
}

interface Module {
  readonly line: ModuleLine;
  /** The generation that it began with. */
  readonly first: number;
  readonly configs: Map<number, FilterConfigMessage>;
}

interface Generation {
  readonly number: number;
  readonly pool: Pool;
  readonly verdicts: Map<ConnectionId, Map<number, Verdict>>;
  state: 'loading' | 'judging' | 'serving' | 'draining';
}

export class Generations {
  readonly #options: GenerationsOptions;
  readonly #globals: GlobalHost;
  readonly #modules = new Map<ConnectionId, Module>();
  /** The oldest first. */
  #all: Generation[] = [];
  #made = 0;
  #isStuck = false;
  /** Something has come that the generation in preparation may have waited for. */
  #onNews: () => void = () => undefined;
  #abandon: () => void = () => undefined;

  constructor(options: GenerationsOptions) {
    this.#options = options;
    const { log } = options;
    this.#globals = new GlobalHost({
      onError: (name, err) => log.error({ global: name, err }, 'runtime.global failed'),
      load: bundleGlobal,
    });
  }

  /** Names of the filters that serve. */
  get filters(): readonly string[] {
    return this.#newest()?.pool.filters ?? [];
  }

  /** The first one. Rejects when it does not load; with `needsAll` also where a part of it does not load now. */
  async start(code: Code, needsAll: boolean): Promise<void> {
    const first = this.#make(code, needsAll);
    await first.pool.start();
    first.state = 'serving';
  }

  /**
   * One in the place of those that there are. Rejects when it does not load or refuses what they accept: they serve on.
   * False: it was given up.
   */
  async replace(code: Code): Promise<boolean> {
    if (this.#options.workers === 0)
      throw new HostError(
        'TSF_RELOAD_FAILED',
        'with --workers 0 the filters run in the main thread, which cannot be replaced; use --workers 1',
      );
    const next = this.#make(code, true);
    const abandoned = new Promise<false>((resolve) => (this.#abandon = () => resolve(false)));
    let isReady = false;
    try {
      isReady = await Promise.race([this.#prepare(next), abandoned]);
    } finally {
      if (!isReady) await this.#drop(next);
    }
    if (isReady) this.#announce(next);
    return isReady;
  }

  async #drop(generation: Generation): Promise<void> {
    this.#all = this.#all.filter((one) => one !== generation);
    await this.#end(generation);
  }

  async #end({ pool }: Generation): Promise<void> {
    await pool.stop();
    this.#isStuck ||= pool.isStuck;
  }

  /** A generation in preparation, which may take for ever, is given up. */
  abandon(): void {
    this.#abandon();
  }

  // ---- modules ----

  connect(connection: ConnectionId, line: ModuleLine): void {
    this.#modules.set(connection, { line, first: this.#newest()?.number ?? 0, configs: new Map() });
  }

  judge(connection: ConnectionId, config: FilterConfigMessage): void {
    this.#modules.get(connection)?.configs.set(config.id, config);
    for (const generation of this.#all) {
      const { state } = generation;
      if (state === 'judging' || state === 'serving') this.#ask(generation, connection, config);
    }
  }

  forget(connection: ConnectionId, id: number): void {
    this.#modules.get(connection)?.configs.delete(id);
    for (const { pool, verdicts } of this.#all) {
      verdicts.get(connection)?.delete(id);
      pool.forget(connection, id);
    }
    this.#onNews();
  }

  openChannel(generation: number, channel: HostChannel): void {
    const module = this.#modules.get(channel.connection);
    const number = generation === 0 ? module?.first : generation;
    const found = this.#all.find((one) => one.number === number);
    if (found !== undefined) {
      found.pool.openChannel(channel);
      return;
    }
    channel.done('closed');
    channel.free();
  }

  /** Its module uses it no more. */
  closeChannel(connection: ConnectionId, id: number): void {
    for (const { pool } of this.#all) pool.closeChannel(connection, id);
  }

  disconnect(connection: ConnectionId): void {
    this.#modules.delete(connection);
    for (const { pool, verdicts } of this.#all) {
      verdicts.delete(connection);
      pool.disconnect(connection);
    }
    this.#onNews();
    this.#retire();
  }

  // ---- the end ----

  /** Waits for the streams that there are, up to the time limit, and ends all threads. */
  async stop(): Promise<void> {
    this.#abandon();
    const all = this.#all.filter(({ state }) => state === 'serving' || state === 'draining');
    for (const generation of all) generation.state = 'draining';
    await this.#drained(all);
    await Promise.all(all.map((generation) => this.#end(generation)));
    await this.#globals.dispose();
  }

  /** After stop(): a thread has not ended. */
  get isStuck(): boolean {
    return this.#isStuck;
  }

  // ---- inside ----

  #newest(): Generation | undefined {
    return this.#all.findLast(({ state }) => state === 'serving');
  }

  #make(code: Code, needsAll: boolean): Generation {
    const { workers, stallTimeoutMs, logLevel, log } = this.#options;
    const number = this.#made++;
    const pool = new Pool({
      workers,
      stallTimeoutMs,
      bundle: code.filters,
      init: code.init,
      logLevel,
      needsAll,
      log,
      globals: this.#globals,
      events: {
        verdict: (connection, id, verdict) => this.#heard(generation, connection, id, verdict),
        malformed: (connection, message) => this.#modules.get(connection)?.line.malformed(message),
        channelReady: () => this.#retire(),
      },
    });
    const generation: Generation = { number, pool, verdicts: new Map(), state: 'loading' };
    this.#all.push(generation);
    return generation;
  }

  async #prepare(next: Generation): Promise<true> {
    await next.pool.start();
    next.state = 'judging';
    for (const [connection, { configs }] of this.#modules)
      for (const config of configs.values()) this.#ask(next, connection, config);
    await new Promise<void>((resolve) => {
      this.#onNews = () => {
        if (this.#hasJudgedAll(next)) resolve();
      };
      this.#onNews();
    });
    this.#onNews = () => undefined;
    this.#checkRefusals(next);
    return true;
  }

  #hasJudgedAll({ verdicts }: Generation): boolean {
    for (const [connection, { configs }] of this.#modules)
      for (const id of configs.keys()) if (verdicts.get(connection)?.has(id) !== true) return false;
    return true;
  }

  #checkRefusals(next: Generation): void {
    const before = this.#newest();
    for (const [connection, { configs }] of this.#modules)
      for (const id of configs.keys()) {
        const verdict = next.verdicts.get(connection)?.get(id);
        const accepted = before?.verdicts.get(connection)?.get(id)?.accepted === true;
        if (accepted && verdict?.accepted === false)
          throw new HostError('TSF_RELOAD_FAILED', `a config that is accepted now is refused: ${verdict.message}`);
      }
  }

  #announce(next: Generation): void {
    next.state = 'serving';
    for (const [connection, { line }] of this.#modules) {
      line.generation(next.number);
      for (const [id, verdict] of next.verdicts.get(connection) ?? []) line.verdict(id, verdict, next.number);
    }
    this.#retire();
  }

  #ask(generation: Generation, connection: ConnectionId, config: FilterConfigMessage): void {
    const { number, pool, verdicts } = generation;
    const module = this.#modules.get(connection);
    // Of those before its first one a module knows nothing.
    if (module === undefined || number < module.first) return;
    verdicts.get(connection)?.delete(config.id);
    const names = config.filters.length === 0 ? [config.name] : config.filters.map(({ name }) => name);
    const missing = names.findIndex((name) => !pool.filters.includes(name));
    // A name that is in no file may be one of a file that cannot be loaded now.
    if (missing < 0 || pool.lacksFilters) {
      pool.judge(connection, config);
      return;
    }
    const place = config.filters.length === 0 ? '' : `filters[${missing}].name: `;
    const message = `${place}no filter is named "${names[missing]}"; loaded: ${pool.filters.join(', ')}; searched: ${this.#options.searched}`;
    this.#heard(generation, connection, config.id, refusedVerdict(message));
  }

  #heard(generation: Generation, connection: ConnectionId, id: number, verdict: Verdict): void {
    const module = this.#modules.get(connection);
    if (module === undefined) return;
    let verdicts = generation.verdicts.get(connection);
    if (verdicts === undefined) generation.verdicts.set(connection, (verdicts = new Map()));
    verdicts.set(id, verdict);
    if (generation.state === 'judging') this.#onNews();
    else module.line.verdict(id, verdict, numberFor(module, generation));
  }

  /** Where all modules can send their new streams to the newest, those before it take none. */
  #retire(): void {
    const newest = this.#newest();
    const old = this.#all.filter(({ state, number }) => state === 'serving' && number < (newest?.number ?? 0));
    if (newest === undefined || old.length === 0) return;
    for (const [connection, { line, first }] of this.#modules)
      if (first < newest.number && newest.pool.readyChannels(connection) < line.concurrency) return;
    for (const generation of old) void this.#finish(generation);
  }

  async #finish(generation: Generation): Promise<void> {
    generation.state = 'draining';
    for (const module of this.#modules.values())
      if (module.first <= generation.number) module.line.drain(numberFor(module, generation));
    await this.#drained([generation]);
    await this.#drop(generation);
    this.#options.log.info({ generation: generation.number }, 'the filters before the reload have ended');
  }

  async #drained(generations: readonly Generation[]): Promise<void> {
    const { drainTimeoutMs, log } = this.#options;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => (timer = setTimeout(() => resolve('late'), drainTimeoutMs)));
    const drained = Promise.all(generations.map(({ pool }) => pool.drained()));
    if ((await Promise.race([drained, late])) === 'late')
      log.warn({ drainTimeoutMs }, 'streams were still open when the drain timeout passed; they end now');
    clearTimeout(timer);
  }
}

const numberFor = (module: Module, { number }: Generation): number => (number === module.first ? 0 : number);
