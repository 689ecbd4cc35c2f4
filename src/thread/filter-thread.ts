/**
 * What one thread serves: for each module's connection a registry of judged configs, and its channels. It runs in a worker
 * thread, or in the main thread with `--workers 0`; it speaks by messages in both.
 */
import { Endpoint, DATA_OFFSET } from '#ring';
import { loadAddon } from '../base/addon.js';
import { Channel } from '../channel/channel.js';
import type { FilterConfigMessage } from '../channel/codec/index.js';
import { errorFields, type Logger } from '../base/log.js';
import { type ConnectionId, type FromWorker, refusedVerdict, type ToWorker, type Verdict } from './messages.js';
import type { FilterFiles } from '../loader/filter-files.js';
import { FilterRegistry } from '../registry/index.js';
import type { Filter } from '../api/types-definition.js';
import { EndReason } from '../base/wire.js';

const DEFAULT_WINDOW = 256 * 1024;

/** A config that takes longer to be judged again does not keep the channel from the streams of others. */
const AGAIN_MS = 1000;

interface ModuleState {
  readonly registry: FilterRegistry;
  readonly channels: Map<number, Channel>;
  readonly windows: Map<number, number>;
  /** Configs that streams may have as soon as there is a channel. */
  readonly again: Set<Promise<void>>;
  /** Channels that wait for those. */
  readonly opening: Set<number>;
}

export class FilterThread {
  readonly #files: FilterFiles;
  readonly #emit: (message: FromWorker) => void;
  readonly #log: Logger;
  readonly #worker: number;
  readonly #modules = new Map<ConnectionId, ModuleState>();
  /** Not for streams: it holds the rules that are no connection's. */
  readonly #root: FilterRegistry;

  constructor(files: FilterFiles, worker: number, log: Logger, emit: (message: FromWorker) => void) {
    this.#files = files;
    this.#worker = worker;
    this.#log = log;
    this.#emit = emit;
    this.#root = this.#registry();
  }

  /** Filters that could not be loaded before. */
  add(filters: readonly Filter[]): void {
    for (const filter of filters) {
      this.#root.add(filter);
      for (const { registry } of this.#modules.values()) registry.add(filter);
    }
  }

  handle(message: ToWorker): void {
    switch (message.type) {
      case 'judge':
        this.#judgeSoon(message);
        return;
      case 'forget':
        this.#modules.get(message.connection)?.registry.forget(message.id);
        this.#modules.get(message.connection)?.windows.delete(message.id);
        return;
      case 'channel':
        void this.#openChannel(message);
        return;
      case 'close':
        this.#closeChannel(message.connection, message.id);
        return;
      case 'ping':
        this.#emit({ type: 'pong' });
        return;
      case 'disconnect':
        this.#disconnect(message.connection, EndReason.Downstream);
        this.#emit({ type: 'disconnected', connection: message.connection });
        return;
      case 'loadAgain':
        this.#files.tryAgain();
        return;
      case 'stop':
        for (const connection of [...this.#modules.keys()]) this.#disconnect(connection, EndReason.HostDrain);
        this.#root.dispose();
        this.#emit({ type: 'stopped' });
        return;
    }
  }

  #registry(): FilterRegistry {
    const definitions = this.#files.definitions.map(({ filter }) => filter);
    return new FilterRegistry(definitions, { logger: this.#log, thread: this.#worker });
  }

  #module(connection: ConnectionId): ModuleState {
    let state = this.#modules.get(connection);
    if (state === undefined) {
      state = {
        registry: this.#registry(),
        channels: new Map(),
        windows: new Map(),
        again: new Set(),
        opening: new Set(),
      };
      this.#modules.set(connection, state);
    }
    return state;
  }

  #judgeSoon({ connection, config, again }: Extract<ToWorker, { type: 'judge' }>): void {
    const judged = this.#judge(connection, config);
    if (!again) return;
    const waited = this.#module(connection).again;
    waited.add(judged);
    void judged.finally(() => waited.delete(judged));
  }

  async #judge(connection: ConnectionId, config: FilterConfigMessage): Promise<void> {
    const { registry, windows } = this.#module(connection);
    const { id, name, route, allow, deny, logLevel, streamWindow, maxBodyBytes, capabilities, metrics, filters } =
      config;
    windows.set(id, streamWindow);
    const unavailable = this.#unavailable(registry, config);
    if (unavailable !== undefined) {
      this.#emit({ type: 'verdict', connection, id, verdict: unavailable });
      return;
    }
    let verdict: Verdict;
    try {
      const rules = { allow, deny, logLevel, streamWindow, maxBodyBytes, capabilities, metrics };
      const judged = await (filters.length === 0
        ? registry.parse(id, name, route, config.config, rules)
        : registry.parseList(id, name, filters, rules));
      verdict = judged.accepted ? { ...judged, message: '' } : refusedVerdict(judged.message);
    } catch (error) {
      verdict = refusedVerdict(error instanceof Error ? error.message : String(error));
    }
    this.#emit({ type: 'verdict', connection, id, verdict });
  }

  /** Nobody knows which filters are in a file that cannot be loaded. */
  #unavailable(registry: FilterRegistry, { name, filters }: FilterConfigMessage): Verdict | undefined {
    const { missing } = this.#files;
    if (missing.length === 0) return undefined;
    const known = registry.names();
    const names = filters.length === 0 ? [name] : filters.map((one) => one.name);
    const absent = names.find((one) => !known.includes(one));
    if (absent === undefined) return undefined;
    const message = `filter "${absent}" is not there yet: the host cannot load ${missing.join(', ')} now (its log says why)`;
    return { ...refusedVerdict(message), unavailable: true };
  }

