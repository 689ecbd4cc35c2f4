/**
 * What one thread serves: for each module's connection a registry of judged configs, and its channels. It runs in a worker
 * thread, or in the main thread with `--workers 0`; it speaks by messages in both.
 */
import { Endpoint, DATA_OFFSET } from 'sharedarraybuffer-ring';
import { loadAddon } from '../base/addon.js';
import { Channel } from '../channel/channel.js';
import type { FilterConfigMessage } from '../channel/codec/index.js';
import { errorFields, type Logger } from '../base/log.js';
import { type ConnectionId, type FromWorker, refusedVerdict, type ToWorker, type Verdict } from './messages.js';
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
  readonly #definitions: readonly Filter[];
  readonly #emit: (message: FromWorker) => void;
  readonly #log: Logger;
  readonly #worker: number;
  readonly #modules = new Map<ConnectionId, ModuleState>();
  /** Not for streams: it holds the rules that are no connection's. */
  readonly #root: FilterRegistry;
  #draining = false;

  constructor(definitions: readonly Filter[], worker: number, log: Logger, emit: (message: FromWorker) => void) {
    this.#definitions = definitions;
    this.#worker = worker;
    this.#log = log;
    this.#emit = emit;
    this.#root = this.#registry();
  }

  /** Filters are written by people who forget an await now and then; that is no reason to end other streams. */
  unhandledRejection(reason: unknown): void {
    this.#log.error(
      { code: 'TSF_UNHANDLED_REJECTION', err: reason },
      `a rejection that no filter awaits: ${reason instanceof Error ? reason.message : String(reason)}`,
    );
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
      case 'drain':
        this.#draining = true;
        this.#idle();
        return;
      case 'stop':
        for (const connection of [...this.#modules.keys()]) this.#disconnect(connection, EndReason.HostDrain);
        this.#root.dispose();
        this.#emit({ type: 'stopped' });
        return;
    }
  }

  #registry(): FilterRegistry {
    return new FilterRegistry(this.#definitions, { logger: this.#log, thread: this.#worker });
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
          onIdle: () => this.#idle(),
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
    channel?.close(EndReason.Downstream);
    state?.channels.delete(id);
    state?.opening.delete(id);
    this.#emit({ type: 'closed', connection, id });
    this.#idle();
  }

  #disconnect(connection: ConnectionId, reason: EndReason): void {
    const state = this.#modules.get(connection);
    if (state === undefined) return;
    this.#modules.delete(connection);
    for (const channel of state.channels.values()) channel.close(reason);
    state.registry.dispose();
  }

  #idle(): void {
    if (!this.#draining) return;
    for (const { channels } of this.#modules.values()) {
      for (const channel of channels.values()) if (channel.streams > 0) return;
    }
    this.#emit({ type: 'idle' });
  }
}
