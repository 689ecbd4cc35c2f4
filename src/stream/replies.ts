/**
 * Replies that the filter makes. A whole reply that comes before any response passes the filter's own encode hooks, as
 * in Go: Envoy skips them for a reply that a module makes, so it is done here, by a response flow that speaks to
 * OwnReply instead of to Envoy. A streamed reply goes straight to Envoy, bounded by what it has taken.
 */
import { ownBytes, toBytes } from '../body/buffer.js';
import { FilterError } from '../api/errors.js';
import { isLine } from '../headers/header-rules.js';
import type { Phase } from '../api/types.js';
import type { LocalReply } from '../api/types-callbacks.js';
import type { Chunk, HeaderInit } from '../api/types-data.js';
import { ActKind, BodyMode, CreditOf, Direction, HeaderType, OutputFlag } from '../base/wire.js';
import { Flow } from './flow.js';
import { isBodiless, LENGTH, wrongLength } from '../headers/framing.js';
import { closeIterator } from '../body/iteration.js';
import type { FlowPort } from '../body/output.js';
import { replyLines } from '../headers/reply-headers.js';
import type { HttpStream } from './stream.js';
import { sendWhole, ShownReply, type WholeReply, withGrpcStatus } from './whole-reply.js';

type Body = AsyncIterable<Chunk> | Iterable<Chunk>;
const NOTHING: readonly Chunk[] = [];
const EMPTY = new Uint8Array(0);
const PIECE = 64 * 1024;

export class Replies {
  replied = false;
  private readonly stream: HttpStream;
  private own: OwnReply | undefined;
  private streamed: StreamedReply | undefined;

  constructor(stream: HttpStream) {
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
      headers: replyLines(stream.rules, reply.headers, reply.body, false),
      // Of an answer to HEAD it gives the length.
      body: reply.body === undefined || isBodiless(status, false) ? EMPTY : ownBytes(reply.body),
      grpcStatus: grpcStatusOf(reply.grpcStatus),
      details: detailsOf(reply.details),
    };
    const whole = stream.start.grpc || given.grpcStatus >= 0 ? withGrpcStatus(given) : given;
    const failType = this.openType();
    this.taken();
    own?.flow.kill();
    const { filter } = stream;
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

