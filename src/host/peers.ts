/** Which users' processes may connect, and what is said of those that may not: both sides of a pair are told. */
import type { Connection } from '../base/addon.js';
import type { Logger } from '../base/log.js';
import { ControlKind, encodeRefused } from '../channel/codec/index.js';
import type { SocketAccess } from './socket-path.js';

/** One that is refused comes again and again: it is said once in that time. */
const SAY_AGAIN_MS = 60_000;

export class PeerCheck {
  readonly #access: SocketAccess;
  readonly #log: Logger;
  readonly #said = new Map<string, number>();
  readonly #uid = process.getuid?.() ?? 0;

  constructor(access: SocketAccess, log: Logger) {
    this.#access = access;
    this.#log = log;
  }

  /** The host's own user, or root: it may also take the host's place. */
  isOwn({ peerUid }: Connection): boolean {
    return peerUid === this.#uid || peerUid === 0;
  }

  /** One that may not is told why, and closed. */
  accepts(connection: Connection): boolean {
    const { peerUid: uid, peerPid: pid } = connection;
    if (this.isOwn(connection) || this.#access.allowedUids.includes(uid)) return true;
    const mend = `--allowed-uids ${[...this.#access.allowedUids, uid].join(',')} --socket-mode 0666`;
    const reason = `TSF_PEER_REFUSED: uid ${uid} may not connect to this host; start ts-filter-host with ${mend}, or run Envoy as uid ${this.#uid}`;
    if (this.mayBeSaid(reason)) this.#log.warn({ code: 'TSF_PEER_REFUSED', uid, pid }, reason);
    connection.send(ControlKind.Refused, encodeRefused(reason));
    connection.close();
    return false;
  }

  mayBeSaid(line: string): boolean {
    const now = performance.now();
    for (const [known, at] of this.#said) if (now - at > SAY_AGAIN_MS) this.#said.delete(known);
    if (this.#said.has(line)) return false;
    this.#said.set(line, now);
    return true;
  }
}
