/**
 * Requests of the filter's own to Envoy's clusters. A call is a web Response that Envoy fills: it resolves when the
 * headers come, and its body is a stream. The module cancels what still runs when the stream ends.
 */
import { toBytes } from '../body/buffer.js';
import { FilterError, type KnownErrorCode } from '../api/errors.js';
import { countedBlock, HeaderLines } from '../base/header-block.js';
import { HeaderViewImpl } from '../headers/header-views.js';
import { HeaderMapImpl } from '../headers/headers.js';
import { CallSite } from '../base/places.js';
import type { Phase } from '../api/types.js';
import type { CallRequest, CallResponse } from '../api/types-callbacks.js';
import type { Chunk, HeaderView } from '../api/types-data.js';
import type { FilledDeps } from '../base/deps.js';
import { CallEventPart, CallFailure, HeaderType, type StreamSink } from '../base/wire.js';
import type { Author } from '../body/ports.js';
import { closeIterator } from '../body/iteration.js';
import { markAsItCame } from '../headers/reply-headers.js';
import { type CallPlan, planOf } from './call-plan.js';
import type { Life } from './life.js';

/** Bytes of an answer that nobody has read yet: Envoy cannot be slowed down here. */
const MAX_UNREAD_BYTES = 32 * 1024 * 1024;
const PIECE = 64 * 1024;
/** Envoy is given more time than the timer here, which knows more: how long a streamed request takes, and what to say. */
const ENVOY_EXTRA_MS = 1000;
/**
 * Envoy's client answers a call that failed before its headers by a response of its own, and its interface does not
 * mark it. It is known by these headers and no others (an upstream that is an Envoy sends `date` and `server` too), and
 * by its first words.
 */
const ENVOYS_OWN_HEADERS = ':status content-length content-type';
const ENVOYS_OWN_WORDS =
  /^(upstream connect error or disconnect\/reset before headers|no healthy upstream|upstream request timeout)/;
/** What the web's Response allows no body for. */
const NULL_BODY = new Set([204, 205, 304]);

/** What calls need of their stream. */
export interface CallsPort {
  readonly author: Author;
  readonly life: Life;
  readonly deps: FilledDeps;
  readonly sink: Pick<StreamSink, 'callStart' | 'callData' | 'callTrailers' | 'callCancel' | 'backpressure'>;
  /** Header writes that wait go first. */
  flushWrites(): void;
}

export class Calls {
  private readonly stream: CallsPort;
  private readonly running = new Map<number, Call>();
  private nextId = 1;

  constructor(stream: CallsPort) {
    this.stream = stream;
  }

  /** Throws for a request that cannot be made. */
  start(cluster: string, request: Request | CallRequest): Promise<CallResponse> {
    const { stream } = this;
    const plan = planOf(cluster, request, stream.author.phase);
    plan.signal?.throwIfAborted();
    const id = this.nextId++;
    const call = new Call(stream, id, plan, () => this.running.delete(id));
    this.running.set(id, call);
    stream.flushWrites();
    call.start();
    return call.response;
  }

  event(id: number, part: CallEventPart, end: boolean, bytes: Uint8Array): void {
    this.running.get(id)?.event(part, end, bytes);
  }

  /** The stream ended, and with it every call of it. */
  end(error: () => Error): void {
    for (const call of [...this.running.values()]) call.fail(error());
  }
}

class Call {
  readonly response: Promise<CallResponse>;
  private readonly stream: CallsPort;
  private readonly id: number;
  private readonly plan: CallPlan;
  private readonly phase: Phase | undefined;
  private readonly site = new CallSite(Calls.prototype.start);
  private readonly onOver: () => void;
  private settle: { resolve(response: CallResponse): void; reject(error: unknown): void } | undefined;
  private body: ReadableStreamDefaultController<Uint8Array> | undefined;
  private trailers: { resolve(view: HeaderView | undefined): void; reject(error: unknown): void } | undefined;
  /** The request's body while it streams. */
  private sending: AsyncIterator<Chunk> | Iterator<Chunk> | undefined;
  private over = false;
  /** Headers that may be Envoy's own: the first bytes of the body will tell. */
  private doubtful: HeaderLines | undefined;
  private timer: unknown;
  /** What ended it before its time. */
  private error: unknown;

