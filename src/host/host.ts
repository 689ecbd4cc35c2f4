/** The host: the socket, the modules on it, the threads behind it, from start to a clean end. */
import { loadAddon, type Addon, type Connection, type Listener } from '../base/addon.js';
import { bundleFilters, bundleInit, describePaths } from '../loader/loader.js';
import { LockFile } from './lock.js';
import type { Logger } from '../base/log.js';
import type { ConnectionId } from '../thread/messages.js';
import { ModuleConnection } from './module-connection.js';
import { Pool } from './pool.js';
import { checkSocketDir } from './socket-path.js';

const DRAIN_GRACE_MS = 100;

export interface HostOptions {
  readonly paths: readonly string[];
  readonly socket: string;
  readonly workers: number;
  readonly stallTimeoutMs: number;
  readonly init: string | undefined;
  readonly logLevel: string;
  readonly drainTimeoutMs: number;
  readonly version: string;
  readonly log: Logger;
}

export class Host {
  readonly #options: HostOptions;
  readonly #addon: Addon;
  readonly #modules = new Map<ConnectionId, ModuleConnection>();
  #pool: Pool | undefined;
  #lock: LockFile | undefined;
  #listener: Listener | undefined;
  #nextId = 1;
  #stopping: Promise<void> | undefined;

  constructor(options: HostOptions) {
    this.#options = options;
    this.#addon = loadAddon();
  }

  async start(): Promise<void> {
    const { paths, socket, workers, stallTimeoutMs, init, logLevel, log } = this.#options;
    checkSocketDir(socket);
    this.#lock = LockFile.acquire(socket);
    try {
      const bundle = await bundleFilters(paths);
      const pool = new Pool({
        workers,
        stallTimeoutMs,
        bundle: bundle.url,
        init: init === undefined ? undefined : await bundleInit(init),
        logLevel,
        log,
        events: {
          verdict: (connection, id, verdict) => this.#modules.get(connection)?.verdict(id, verdict),
          malformed: (connection, message) => this.#modules.get(connection)?.close('TSF_MALFORMED', message),
        },
      });
      this.#pool = pool;
      await pool.start();
      this.#listener = new this.#addon.Listener(socket, (connection) => this.#accept(connection, pool));
      log.info({ socket, filters: pool.filters, workers, version: this.#options.version }, 'listening');
    } catch (error) {
      await this.#pool?.stop();
      this.#lock.release();
      throw error;
    }
  }

  /** Takes no new streams, waits for the others up to the time limit, and ends. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    const { log, drainTimeoutMs } = this.#options;
    log.info({ drainTimeoutMs }, 'draining');
    this.#listener?.close();
    for (const module of this.#modules.values()) module.drain();
    // A stream that a worker sent off before it heard of the drain is still on its way through the ring.
    await new Promise((resolve) => setTimeout(resolve, Math.min(DRAIN_GRACE_MS, drainTimeoutMs)));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => (timer = setTimeout(() => resolve('late'), drainTimeoutMs)));
    if ((await Promise.race([this.#pool?.drained(), late])) === 'late') {
      log.warn({ drainTimeoutMs }, 'streams were still open when the drain timeout passed; they end now');
    }
    clearTimeout(timer);
    // Streams first: what they say at their end still finds a connection.
    await this.#pool?.stop();
    for (const module of [...this.#modules.values()]) module.shutdown();
    this.#lock?.release();
    log.info('stopped');
  }

  /** After stop(). */
  exit(code: number): never {
    if (this.#pool?.isStuck !== true) process.exit(code);
    this.#options.log.warn('a worker thread is inside native code, and the process ends without it');
    return this.#addon.exitNow(code);
  }

  /** For a second signal: nothing is waited for. */
  abandon(code: number): never {
    this.#listener?.close();
    this.#lock?.release();
    return this.#addon.exitNow(code);
  }

  #accept(connection: Connection, pool: Pool): void {
    const { log, version, paths } = this.#options;
    const uid = process.getuid?.() ?? 0;
    if (connection.peerUid !== uid && connection.peerUid !== 0) {
      log.warn(
        { code: 'TSF_PEER_REFUSED', uid: connection.peerUid, pid: connection.peerPid },
        'a process of another user was refused',
      );
      connection.close();
      return;
    }
    const id = this.#nextId++;
    const module = new ModuleConnection({
      id,
      connection,
      addon: this.#addon,
      pool,
      log,
      version,
      searched: describePaths(paths),
      onGone: () => {
        this.#modules.delete(id);
        pool.disconnect(id);
      },
    });
    this.#modules.set(id, module);
  }
}
