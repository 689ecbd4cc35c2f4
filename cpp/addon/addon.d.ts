// Exactly what build/ts_filter_addon.node exports. The addon knows memory, descriptors and sockets; what a frame or a
// message means it does not know. Every function throws a TypeError for arguments of the wrong type and an Error with
// the system's own text for what the system refuses. All of it works in worker threads; a descriptor is a number of
// the process, so one thread may receive it and another use it.

/**
 * Maps an outbound file (written by Envoy) read-only. Checks seals, size and header; `bytes` is the size expected of
 * the whole file: 4096 + ring capacity. The descriptor stays the caller's and may be closed afterwards.
 * WRITING to the buffer kills the process (SIGSEGV): never hand it, or a view of it, to a filter.
 */
export function mapOutbound(fd: number, bytes: number): ArrayBuffer;

/** Maps an inbound file (written by this side) read-write. As above. */
export function mapInbound(fd: number, bytes: number): ArrayBuffer;

/**
 * Detaches a mapped buffer (all views of it become empty) and unmaps it at once. Without it the memory goes when the
 * buffer is collected or the thread ends. Throws for a buffer that is not such a mapping or was unmapped before.
 */
export function unmap(buffer: ArrayBuffer): void;

/** Rings the doorbell that wakes Envoy, an eventfd. Never throws for a valid number. */
export function ring(fd: number): void;

/** Rings the doorbell that wakes the host, a socket, as the module does. Never blocks. For tests and the testing kit. */
export function ringHost(fd: number): void;

/** Closes a descriptor. Throws EBADF when it is not open. */
export function closeFd(fd: number): void;

/**
 * Ends the process at once: no thread is waited for, and nothing that is registered for the exit runs. What pumpOutput has
 * taken is still written, for up to a second and as long as it moves.
 */
export function exitNow(code: number): never;

/**
 * From now on whoever reads this process's stdout and stderr holds nobody up: the descriptors 1 and 2 become pipes that are
 * always read, and what their readers do not take (a slow one, one that has gone, a full disk) is lost, whole lines beyond
 * 1 MiB, counted, and told in a line once it flows again. The process's end waits up to a second for what flows. A second call
 * does nothing.
 */
export function pumpOutput(): void;

/**
 * Waits for a doorbell on this thread's event loop.
 *
 * For each wake-up: `onWake` as a callback of its own (so microtasks and nextTicks that it queued run before it is
 * over), then `onFlush` once. What either throws becomes an uncaught exception. The first wake-up comes right after
 * construction, without a ring.
 *
 * Work that finishes later (a timer, a promise) sets `dirty[0] = 1`: `onFlush` is then called once before the loop
 * waits again. No callback, no timer and no system call is needed for that.
 *
 * When `Endpoint.sleep()` says false in `onFlush`, again() lets the loop come back with a wake-up.
 *
 * Keeps the process alive until close() or unref(). The descriptor stays the caller's and may be closed at any time.
 */
export class Poller {
  constructor(fd: number, onWake: () => void, onFlush: () => void);
  readonly dirty: Int32Array;
  again(): void;
  ref(): void;
  unref(): void;
  /** No callback comes after this. May be called twice. */
  close(): void;
}

/**
 * Listens on a unix stream socket, mode 0600 or what is given. It binds under a temporary name beside `path` and renames it over
 * `path`, so a new host takes the path over without a moment in which nobody listens. close() removes `path` only when it
 * is still this socket; connections that wait to be accepted are still handed over, inside the call.
 */
export class Listener {
  constructor(path: string, onConnection: (connection: Connection) => void, mode?: number);
  ref(): void;
  unref(): void;
  close(): void;
}

/**
 * One peer. Messages are `[u32 length][u32 kind][payload]`, little endian, up to 16 MiB. Set `onMessage` and `onClose`
 * inside `onConnection`: nothing is read before it returns.
 */
export class Connection {
  private constructor();
  /** Of the process that connected, by SO_PEERCRED: at the time of its connect(). */
  readonly peerUid: number;
  readonly peerPid: number;
  /**
   * `fds` arrived with the bytes of this very message (at most 16, else the connection is closed); the receiver owns
   * them and closes them with closeFd, also those that it did not expect.
   */
  onMessage: ((kind: number, payload: Buffer, fds: number[]) => void) | null;
  /** Once, and not after close() of our own. No reason: the peer closed in good order, between messages. */
  onClose: ((reason?: string) => void) | null;
  /**
   * Queued when the socket is full; `fds` (at most 16) travel with the message's first byte and stay the caller's.
   * Throws a RangeError above 16 MiB. Nothing happens after the end. A peer that lets more than 64 MiB gather is
   * closed.
   */
  send(kind: number, payload: Uint8Array, fds?: number[]): void;
  ref(): void;
  unref(): void;
  /** Sends what is queued as far as the socket takes it now, then closes. */
  close(): void;
}

/** Connects to a listener, as the module does. For tests and the testing kit. */
export function connect(path: string): Connection;

/** A new doorbell, a new outbound file (mapped read-write) and a new inbound file (mapped read-only), as the module
 * makes them. For tests and the testing kit. The caller owns the descriptors. */
export function createDoorbell(): number;
export function createHostDoorbell(): { host: number; module: number };
export function createOutbound(capacity: number): { fd: number; buffer: ArrayBuffer };
export function createInbound(capacity: number): { fd: number; buffer: ArrayBuffer };
