/**
 * Replies that the filter makes. A whole reply that comes before any response passes the filter's own encode hooks, as
 * in Go: Envoy skips them for a reply that a module makes, so it is done here, by a response flow that speaks to
 * OwnReply instead of to Envoy. A streamed reply goes straight to Envoy, bounded by what it has taken.
 */
import { FilterError } from '../api/errors.js';
import type { LocalReply } from '../api/types-callbacks.js';
import type { Chunk, HeaderInit } from '../api/types-data.js';
import {
  ActKind,
  BodyMode,
  Direction,
  HeaderType,
  OutputFlag,
  type StreamSink,
  type StreamStart,
} from '../base/wire.js';
import { ownBytes } from '../body/buffer.js';
import type { FlowPort } from '../body/output.js';
import type { FlowStream } from '../body/ports.js';
import { isBodiless } from '../headers/framing.js';
import { replyLines } from '../headers/reply-headers.js';
import { Flow } from './flow.js';
import type { Instance } from './instance.js';
import type { Life } from './life.js';
import { detailsOf, grpcStatusOf, lengthOf, replyStatus, sizeOf } from './reply-arguments.js';
import { type ReplyBody, StreamedReply } from './streamed-reply.js';
import { sendWhole, ShownReply, type WholeReply, withGrpcStatus } from './whole-reply.js';

const NOTHING: readonly Chunk[] = [];
const EMPTY = new Uint8Array(0);

/** What replies need of their stream. */
export interface ReplyStream extends FlowStream {
  readonly instance: Instance;
  readonly life: Life;
  readonly sink: StreamSink;
  readonly start: StreamStart;
  readonly request: Flow | undefined;
  /** A whole reply is shown to the filter's own hooks as a response. */
  response: Flow | undefined;
  /** Runs once no code of the author's is on the stack. */
  later(task: () => void): void;
  /** Header writes that wait go first. */
  flushWrites(): void;
}

export class Replies {
  replied = false;
  private readonly stream: ReplyStream;
  private own: OwnReply | undefined;
  private streamed: StreamedReply | undefined;

  constructor(stream: ReplyStream) {
    this.stream = stream;
  }

  get busy(): boolean {
    return this.streamed?.busy === true;
  }

  local(status: number, reply: LocalReply = {}): void {
    const { stream } = this;
    const { own } = this;
    this.assertPossible('sendLocalReply()');
    const given: WholeReply = {
      status: replyStatus(status),
      headers: replyLines(stream.author.rules, reply.headers, reply.body, false),
      // Of an answer to HEAD it gives the length.
      body: reply.body === undefined || isBodiless(status, false) ? EMPTY : ownBytes(reply.body),
      grpcStatus: grpcStatusOf(reply.grpcStatus),
      details: detailsOf(reply.details),
    };
    const whole = stream.start.grpc || given.grpcStatus >= 0 ? withGrpcStatus(given) : given;
    const failType = this.openType();
    this.taken();
    own?.flow.kill();
    const { filter } = stream.author;
    const hooks =
      filter.encodeHeaders !== undefined || filter.encodeData !== undefined || filter.transformResponse !== undefined;
    if (stream.response !== undefined || !hooks) {
      sendWhole(stream.sink, whole);
      return;
    }
    const made = (this.own = new OwnReply(stream, whole, failType));
    // Not inside the hook that replies: what it does after this call belongs to its own phase.
    stream.later(() => {
      made.start();
    });
  }

  /** A whole body over max_body_bytes: Envoy's own words for it. A response's own hooks do not see that it is replaced. */
  tooLarge(direction: Direction): void {
    const { stream } = this;
    const details = 'ts_filter_body_too_large';
    const grpcStatus = stream.start.grpc ? 8 : -1;
    if (direction === Direction.Request) {
      const reply = { body: 'Payload Too Large', details };
      this.local(413, grpcStatus < 0 ? reply : { ...reply, grpcStatus });
      return;
    }
    this.taken();
    const body = Buffer.from('Internal Server Error', 'latin1');
    sendWhole(stream.sink, { status: 500, headers: [], body, grpcStatus, details });
  }

