/** The host: the socket, the modules on it, the filters behind it, from start to a clean end. */
import { loadAddon, type Addon, type Connection } from '../base/addon.js';
import { HostError } from '../base/host-errors.js';
import { bundleFilters, bundleInit, describePaths } from '../loader/loader.js';
import { loadFailure } from '../loader/loader-import.js';
import { Generations, type Code } from './generations.js';
import type { Logger } from '../base/log.js';
import type { ConnectionId } from '../thread/messages.js';
import { ModuleConnection } from './module-connection.js';
import { SocketPlace } from './socket-place.js';
import { PeerCheck } from './peers.js';
import { checkSocketDir, type SocketAccess } from './socket-path.js';
import { Watcher } from './watcher.js';

export interface HostOptions {
  readonly paths: readonly string[];
  readonly socket: string;
  readonly access: SocketAccess;
  readonly workers: number;
  readonly stallTimeoutMs: number;
  readonly init: string | undefined;
  readonly logLevel: string;
  readonly drainTimeoutMs: number;
  /** The filters are loaded anew when their files change. */
  readonly watch: boolean;
  /** False: a host that serves the socket is left in its place. */
  readonly takesOver: boolean;
  readonly version: string;
  readonly log: Logger;
  /** Another host has taken the socket over. */
  readonly onReplaced: () => void;
}

interface Sources {
  readonly code: Code;
  /** Every source file that went into it. */
  readonly inputs: readonly string[];
}

export class Host {
  readonly #options: HostOptions;
  readonly #addon: Addon;
  readonly #modules = new Map<ConnectionId, ModuleConnection>();
  readonly #filters: Generations;
  readonly #peers: PeerCheck;
  #place: SocketPlace | undefined;
  #watcher: Watcher | undefined;
  #code: Code | undefined;
  #nextId = 1;
  #stopping: Promise<void> | undefined;
  #reloading: Promise<void> = Promise.resolve();
  /** What the next reload is for. */
  #next: 'signal' | 'edit' | undefined;

  constructor(options: HostOptions) {
    this.#options = options;
    this.#addon = loadAddon();
    const { workers, stallTimeoutMs, logLevel, drainTimeoutMs, paths, log, access } = options;
    this.#peers = new PeerCheck(access, log);
    const searched = describePaths(paths);
    this.#filters = new Generations({ workers, stallTimeoutMs, logLevel, drainTimeoutMs, searched, log });
  }

  async start(): Promise<void> {
    const { socket, access, workers, watch, takesOver, paths, log, version, onReplaced } = this.#options;
    checkSocketDir(socket, access);
    try {
      // First: filters that do not load must not cost anybody the host that serves.
      const { code, inputs } = await this.#bundle();
      this.#code = code;
      await this.#filters.start(code, SocketPlace.isServed(socket, this.#addon));
      this.#place = await SocketPlace.take({
        socket,
        mode: access.mode,
        addon: this.#addon,
        takesOver,
        onConnection: (connection) => this.#accept(connection),
        onReplaced: () => {
          log.info({ socket }, 'another host has taken the socket over');
          onReplaced();
        },
      });
      if (watch) this.#watcher = new Watcher({ paths, inputs, log, onChange: () => this.reload('edit') });
      log.info({ socket, filters: this.#filters.filters, workers, version }, 'listening');
    } catch (error) {
      await this.#filters.stop();
      throw error;
    }
  }

  /** Loads the filters anew; those that there are serve on until then, and if it fails. Of an edit only what has changed. */
  reload(why: 'signal' | 'edit'): void {
    this.#filters.abandon();
    if (this.#next === undefined) this.#reloading = this.#reloading.then(() => this.#reload());
    if (this.#next !== 'signal') this.#next = why;
  }

  async #reload(): Promise<void> {
    const { log } = this.#options;
    const why = this.#next;
    this.#next = undefined;
    if (this.#place === undefined || this.#stopping !== undefined) return;
    const began = performance.now();
    try {
      const { code, inputs } = await this.#bundle();
      this.#watcher?.follow(inputs);
      if (why === 'edit' && code.filters === this.#code?.filters && code.init === this.#code.init) return;
      this.#code = code;
      if (!(await this.#filters.replace(code))) return;
      log.info({ filters: this.#filters.filters, ms: Math.round(performance.now() - began) }, 'filters loaded anew');
    } catch (error) {
      this.#watcher?.failed(error);
      log.error(
        { code: 'TSF_RELOAD_FAILED' },
        `the filters are not loaded anew, those before serve on: ${reasonOf(error)}`,
      );
    }
  }

  async #bundle(): Promise<Sources> {
    const { paths, init } = this.#options;
    const filters = await bundleFilters(paths);
    const begin = init === undefined ? undefined : await bundleInit(init);
    return {
      code: { filters: filters.url, init: begin?.url },
      inputs: [...filters.inputs, ...(begin?.inputs ?? [])],
    };
  }

  /** Takes no new streams, waits for the others up to the time limit, and ends. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    const { log, drainTimeoutMs } = this.#options;
    log.info({ drainTimeoutMs }, 'draining');
    this.#watcher?.close();
    // Another host may start from here on.
    this.#place?.leave();
    for (const module of [...this.#modules.values()]) module.drain();
    // Streams first: what they say at their end still finds a connection.
    await this.#filters.stop();
    for (const module of [...this.#modules.values()]) module.shutdown();
    log.info('stopped');
  }

  /** After stop(). */
  exit(code: number): never {
    if (!this.#filters.isStuck) process.exit(code);
    this.#options.log.warn('a worker thread is inside native code, and the process ends without it');
    return this.#addon.exitNow(code);
  }

  /** For a second signal: nothing is waited for. */
  abandon(code: number): never {
    this.#place?.leave();
    return this.#addon.exitNow(code);
  }

  #accept(connection: Connection): void {
    const { log, version } = this.#options;
    if (!this.#peers.accepts(connection)) return;
    const id = this.#nextId++;
    const module = new ModuleConnection({
      id,
      connection,
      addon: this.#addon,
      filters: this.#filters,
      log,
      version,
      peers: this.#peers,
      onSuccessor: (successor) => {
        if (this.#peers.isOwn(successor)) this.#place?.asked(successor);
        else successor.close();
      },
      onGone: () => {
        this.#modules.delete(id);
        this.#filters.disconnect(id);
      },
    });
    this.#modules.set(id, module);
  }
}

const reasonOf = (error: unknown): string =>
  error instanceof HostError && error.code === 'TSF_RELOAD_FAILED' ? error.message : loadFailure(error);