  constructor(stream: CallsPort, id: number, plan: CallPlan, onOver: () => void) {
    this.stream = stream;
    this.id = id;
    this.plan = plan;
    this.phase = stream.author.phase;
    this.onOver = onOver;
    this.response = new Promise((resolve, reject) => (this.settle = { resolve, reject }));
    plan.signal?.addEventListener('abort', this.onAbort);
  }

  start(): void {
    const { plan, id } = this;
    const { sink } = this.stream;
    const { body, trailers, timeout } = plan;
    const limit = timeout === 0 ? 0 : timeout + ENVOY_EXTRA_MS;
    sink.callStart(id, plan.cluster, limit, plan.lines, body === undefined && trailers === undefined);
    if (timeout > 0) {
      this.timer = this.stream.deps.setTimeout(() => {
        this.cancel(this.coded('TSF_CALL_FAILED', `not complete in ${String(timeout)} ms`));
      }, timeout);
    }
    if (body instanceof Uint8Array && body.length <= PIECE) {
      sink.callData(id, body, trailers === undefined);
      if (trailers !== undefined) sink.callTrailers(id, trailers);
    } else if (body !== undefined) void this.send(body instanceof Uint8Array ? [body] : body);
    else if (trailers !== undefined) sink.callTrailers(id, trailers);
  }

  event(part: CallEventPart, end: boolean, bytes: Uint8Array): void {
    switch (part) {
      case CallEventPart.Headers:
        this.headersCame(bytes, end);
        break;
      case CallEventPart.Data:
        this.dataCame(bytes);
        break;
      case CallEventPart.Trailers:
        if (this.doubtful !== undefined) this.answered(this.doubtful);
        this.trailers?.resolve(new HeaderViewImpl(trailerMap(this.stream.author, bytes)));
        this.trailers = undefined;
        break;
      case CallEventPart.Failed: {
        const word = Buffer.from(bytes).toString('latin1');
        if (word === CallFailure.NoCluster) this.fail(this.coded('TSF_CALL_CLUSTER', 'Envoy has no such cluster'));
        else if (word === CallFailure.Limit) this.fail(this.tooMuch());
        else this.fail(this.coded('TSF_CALL_FAILED', word));
        return;
      }
    }
    if (end) this.ended();
  }

  /** Ends it before its time; what waits for it hears the error. */
  fail(error: unknown): void {
    if (this.over) return;
    this.error = error;
    this.close();
    this.settle?.reject(error);
    this.body?.error(error);
    this.trailers?.reject(error);
  }

  // ---- inside ----

  private readonly onAbort = (): void => {
    this.cancel(this.plan.signal?.reason);
  };

  /** The same from this side: Envoy is told. */
  private cancel(error: unknown): void {
    if (this.over) return;
    this.tellCancelled();
    this.fail(error);
  }

  private tellCancelled(): void {
    const { stream } = this;
    if (!stream.life.over) stream.sink.callCancel(this.id);
  }

  private headersCame(block: Uint8Array, end: boolean): void {
    if (this.settle === undefined) return;
    const lines = HeaderLines.of(countedBlock(block));
    if (!end && [...lines.names].sort().join(' ') === ENVOYS_OWN_HEADERS) this.doubtful = lines;
    else this.answered(lines);
  }

  /** The headers are the upstream's. */
  private answered(lines: HeaderLines): void {
    const { settle } = this;
    this.doubtful = undefined;
    if (settle === undefined) return;
    let status = 0;
    const headers = new Headers();
    for (const [name, value] of lines) {
      if (name === ':status') status = Number(value);
      else if (!name.startsWith(':')) headers.append(name, value);
    }
    if (!(status >= 200 && status <= 599)) {
      this.cancel(
        this.coded('TSF_CALL_FAILED', `the answer has the status ${String(status)}, which no Response can have`),
      );
      return;
    }
    let body: ReadableStream<Uint8Array> | null = null;
    if (!NULL_BODY.has(status) && this.plan.method !== 'HEAD') {
      body = new ReadableStream<Uint8Array>(
        {
          start: (controller) => {
            this.body = controller;
          },
          cancel: (reason) => {
            this.body = undefined;
            this.cancel(reason ?? this.coded('TSF_CALL_FAILED', 'its body was cancelled'));
          },
        },
        new ByteLengthQueuingStrategy({ highWaterMark: MAX_UNREAD_BYTES }),
      );
    }
    const trailers = new Promise<HeaderView | undefined>((resolve, reject) => (this.trailers = { resolve, reject }));
    trailers.catch(() => undefined); // a filter need not look at it
    this.settle = undefined;
    settle.resolve(new FilledResponse(body, { status, headers }, trailers));
  }