  streaming(status: number, headers: HeaderInit, given: Body | null): void {
    const { stream } = this;
    this.assertPossible('reply()');
    stream.assertDownstream('reply()');
    const bodiless = isBodiless(replyStatus(status), stream.head);
    const lines = [':status', String(status), ...replyLines(stream.rules, headers, given, bodiless)];
    const body = given === null ? NOTHING : given;
    if (typeof body === 'string' || body instanceof Uint8Array || !isIterable(body)) {
      throw new FilterError(
        'TSF_REPLY_INVALID',
        'reply(): the body is no iterable of chunks; sendLocalReply() takes a whole body',
        stream.phase,
      );
    }
    const known = Array.isArray(body) ? sizeOf(body as unknown[]) : undefined;
    const length = bodiless ? undefined : lengthOf(lines, known);
    const failType = this.openType();
    const phase = stream.phase ?? 'decodeHeaders';
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
    stream.assertDownstream('recreateStream()');
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
    stream.assertAlive(call);
    if (stream.filter === undefined || (stream.request === undefined && stream.response === undefined))
      throw new FilterError('TSF_WRONG_PHASE', `${call}: before the first headers hook; reply from there or later`);
    // The reply's own encode hooks may replace it, once; nobody else may.
    const replacing =
      this.own !== undefined && !this.own.sent && !this.own.flow.dead && stream.phase?.startsWith('decode') !== true;
    if (this.replied && !replacing)
      throw new FilterError('TSF_ALREADY_REPLIED', `${call}: this stream was replied to already`, stream.phase);
    if (this.own === undefined && stream.response !== undefined && stream.response.headers?.held !== true) {
      throw new FilterError('TSF_REPLY_LATE', `${call}: the response headers have gone`, stream.phase);
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
  private readonly stream: HttpStream;
  private readonly shown: ShownReply;

  constructor(stream: HttpStream, reply: WholeReply, failType: HeaderType) {
    this.stream = stream;
    this.shown = new ShownReply(reply, { grpc: stream.start.grpc, head: stream.head });
    this.flow = new Flow(stream, this, Direction.Response, failType);
    stream.response = this.flow;
    this.flow.receive(this.shown.headers, true, false);
  }

  start(): void {
    const { flow, stream } = this;
    if (stream.over || flow.dead) return;
    const { body } = this.shown;
    flow.onAnswered = (mode) => {
      if (flow.dead) return;
      if (mode === BodyMode.Pass) {
        if (body !== undefined) this.shown.add(body, true);
        this.send();
      } else flow.data(body ?? EMPTY, true, false);
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
    if (this.sent || this.stream.over) return;
    this.sent = true;
    sendWhole(this.stream.sink, this.shown.made(this.flow.headers!));
  }
}

/** A reply whose body comes piece by piece. */
class StreamedReply {
  private readonly stream: HttpStream;
  private readonly body: Body;
  /** Its content-length, where it has one. */
  private readonly length: number | undefined;
  private readonly failType: HeaderType;
  private readonly phase: Phase;
  private iterator: AsyncIterator<Chunk> | Iterator<Chunk> | undefined;
  private made = 0;
  busy = false;

  constructor(stream: HttpStream, body: Body, length: number | undefined, failType: HeaderType, phase: Phase) {
    this.stream = stream;
    this.body = body;
    this.length = length;
    this.failType = failType;
    this.phase = phase;
  }

  start(): void {
    this.busy = true;
    void this.stream.run(this.phase, this.pump as never, this);
  }

  /** Nobody is to see the body: whoever makes it is told, and does not begin. */
  abandon(): void {
    try {
      this.iterator = iteratorOf(this.body);
      this.end();
    } catch (e) {
      this.late(e);
    }
  }

  end(): void {
    const { iterator } = this;
    this.iterator = undefined;
    closeIterator(this.stream, this.phase, iterator, this.late);
  }

  private async pump(): Promise<void> {
    const { stream, body } = this;
    try {
      const iterator = (this.iterator = iteratorOf(body));
      while (!stream.over) {
        const { value, done } = await iterator.next();
        if (done === true) {
          this.iterator = undefined;
          break;
        }
        if (!stream.over) await this.put(toBytes(value));
      }
      if (stream.over) return;
      this.check(this.length !== undefined && this.made < this.length);
      stream.sink.replyData(EMPTY, true);
    } catch (e) {
      stream.fail(this.failType, this.phase, e);
    } finally {
      this.end();
      this.busy = false;
      stream.settledLate();
    }
  }

  private readonly late = (e: unknown): void => {
    this.stream.lateError(this.phase, e);
  };

  private check(wrong: boolean): void {
    if (!wrong) return;
    const why = wrongLength(this.length!, this.made, "; leave content-length out, or give the body's");
    throw new FilterError('TSF_LENGTH_WRONG', `reply(): ${why}`, this.phase);
  }

  private async put(bytes: Uint8Array): Promise<void> {
    const { sink } = this.stream;
    this.made += bytes.length;
    this.check(this.length !== undefined && this.made > this.length);
    for (let at = 0; at < bytes.length && !this.stream.over; at += PIECE) {
      sink.replyData(bytes.subarray(at, at + PIECE), false);
      const room = sink.backpressure(CreditOf.Reply);
      if (room !== undefined) await room;
    }
  }
}

function isIterable(value: unknown): boolean {
  return typeof value === 'object' && value !== null && (Symbol.asyncIterator in value || Symbol.iterator in value);
}

function replyStatus(status: number): number {
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw new FilterError('TSF_REPLY_INVALID', `${String(status)} is not a status that a reply can have (200 to 599)`);
  }
  return status;
}

function detailsOf(details: string | undefined): string {
  if (details === undefined) return '';
  if (typeof details !== 'string' || !isLine(details)) {
    throw new FilterError('TSF_REPLY_INVALID', 'details are one line of latin1 text');
  }
  return details;
}

function grpcStatusOf(status: number | undefined): number {
  if (status === undefined) return -1;
  if (!Number.isInteger(status) || status < 0 || status > 16) {
    throw new FilterError('TSF_REPLY_INVALID', `${String(status)} is not a gRPC status (0 to 16)`);
  }
  return status;
}

/** What the headers say, else what is known of the body, which they then say. */
function lengthOf(lines: string[], known: number | undefined): number | undefined {
  const at = lines.findIndex((name, i) => i % 2 === 0 && name === LENGTH);
  if (at < 0) {
    if (known !== undefined) lines.push(LENGTH, String(known));
    return known;
  }
  const said = Number(lines[at + 1]);
  if (known !== undefined && known !== said)
    throw new FilterError('TSF_LENGTH_WRONG', `reply(): ${wrongLength(said, known, '; leave it out')}`);
  return said;
}

/** undefined: something in it is no chunk, which shows when it is sent. */
function sizeOf(chunks: readonly unknown[]): number | undefined {
  let size = 0;
  for (const chunk of chunks) {
    if (typeof chunk === 'string') size += Buffer.byteLength(chunk);
    else if (chunk instanceof Uint8Array) size += chunk.length;
    else return undefined;
  }
  return size;
}

const iteratorOf = (body: Body): AsyncIterator<Chunk> | Iterator<Chunk> =>
  Symbol.asyncIterator in body ? body[Symbol.asyncIterator]() : body[Symbol.iterator]();
