/** The TypeScript end of PROTOCOL.md: a runtime on a worker thread. */
import { type MessagePort, parentPort } from 'node:worker_threads';
import {
  BYTES,
  encodeFrame,
  fits,
  type Frame,
  FrameReader,
  MalformedFrame,
  PROTOCOL_VERSION,
} from '../../core/frames.js';
import { fromPayload, toPayload } from '../../core/payload.js';

/** What a method is given beside its payload. */
export interface Call {
  /** Aborts when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

/** The methods of one part. */
export interface Part {
  readonly [method: string]: (payload: never, call: Call) => unknown;
}
/** What `load` can name, each made once, from its init. */
export interface Parts {
  readonly [name: string]: (init: never) => object | Promise<object>;
}

export interface ServeOptions {
  /** Calls at once. Default 1024. */
  readonly window?: number;
}

/** Thrown by a method: what the caller sees as `remoteCode`. Other errors have the code `FAILED`. */
export class RemoteError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * Serves whoever has started this thread by `load`.
 *
 * @example
 * serve({ echo: (init: { greeting: string }) => ({ echo: (text: string) => text }) });
 */
export function serve(parts: Parts, { window = 1024 }: ServeOptions = {}): void {
  if (parentPort === null) throw new Error('serve() is for a worker thread that load() has started');
  const server = new Server(parts, parentPort);
  const reader = new FrameReader();
  parentPort.on('message', (piece: Uint8Array) => {
    // What is thrown here ends the thread, and the host hears of it.
    for (const frame of reader.push(piece)) server.handle(frame);
  });
  server.write({ kind: 'hello', version: PROTOCOL_VERSION, window });
}

class Server {
  readonly #parts: Parts;
  readonly #port: MessagePort;
  readonly #running = new Map<number, AbortController>();
  #part: Part | undefined;
  #isLoading = false;
  #isEnding = false;

  constructor(parts: Parts, port: MessagePort) {
    this.#parts = parts;
    this.#port = port;
  }

  handle(frame: Frame): void {
    switch (frame.kind) {
      case 'load':
        if (this.#isLoading) throw new MalformedFrame('a second load');
        this.#isLoading = true;
        void this.#load(frame.name, fromPayload(frame.payload));
        return;
      case 'call':
        if (this.#part === undefined || this.#running.has(frame.id)) throw new MalformedFrame('an unexpected call');
        void this.#call(this.#part, frame);
        return;
      case 'cancel':
        this.#running.get(frame.id)?.abort();
        return;
      case 'shutdown':
        this.#isEnding = true;
        this.#endWhenDone();
        return;
      default:
        throw new MalformedFrame(`${frame.kind} is not for a runtime`);
    }
  }

  write(frame: Frame): void {
    const bytes = encodeFrame(frame);
    this.#port.postMessage(bytes, [bytes.buffer]);
  }

  async #load(name: string, init: unknown): Promise<void> {
    try {
      const make = Object.hasOwn(this.#parts, name) ? this.#parts[name] : undefined;
      if (make === undefined) throw new RemoteError('CALLS_LOAD_FAILED', `there is no part ${name}`);
      this.#part = (await make(init as never)) as Part;
      this.write({ kind: 'answer', id: 0, payload: toPayload(undefined) });
    } catch (e) {
      this.#fail(0, 'CALLS_LOAD_FAILED', e);
    }
  }

  async #call(part: Part, { id, name, payload }: Frame & { kind: 'call' }): Promise<void> {
    const aborter = new AbortController();
    this.#running.set(id, aborter);
    try {
      const method = name in Object.prototype ? undefined : part[name];
      if (typeof method !== 'function') throw new RemoteError('CALLS_METHOD', `there is no method ${name}`);
      const answer = toPayload(await method.call(part, fromPayload(payload) as never, { signal: aborter.signal }));
      if (!fits(answer))
        throw new RemoteError('CALLS_TOO_LARGE', `the answer has ${String(answer.bytes.length)} bytes`);
      this.#running.delete(id);
      this.write({ kind: 'answer', id, payload: answer });
    } catch (e) {
      this.#running.delete(id);
      this.#fail(id, 'FAILED', e);
    }
    this.#endWhenDone();
  }

  #fail(id: number, otherwise: string, e: unknown): void {
    const name = e instanceof RemoteError ? e.code : otherwise;
    const message = Buffer.from(e instanceof Error ? e.message : String(e)).subarray(0, 65_536);
    this.write({ kind: 'error', id, name, payload: { format: BYTES, bytes: message } });
  }

  #endWhenDone(): void {
    if (this.#isEnding && this.#running.size === 0) this.#port.close();
  }
}