  private dataCame(bytes: Uint8Array): void {
    if (this.doubtful !== undefined && bytes.length > 0) {
      const words = Buffer.from(bytes.subarray(0, 1024)).toString('latin1');
      if (ENVOYS_OWN_WORDS.test(words)) {
        this.cancel(this.coded('TSF_CALL_FAILED', words));
        return;
      }
      this.answered(this.doubtful);
    }
    const { body } = this;
    if (body === undefined || bytes.length === 0) return;
    body.enqueue(bytes);
    if ((body.desiredSize ?? 0) < 0) this.cancel(this.tooMuch());
  }

  private ended(): void {
    if (this.doubtful !== undefined) this.answered(this.doubtful);
    if (this.over) return;
    if (this.settle !== undefined) {
      this.fail(this.coded('TSF_CALL_FAILED', 'it ended without an answer'));
      return;
    }
    // The answer is complete, so the rest of the request interests nobody.
    if (this.sending !== undefined) this.tellCancelled();
    this.close();
    this.body?.close();
    this.trailers?.resolve(undefined);
  }

  private close(): void {
    this.over = true;
    this.onOver();
    if (this.timer !== undefined) this.stream.deps.clearTimeout(this.timer);
    this.plan.signal?.removeEventListener('abort', this.onAbort);
    const { sending } = this;
    this.sending = undefined;
    closeIterator(this.stream.author, this.phase, sending, this.late);
  }

  private async send(body: AsyncIterable<Chunk> | Iterable<Chunk>): Promise<void> {
    const { stream, id, plan } = this;
    const { sink } = stream;
    try {
      const sending = Symbol.asyncIterator in body ? body[Symbol.asyncIterator]() : body[Symbol.iterator]();
      this.sending = sending;
      for (;;) {
        const { value, done } = await sending.next();
        if (this.isOver()) return;
        if (done === true) break;
        const bytes = toBytes(value);
        for (let at = 0; at < bytes.length; at += PIECE) {
          sink.callData(id, bytes.subarray(at, at + PIECE), false);
          const room = sink.backpressure();
          if (room === undefined) continue;
          await room;
          if (this.isOver()) return;
        }
      }
      this.sending = undefined;
      if (plan.trailers === undefined) sink.callData(id, NO_BYTES, true);
      else sink.callTrailers(id, plan.trailers);
    } catch (e) {
      if (this.isOver()) this.late(e);
      else this.cancel(e);
    }
  }

  /** Asked after each await. */
  private isOver(): boolean {
    return this.over;
  }

  private readonly late = (error: unknown): void => {
    if (error !== this.error) this.stream.author.lateError(this.phase ?? 'decodeHeaders', error);
  };

  private tooMuch(): FilterError {
    return this.coded('TSF_CALL_LIMIT', 'more than 32 MiB of the answer wait to be read; read the body as it comes');
  }

  private coded(code: KnownErrorCode, why: string): FilterError {
    return this.site.mark(new FilterError(code, `${this.plan.name}: ${why}`, this.phase));
  }
}

const NO_BYTES = new Uint8Array(0);

class FilledResponse extends Response implements CallResponse {
  readonly trailers: Promise<HeaderView | undefined>;

  constructor(body: ReadableStream<Uint8Array> | null, init: ResponseInit, trailers: Promise<HeaderView | undefined>) {
    super(body, init);
    markAsItCame(this);
    this.trailers = trailers;
  }
}

// ---- the answer ----

function trailerMap(author: Author, bytes: Uint8Array): HeaderMapImpl {
  return new HeaderMapImpl(author, HeaderType.ResponseTrailers, countedBlock(bytes), false);
}
