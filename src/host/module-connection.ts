/** One module (one Envoy) on the socket: handshake, configs, channels. Anything that does not fit ends the connection;
 *  the module comes back by itself. */
import type { Addon, Connection } from '../base/addon.js';
import {
  ControlKind,
  MalformedMessage,
  PROTOCOL_MAJOR,
  PROTOCOL_MINOR,
  decodeControl,
  encodeChannelDone,
  encodeChannelReady,
  encodeDrain,
  encodeRefused,
  encodeVerdict,
  encodeWelcome,
  type ChannelMessage,
  type FilterConfigMessage,
  type HelloMessage,
} from '../channel/codec/index.js';
import { messageOf } from '../base/host-errors.js';
import type { Logger } from '../base/log.js';
import type { HostChannel } from './channels.js';
import { type ChannelFds, type ConnectionId, refusedVerdict, type Verdict } from '../thread/messages.js';
import type { Pool } from './pool.js';

const MIN_RING_BYTES = 64 * 1024;
const MAX_RING_BYTES = 256 * 1024 * 1024;

export interface ModuleConnectionOptions {
  readonly id: ConnectionId;
  readonly connection: Connection;
  readonly addon: Addon;
  readonly pool: Pool;
  readonly log: Logger;
  readonly version: string;
  /** For the message about a filter that nobody defined. */
  readonly searched: string;
  /** The connection has ended; its channels' descriptors go when the pool has let go of them. */
  readonly onGone: () => void;
}

export class ModuleConnection {
  readonly #options: ModuleConnectionOptions;
  readonly #log: Logger;
  readonly #channels = new Set<number>();
  #greeted = false;
  #gone = false;

  constructor(options: ModuleConnectionOptions) {
    this.#options = options;
    this.#log = options.log.child({ connection: options.id, envoyPid: options.connection.peerPid });
    options.connection.onMessage = (kind, payload, fds) => this.#message(kind, payload, fds);
    options.connection.onClose = (reason) => {
      this.#log.info(reason === undefined ? {} : { reason }, 'module disconnected');
      this.#end();
    };
  }

  verdict(id: number, verdict: Verdict): void {
    if (!verdict.accepted) this.#log.warn({ config: id, reason: verdict.message }, 'config refused');
    this.#send(ControlKind.ConfigVerdict, encodeVerdict({ id, ...verdict }));
  }

  drain(): void {
    this.#send(ControlKind.Drain, encodeDrain());
  }

  /** Ends the connection from this side. */
  close(code: string, reason: string): void {
    if (this.#gone) return;
    this.#log.error({ code, reason }, 'connection to the module closed');
    this.#options.connection.close();
    this.#end();
  }

  shutdown(): void {
    if (this.#gone) return;
    this.#options.connection.close();
    this.#end();
  }

  #end(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#options.onGone();
  }

  #send(kind: ControlKind, payload: Uint8Array): void {
    if (!this.#gone) this.#options.connection.send(kind, payload);
  }

  #message(kind: number, payload: Uint8Array, fds: number[]): void {
    let kept = false;
    try {
      if (this.#gone) return;
      const message = decodeControl(kind, payload);
      if (message === undefined) return;
      if (message.kind === ControlKind.Hello) {
        this.#hello(message.hello);
        return;
      }
      if (!this.#greeted) throw new MalformedMessage(`${ControlKind[kind]} before Hello`);
      switch (message.kind) {
        case ControlKind.FilterConfig:
          this.#filterConfig(message.config);
          return;
        case ControlKind.ForgetConfig:
          this.#options.pool.forget(this.#options.id, message.id);
          return;
        case ControlKind.ChannelDone:
          this.#options.pool.closeChannel(this.#options.id, message.id);
          return;
        case ControlKind.Channel:
          kept = this.#channel(message.channel, fds);
          return;
      }
    } catch (error) {
      this.close('TSF_MALFORMED', messageOf(error));
    } finally {
      if (!kept) for (const fd of fds) this.#options.addon.closeFd(fd);
    }
  }

  #hello(hello: HelloMessage): void {
    if (this.#greeted) throw new MalformedMessage('a second Hello');
    if (hello.major !== PROTOCOL_MAJOR) {
      const mine = `protocol ${PROTOCOL_MAJOR} (ts-filter-host ${this.#options.version})`;
      const theirs = `protocol ${hello.major} (module ${hello.moduleVersion})`;
      const reason = `TSF_PEER_REFUSED: the host speaks ${mine}, the module ${theirs}; install both from one release`;
      this.#send(ControlKind.Refused, encodeRefused(reason));
      this.close('TSF_PEER_REFUSED', reason);
      return;
    }
    this.#greeted = true;
    this.#log.info(
      {
        moduleVersion: hello.moduleVersion,
        envoyVersion: hello.envoyVersion,
        concurrency: hello.concurrency,
        protocol: `${hello.major}.${hello.minor}`,
        own: `${PROTOCOL_MAJOR}.${PROTOCOL_MINOR}`,
      },
      'module connected',
    );
    this.#send(ControlKind.Welcome, encodeWelcome(this.#options.version, process.pid));
  }

  #filterConfig(config: FilterConfigMessage): void {
    if (config.id === 0) throw new MalformedMessage('config id 0');
    const { pool, id, searched } = this.#options;
    const names = config.filters.length === 0 ? [config.name] : config.filters.map((filter) => filter.name);
    const missing = names.findIndex((name) => !pool.filters.includes(name));
    if (missing >= 0) {
      const place = config.filters.length === 0 ? '' : `filters[${missing}].name: `;
      const message = `${place}no filter is named "${names[missing]}"; loaded: ${pool.filters.join(', ')}; searched: ${searched}`;
      this.verdict(config.id, refusedVerdict(message));
      return;
    }
    pool.judge(id, config);
  }

  #channel(message: ChannelMessage, fds: readonly number[]): boolean {
    const { id, ringBytes } = message;
    const [outbound, inbound, hostBell, workerBell] = fds;
    if (
      outbound === undefined ||
      inbound === undefined ||
      hostBell === undefined ||
      workerBell === undefined ||
      fds.length !== 4
    ) {
      throw new MalformedMessage(`a channel with ${fds.length} descriptors`);
    }
    const isPower = (ringBytes & (ringBytes - 1)) === 0;
    if (!isPower || ringBytes < MIN_RING_BYTES || ringBytes > MAX_RING_BYTES) {
      throw new MalformedMessage(`a ring of ${ringBytes} bytes`);
    }
    if (this.#channels.has(id)) throw new MalformedMessage(`channel ${id} twice`);
    this.#channels.add(id);
    this.#options.pool.openChannel(this.#offered(id, ringBytes, { outbound, inbound, hostBell, workerBell }));
    return true;
  }

  #offered(id: number, ringBytes: number, fds: ChannelFds): HostChannel {
    const { id: connection, addon } = this.#options;
    let open = Object.values(fds);
    const closeAllBut = (kept: readonly number[]): void => {
      for (const fd of open) if (!kept.includes(fd)) addon.closeFd(fd);
      open = open.filter((fd) => kept.includes(fd));
    };
    return {
      connection,
      id,
      ringBytes,
      fds,
      ready: () => {
        // The mappings live on without them.
        closeAllBut([fds.hostBell, fds.workerBell]);
        this.#send(ControlKind.ChannelReady, encodeChannelReady(id));
      },
      failed: (message) => this.close('TSF_MALFORMED', `channel ${id}: ${message}`),
      lost: () => this.#send(ControlKind.ChannelDone, encodeChannelDone(id)),
      free: () => {
        closeAllBut([]);
        this.#channels.delete(id);
      },
    };
  }
}