  streaming(status: number, headers: HeaderInit, given: ReplyBody | null): void {
    const { stream } = this;
    this.assertPossible('reply()');
    stream.life.assertDownstream('reply()');
    const bodiless = isBodiless(replyStatus(status), stream.head);
    const lines = [':status', String(status), ...replyLines(stream.author.rules, headers, given, bodiless)];
    const body = given === null ? NOTHING : given;
    if (typeof body === 'string' || body instanceof Uint8Array || !isIterable(body)) {
      throw new FilterError(
        'TSF_REPLY_INVALID',
        'reply(): the body is no iterable of chunks; sendLocalReply() takes a whole body',
        stream.author.phase,
      );
    }
    const known = Array.isArray(body) ? sizeOf(body as unknown[]) : undefined;
    const length = bodiless ? undefined : lengthOf(lines, known);
    const failType = this.openType();
    const phase = stream.author.phase ?? 'decodeHeaders';
    this.taken();
    this.own?.flow.kill();
    const streamed = (this.streamed = new StreamedReply(stream, body, length, failType, phase));
    const empty = bodiless || known === 0;
    stream.sink.replyHeaders(lines, empty);
    stream.later(() => {
      if (empty) streamed.abandon();
      else streamed.start();
    });
  }

  /** This stream ends here, and Envoy begins anew with its request headers. */
  recreate(): void {
    const { stream } = this;
    this.assertPossible('recreateStream()');
    stream.life.assertDownstream('recreateStream()');
    stream.flushWrites();
    this.own?.flow.kill();
    this.taken();
    stream.sink.act(ActKind.Recreate, 0, 0, 0, EMPTY);
  }

  end(): void {
    this.streamed?.end();
  }

  /** Which map a failure would be about now. */
  private openType(): HeaderType {
    return this.stream.response === undefined ? HeaderType.Request : this.stream.response.failType;
  }

  private assertPossible(call: string): void {
    const { stream } = this;
    stream.life.assertAlive(call);
    if (!stream.instance.exists || (stream.request === undefined && stream.response === undefined))
      throw new FilterError('TSF_WRONG_PHASE', `${call}: before the first headers hook; reply from there or later`);
    // The reply's own encode hooks may replace it, once; nobody else may.
    const replacing =
      this.own !== undefined &&
      !this.own.sent &&
      !this.own.flow.dead &&
      stream.author.phase?.startsWith('decode') !== true;
    if (this.replied && !replacing)
      throw new FilterError('TSF_ALREADY_REPLIED', `${call}: this stream was replied to already`, stream.author.phase);
    if (this.own === undefined && stream.response !== undefined && stream.response.headers?.held !== true) {
      throw new FilterError('TSF_REPLY_LATE', `${call}: the response headers have gone`, stream.author.phase);
    }
  }

  /** The stream's ordinary answers end here. */
  private taken(): void {
    const { stream } = this;
    this.replied = true;
    stream.request?.kill();
    if (this.own === undefined) stream.response?.kill();
  }
}

/** A whole reply on its way through the filter's own encode hooks. */
class OwnReply implements FlowPort {
  readonly flow: Flow;
  sent = false;
  private readonly stream: ReplyStream;
  private readonly shown: ShownReply;

  constructor(stream: ReplyStream, reply: WholeReply, failType: HeaderType) {
    this.stream = stream;
    this.shown = new ShownReply(reply, { grpc: stream.start.grpc, head: stream.head });
    this.flow = new Flow(stream, this, Direction.Response, failType);
    stream.response = this.flow;
    this.flow.receive(this.shown.headers);
  }

  start(): void {
    const { flow, stream } = this;
    if (stream.life.over || flow.dead) return;
    const { body } = this.shown;
    flow.onAnswered = (mode) => {
      if (flow.dead) return;
      if (mode === BodyMode.Pass) {
        if (body !== undefined) this.shown.add(body, true);
        this.send();
      } else flow.data(body ?? EMPTY, 'nothing');
    };
    flow.begin(body === undefined);
  }

  answer(): void {}
  ops(): void {}

  output(
    _direction: Direction,
    flags: number,
    _acknowledged: number,
    bytes: Uint8Array | undefined,
    owned: boolean,
  ): void {
    if (bytes !== undefined) this.shown.add(bytes, owned);
    if ((flags & OutputFlag.Last) !== 0) this.send();
  }

  backpressure(): undefined {
    return undefined;
  }

  private send(): void {
    if (this.sent || this.stream.life.over) return;
    this.sent = true;
    sendWhole(this.stream.sink, this.shown.made(this.flow.headers!));
  }
}

function isIterable(value: unknown): boolean {
  return typeof value === 'object' && value !== null && (Symbol.asyncIterator in value || Symbol.iterator in value);
}
