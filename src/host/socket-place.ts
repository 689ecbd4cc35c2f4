/**
 * The socket's path, and the right to it. A host that starts asks the one that answers there, which gives it up; then the
 * new one binds beside the path, listens, renames over it and says so. With the last word the old one knows that it is
 * replaced. Where that word does not come it takes its place again, unless another living host has the lock by then.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Addon, Connection, Listener } from '../base/addon.js';
import { HostError, messageOf } from '../base/host-errors.js';
import { ControlKind, decodeControl, encodeTakeOver, TakeOverStep } from '../channel/codec/index.js';
import { LockFile } from './lock.js';

/** A host that is asked answers within that time. */
const ANSWER_MS = 5_000;
/** Where a living process has the lock and nobody listens, it is just starting. */
const LISTENS_MS = 5_000;
const PAUSE_MS = 20;
/** A process that has closed its descriptors is seen for a moment longer. */
const EXIT_MS = 2_000;

export interface SocketPlaceOptions {
  readonly socket: string;
  /** Its permissions. */
  readonly mode: number;
  readonly addon: Addon;
  /** False: a host that answers there is left in its place. */
  readonly takesOver: boolean;
  readonly onConnection: (connection: Connection) => void;
  /** Another host has the place now. */
  readonly onReplaced: () => void;
}

export class SocketPlace {
  readonly #options: SocketPlaceOptions;
  #lock: LockFile;
  #listener: Listener;
  /** Hosts that want the place; the first one may take it. */
  #successors: Connection[] = [];
  #isLeft = false;

  private constructor(options: SocketPlaceOptions, lock: LockFile) {
    this.#options = options;
    this.#lock = lock;
    this.#listener = this.#listen();
  }

  /** A host answers there. */
  static isServed(socket: string, addon: Addon): boolean {
    try {
      addon.connect(socket).close();
      return true;
    } catch {
      return false;
    }
  }

  static async take(options: SocketPlaceOptions): Promise<SocketPlace> {
    const { socket } = options;
    const until = performance.now() + LISTENS_MS;
    for (;;) {
      const holder = await ask(options);
      if (holder instanceof Error) {
        const lock = LockFile.acquire(socket);
        if (lock !== undefined) return SocketPlace.#with(options, lock);
        if (performance.now() > until) throw running(socket, `cannot be reached (${messageOf(holder)})`);
        await sleep(PAUSE_MS);
      } else if (holder !== undefined) {
        try {
          const place = SocketPlace.#with(options, LockFile.seize(socket));
          holder.send(ControlKind.TakeOver, encodeTakeOver(TakeOverStep.Done));
          return place;
        } finally {
          holder.close();
        }
      }
    }
  }

  static #with(options: SocketPlaceOptions, lock: LockFile): SocketPlace {
    try {
      return new SocketPlace(options, lock);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** A host wants the place. */
  asked(by: Connection): void {
    if (this.#isLeft) {
      by.close();
      return;
    }
    by.onMessage = (kind, payload) => this.#heard(by, kind, payload);
    by.onClose = () => void this.#gone(by);
    this.#successors.push(by);
    if (this.#successors.length === 1) grant(by);
  }

  /** The path and the lock are free for others at once. */
  leave(): void {
    if (this.#isLeft) return;
    this.#isLeft = true;
    this.#listener.close();
    this.#lock.release();
    for (const successor of this.#successors.splice(0)) successor.close();
  }

  #listen(): Listener {
    const { addon, socket, mode, onConnection } = this.#options;
    return new addon.Listener(socket, onConnection, mode);
  }

  #heard(by: Connection, kind: number, payload: Uint8Array): void {
    if (by !== this.#successors[0] || !isDone(kind, payload)) return;
    this.leave();
    this.#options.onReplaced();
  }

  /** Without its last word. */
  async #gone(by: Connection): Promise<void> {
    const wasFirst = by === this.#successors[0];
    if (wasFirst && !(await this.#takeAgain())) {
      this.leave();
      this.#options.onReplaced();
      return;
    }
    this.#successors = this.#successors.filter((one) => one !== by);
    const [next] = this.#successors;
    if (wasFirst && next !== undefined) grant(next);
  }

  async #takeAgain(): Promise<boolean> {
    const until = performance.now() + EXIT_MS;
    for (; !this.#isLeft; await sleep(PAUSE_MS)) {
      const lock = LockFile.acquire(this.#options.socket);
      if (lock === undefined) {
        if (performance.now() < until) continue;
        return false;
      }
      this.#lock = lock;
      // Over the path first: whoever looks for it finds a listener.
      const before = this.#listener;
      this.#listener = this.#listen();
      before.close();
      return true;
    }
    return true;
  }
}

function isDone(kind: number, payload: Uint8Array): boolean {
  try {
    const message = decodeControl(kind, payload);
    return message?.kind === ControlKind.TakeOver && message.step === TakeOverStep.Done;
  } catch {
    return false;
  }
}

const grant = (to: Connection): void => to.send(ControlKind.TakeOver, encodeTakeOver(TakeOverStep.Granted));

function running(socket: string, why: string): HostError {
  const pid = LockFile.holder(socket);
  const who = pid === undefined ? 'a host' : `a host with pid ${pid}`;
  const kill = pid === undefined ? 'end it' : `end it (kill ${pid})`;
  return new HostError('TSF_HOST_RUNNING', `${who} serves ${socket} and ${why}; ${kill} or choose another --socket`);
}

/** A connection over which the holder has given up the place; undefined: it has gone; an error: nobody answers there. */
async function ask({ socket, addon, takesOver }: SocketPlaceOptions): Promise<Connection | Error | undefined> {
  let connection: Connection;
  try {
    connection = addon.connect(socket);
  } catch (error) {
    return error as Error;
  }
  const { peerUid } = connection;
  if (!takesOver || peerUid !== process.getuid?.()) {
    connection.close();
    throw running(socket, takesOver ? `runs as uid ${peerUid}` : 'has come meanwhile');
  }
  let timer: NodeJS.Timeout | undefined;
  const answer = await new Promise<'granted' | 'gone' | 'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), ANSWER_MS);
    connection.onMessage = (kind) => {
      if (kind === ControlKind.TakeOver) resolve('granted');
    };
    connection.onClose = () => resolve('gone');
    connection.send(ControlKind.TakeOver, encodeTakeOver(TakeOverStep.Ask));
  });
  clearTimeout(timer);
  if (answer === 'granted') return connection;
  connection.close();
  if (answer === 'gone') return undefined;
  throw running(socket, `does not answer: it hangs, or is of a release that cannot be replaced so`);
}
