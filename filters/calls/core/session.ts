/**
 * One life of a runtime, from its hello to its end.
 *
 *   greeting ── hello ──► loading ── answer 0 ──► open ── shutdown ──► closing
 *       └───────────────────┴────── any of them ──┴──── end ──► over ◄────┘
 *
 * It has at most `window` calls that are not answered; a cancelled one counts until the runtime answers it.
 */
import type { Connection } from './connection.js';
import type { Failure, KnownCallsErrorCode } from './errors.js';
import { encodeFrame, type Frame, FrameReader, MAX_WINDOW, type Payload, PROTOCOL_VERSION } from './frames.js';
import type { RuntimeSpec } from './spec.js';

export interface PendingCall {
  readonly method: string;
  readonly payload: Payload;
  /** Its caller cancels it then. */
  readonly timeoutMs: number;
  answered(payload: Payload): void;
  failed(failure: Failure): void;
}

export interface SessionEvents {
  /** It has loaded. */
  opened(): void;
  /** `hasRoom` may have become true. */
  room(): void;
  /** Nothing of it is left; calls that it had have failed. Once. */
  ended(failure: Failure): void;
}

type State = 'greeting' | 'loading' | 'open' | 'closing' | 'over';

/** What calls hear when it ends by itself. */
const END_CODES: { readonly [state in State]: KnownCallsErrorCode } = {
  greeting: 'CALLS_START_FAILED',
  loading: 'CALLS_START_FAILED',
  open: 'CALLS_DIED',
  closing: 'CALLS_CLOSED',
  over: 'CALLS_DIED',
};

/** The codes that the libraries give for themselves; all others are the author's. */
const OWN_CODES: ReadonlySet<string> = new Set<KnownCallsErrorCode>([
  'CALLS_METHOD',
  'CALLS_TOO_LARGE',
  'CALLS_LOAD_FAILED',
]);

export class Session {
  readonly #spec: RuntimeSpec;
  readonly #connection: Connection;
  readonly #events: SessionEvents;
  readonly #reader = new FrameReader();
  /** Unanswered calls; undefined: cancelled, and nobody waits for its answer. */
  readonly #calls = new Map<number, PendingCall | undefined>();
  readonly #ids = new Map<PendingCall, number>();
  #state: State = 'greeting';
  #window = 0;
  #isFull = false;
  #lastId = 0;
  readonly #startTimer: NodeJS.Timeout | undefined;
  #stuckTimer: NodeJS.Timeout | undefined;

