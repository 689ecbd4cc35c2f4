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
  encodeGeneration,
  encodeRefused,
  encodeVerdict,
  encodeWelcome,
  type ChannelMessage,
  type FilterConfigMessage,
  type HelloMessage,
} from '../channel/codec/index.js';
import { messageOf, type HostErrorCode } from '../base/host-errors.js';
import type { Logger } from '../base/log.js';
import type { ChannelEnd, HostChannel } from './channels.js';
import type { ChannelFds, ConnectionId, Verdict } from '../thread/messages.js';
import type { Generations, ModuleLine } from './generations.js';
import type { PeerCheck } from './peers.js';

const MIN_RING_BYTES = 64 * 1024;
const MAX_RING_BYTES = 256 * 1024 * 1024;

export interface ModuleConnectionOptions {
  readonly id: ConnectionId;
  readonly connection: Connection;
  readonly addon: Addon;
  readonly filters: Generations;
  readonly log: Logger;
  readonly version: string;
  readonly peers: PeerCheck;
  /** It is no module, but a host that wants the place; the connection is the receiver's. */
  readonly onSuccessor: (connection: Connection) => void;
  /** The connection has ended; its channels' descriptors go when the pool has let go of them. */
  readonly onGone: () => void;
}

export class ModuleConnection implements ModuleLine {
  readonly #options: ModuleConnectionOptions;
  readonly #log: Logger;
  readonly #channels = new Set<number>();
  #hello: HelloMessage | undefined;
  #gone = false;

  constructor(options: ModuleConnectionOptions) {
    this.#options = options;
    this.#log = options.log.child({ connection: options.id, envoyPid: options.connection.peerPid });
    options.connection.onMessage = (kind, payload, fds) => this.#message(kind, payload, fds);
    options.connection.onClose = (reason) => {
      // One that was told nothing yet, and says nothing, is tried again and again.
      const level = this.#hello === undefined ? 'debug' : 'info';
      this.#log[level](reason === undefined ? {} : { reason }, 'module disconnected');
      this.#end();
    };
  }

  get concurrency(): number {
    return this.#hello?.concurrency ?? 0;
  }

  verdict(id: number, verdict: Verdict, generation: number): void {
    const { accepted, unavailable, message } = verdict;
    if (!accepted && unavailable !== true) this.#log.warn({ config: id, reason: message }, 'config refused');
    this.#send(ControlKind.ConfigVerdict, encodeVerdict({ id, ...verdict, generation }));
  }

  generation(generation: number): void {
    this.#send(ControlKind.Generation, encodeGeneration(generation));
  }

  /** Without a generation: no new streams at all. */
  drain(generation?: number): void {
    this.#send(ControlKind.Drain, encodeDrain(generation));
    // It hears no greeting any more, and finds the next host.
    if (this.#hello === undefined) this.shutdown();
  }

  malformed(message: string): void {
    this.close('TSF_MALFORMED', message);
  }

  /** Ends the connection from this side. */
  close(code: HostErrorCode, reason: string): void {
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
        this.#greet(message.hello);
        return;
      }
      if (message.kind === ControlKind.Refused) {
        this.#refused(message.reason);
        return;
      }
      if (message.kind === ControlKind.TakeOver && this.#hello === undefined) {
        this.#end();
        this.#options.onSuccessor(this.#options.connection);
        return;
      }
      if (this.#hello === undefined) throw new MalformedMessage(`${ControlKind[kind]} before Hello`);
      switch (message.kind) {
        case ControlKind.FilterConfig:
          this.#filterConfig(message.config);
          return;
        case ControlKind.ForgetConfig:
          this.#options.filters.forget(this.#options.id, message.id);
          return;
        case ControlKind.ChannelDone:
          this.#options.filters.closeChannel(this.#options.id, message.id);
          return;
        case ControlKind.Channel:
          kept = this.#channel(message.channel, fds);
          return;
        case ControlKind.TakeOver:
          throw new MalformedMessage('TakeOver behind Hello');
      }
    } catch (error) {
      this.close('TSF_MALFORMED', messageOf(error));
    } finally {
      if (!kept) for (const fd of fds) this.#options.addon.closeFd(fd);
    }
  }

  /** The module does not take this host. It comes again: another host may be there then. */
  #refused(reason: string): void {
    const { peers, connection } = this.#options;
    const line = `Envoy (uid ${connection.peerUid}) refuses this host: ${reason}`;
    if (peers.mayBeSaid(line)) this.#log.error({ code: 'TSF_PEER_REFUSED' }, line);
    this.shutdown();
  }

  #greet(hello: HelloMessage): void {
    if (this.#hello !== undefined) throw new MalformedMessage('a second Hello');
    if (hello.major !== PROTOCOL_MAJOR) {
      const mine = `protocol ${PROTOCOL_MAJOR} (ts-filter-host ${this.#options.version})`;
      const theirs = `protocol ${hello.major} (module ${hello.moduleVersion})`;
      const reason = `TSF_PEER_REFUSED: the host speaks ${mine}, the module ${theirs}; install both from one release`;
      this.#send(ControlKind.Refused, encodeRefused(reason));
      this.close('TSF_PEER_REFUSED', reason);
      return;
    }
    this.#hello = hello;
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
    this.#options.filters.connect(this.#options.id, this);
  }

  #filterConfig(config: FilterConfigMessage): void {
    if (config.id === 0) throw new MalformedMessage('config id 0');
    this.#options.filters.judge(this.#options.id, config);
  }

  #channel(message: ChannelMessage, fds: readonly number[]): boolean {
    const { id, ringBytes, generation } = message;
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
    const fdsByName = { outbound, inbound, hostBell, workerBell };
    this.#options.filters.openChannel(generation, this.#offered(id, ringBytes, fdsByName));
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
      done: (why: ChannelEnd) => this.#send(ControlKind.ChannelDone, encodeChannelDone(id, why === 'drained')),
      free: () => {
        closeAllBut([]);
        this.#channels.delete(id);
      },
    };
  }
}