  async #openChannel(message: Extract<ToWorker, { type: 'channel' }>): Promise<void> {
    const { connection, id, ringBytes, fds } = message;
    const state = this.#module(connection);
    const { registry, channels, windows, again } = state;
    if (again.size > 0) {
      state.opening.add(id);
      const late = new Promise((resolve) => setTimeout(resolve, AGAIN_MS).unref());
      await Promise.race([Promise.all(again), late]);
      // Its module, or its channel alone, may have gone meanwhile.
      if (this.#modules.get(connection) !== state || !state.opening.delete(id)) return;
    }
    try {
      const addon = loadAddon();
      const bytes = ringBytes + DATA_OFFSET;
      const endpoint = new Endpoint(addon.mapInbound(fds.inbound, bytes), addon.mapOutbound(fds.outbound, bytes), {
        ring: () => addon.ring(fds.workerBell),
      });
      const malformed = (reason: string): void => this.#emit({ type: 'malformed', connection, message: reason });
      channels.set(
        id,
        new Channel({
          endpoint,
          poller: (onWake, onFlush) => new addon.Poller(fds.hostBell, onWake, onFlush),
          createStream: (start, sink) => registry.createStream(start, sink),
          streamWindow: (configId) => windows.get(configId) ?? DEFAULT_WINDOW,
          onMalformed: malformed,
          onFault: (error) =>
            this.#log.error({ code: 'TSF_INTERNAL', ...errorFields(error) }, 'a stream failed inside the host'),
        }),
      );
      this.#emit({ type: 'channelReady', connection, id });
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      this.#emit({ type: 'channelFailed', connection, id, message: text });
    }
  }

  #closeChannel(connection: ConnectionId, id: number): void {
    const state = this.#modules.get(connection);
    const channel = state?.channels.get(id);
    const closed = (): void => {
      state?.channels.delete(id);
      this.#emit({ type: 'closed', connection, id });
    };
    state?.opening.delete(id);
    if (channel === undefined) closed();
    else channel.finish(closed);
  }

  #disconnect(connection: ConnectionId, reason: EndReason): void {
    const state = this.#modules.get(connection);
    if (state === undefined) return;
    this.#modules.delete(connection);
    for (const channel of state.channels.values()) channel.close(reason);
    state.registry.dispose();
  }
}