  constructor(spec: RuntimeSpec, connection: Connection, startWithinMs: number, events: SessionEvents) {
    this.#spec = spec;
    this.#connection = connection;
    this.#events = events;
    this.#startTimer = setTimeout(() => {
      this.#end('CALLS_START_FAILED', 'it has not loaded in time');
    }, startWithinMs).unref();
    connection.listen({
      bytes: (piece) => this.#read(piece),
      drained: () => {
        this.#isFull = false;
        this.#events.room();
      },
      closed: (why) => {
        this.#end(END_CODES[this.#state], why);
      },
    });
  }

  get hasRoom(): boolean {
    return this.#state === 'open' && !this.#isFull && this.#calls.size < this.#window;
  }

  send(call: PendingCall): void {
    do this.#lastId = this.#lastId === 0xffffffff ? 1 : this.#lastId + 1;
    while (this.#calls.has(this.#lastId));
    const id = this.#lastId;
    this.#calls.set(id, call);
    this.#ids.set(call, id);
    this.#write({ kind: 'call', id, name: call.method, payload: call.payload });
  }

  /** The runtime is told; what it answers is dropped. */
  cancel(call: PendingCall): void {
    const id = this.#ids.get(call);
    if (id === undefined) return;
    this.#ids.delete(call);
    this.#calls.set(id, undefined);
    this.#write({ kind: 'cancel', id });
    if (this.#ids.size === 0 && this.#calls.size >= this.#window) this.#watch();
  }

  /** Takes no more calls; those that it has are answered. */
  async close(): Promise<void> {
    if (this.#state === 'over') return;
    this.#state = 'closing';
    this.#write({ kind: 'shutdown' });
    await this.#connection.end(this.#spec.graceMs);
    this.#end('CALLS_CLOSED', 'it was closed');
  }

  #write(frame: Frame): void {
    if (!this.#connection.write(encodeFrame(frame))) this.#isFull = true;
  }

  #read(piece: Uint8Array): void {
    try {
      for (const frame of this.#reader.push(piece)) {
        if (this.#state === 'over') return;
        this.#handle(frame);
      }
    } catch (e) {
      this.#end('CALLS_PROTOCOL', `it sent a frame that is none: ${(e as Error).message}`);
    }
  }

  #handle(frame: Frame): void {
    if (this.#state === 'greeting') {
      this.#greet(frame);
    } else if (frame.kind !== 'answer' && frame.kind !== 'error') {
      this.#end('CALLS_PROTOCOL', `it sent ${frame.kind}`);
    } else if (frame.id === 0 && this.#state === 'loading') {
      this.#loaded(frame);
    } else if (!this.#calls.has(frame.id)) {
      this.#end('CALLS_PROTOCOL', `it answered call ${String(frame.id)}, which it does not have`);
    } else {
      this.#settle(frame);
    }
  }

  #greet(frame: Frame): void {
    if (frame.kind !== 'hello') return this.#end('CALLS_PROTOCOL', `it said ${frame.kind} before hello`);
    const { version, window } = frame;
    if (version !== PROTOCOL_VERSION) return this.#end('CALLS_PROTOCOL', `it speaks version ${String(version)}`);
    if (window < 1 || window > MAX_WINDOW) return this.#end('CALLS_PROTOCOL', `its window is ${String(window)}`);
    this.#window = window;
    this.#state = 'loading';
    this.#write({ kind: 'load', name: this.#spec.name, payload: this.#spec.init });
  }

  #loaded(frame: Frame & { kind: 'answer' | 'error' }): void {
    if (frame.kind === 'error') {
      return this.#end('CALLS_LOAD_FAILED', Buffer.from(frame.payload.bytes).toString());
    }
    clearTimeout(this.#startTimer);
    this.#state = 'open';
    this.#events.opened();
  }

  #settle(frame: Frame & { kind: 'answer' | 'error' }): void {
    const call = this.#calls.get(frame.id);
    this.#calls.delete(frame.id);
    clearTimeout(this.#stuckTimer);
    if (call !== undefined) {
      this.#ids.delete(call);
      if (frame.kind === 'answer') call.answered(frame.payload);
      else call.failed(this.#remoteFailure(frame.name, Buffer.from(frame.payload.bytes).toString()));
    }
    this.#events.room();
  }

  #remoteFailure(code: string, message: string): Failure {
    const text = `${this.#spec.name}: ${message}`;
    return OWN_CODES.has(code)
      ? { code: code as KnownCallsErrorCode, message: text }
      : { code: 'CALLS_REMOTE', message: text, remoteCode: code };
  }

  /** All that it has is cancelled, and it takes no more. */
  #watch(): void {
    clearTimeout(this.#stuckTimer);
    this.#stuckTimer = setTimeout(() => {
      this.#end('CALLS_STUCK', `it has ended none of ${String(this.#calls.size)} cancelled calls`);
    }, this.#spec.stuckMs).unref();
  }

  #end(code: KnownCallsErrorCode, why: string): void {
    if (this.#state === 'over') return;
    this.#state = 'over';
    clearTimeout(this.#startTimer);
    clearTimeout(this.#stuckTimer);
    void this.#connection.end(0);
    const failure: Failure = { code, message: `${this.#spec.name}: ${why}` };
    for (const call of this.#ids.keys()) call.failed(failure);
    this.#ids.clear();
    this.#calls.clear();
    this.#events.ended(failure);
  }
}
