/** One stream of a channel: what the filter's side says goes out through it, what Envoy says comes in by its source. */
import { ReplyPart, type Encoder } from './codec/index.js';
import type { Outbox } from './outbox.js';
import {
  CallEventPart,
  type ActKind,
  type BodyMode,
  type Direction,
  type HeaderType,
  type OpList,
  type QueryKind,
  type StreamSink,
  type StreamSource,
} from './wire.js';

/** Output of one channel that may wait on the heap. Sources that respect backpressure() stay far below it. */
const MAX_QUEUED_BYTES = 64 * 1024 * 1024;

export class ChannelStream implements StreamSink {
  source: StreamSource | undefined = undefined;
  /** After End, Fail or the channel's death: nothing is sent any more. */
  over = false;
  /** Header blocks that go on in the next frame. */
  parts: Buffer[] | undefined = undefined;
  partCount = 0;
  /** The rest of a large reply, and how much of it may still be under way. */
  #reply: Uint8Array | undefined = undefined;
  #replyCredit = 0;
  #ownReply = false;

  constructor(
    private readonly out: Outbox,
    private readonly encoder: Encoder,
    private readonly changed: () => void,
    readonly slot: number,
    readonly generation: number,
    private readonly config: number,
    private readonly window: number,
  ) {}

  answer(type: HeaderType, mode: BodyMode, phases: number, ops: OpList): void {
    if (this.over) return;
    if (!this.encoder.answer(this.slot, this.generation, type, mode, phases, ops)) this.#tooLarge(type);
    this.changed();
  }

  ops(type: HeaderType, ops: OpList): void {
    if (this.over) return;
    if (!this.encoder.ops(this.slot, this.generation, type, ops)) this.#tooLarge(type);
    this.changed();
  }

  output(direction: Direction, flags: number, acknowledged: number, bytes: Uint8Array | undefined): void {
    if (this.over || this.#overLimit(bytes)) return;
    this.encoder.output(this.slot, this.generation, direction, flags, acknowledged, bytes);
    this.changed();
  }

  localReply(status: number, grpcStatus: number, details: string, headers: string[], body: Uint8Array): void {
    if (this.over || this.#overLimit(body)) return;
    const { encoder, slot, generation } = this;
    if (!encoder.localReply(slot, generation, status, grpcStatus, details, headers, body)) {
      const all = [':status', String(status), ...headers];
      if (grpcStatus >= 0) all.push('grpc-status', String(grpcStatus));
      const empty = body.length === 0;
      if (!encoder.replyHeaders(slot, generation, ReplyPart.Headers, all, empty)) this.#tooLarge(2);
      else if (!empty) {
        // The module bounds what it has not passed on yet; the rest goes as Credit comes.
        this.#ownReply = true;
        this.#replyCredit = this.window;
        this.#reply = body.slice();
        this.#continueReply();
      }
    }
    this.changed();
  }

  replyHeaders(headers: string[], end: boolean): void {
    if (this.over) return;
    if (!this.encoder.replyHeaders(this.slot, this.generation, ReplyPart.Headers, headers, end)) this.#tooLarge(2);
    this.changed();
  }

  replyData(bytes: Uint8Array, end: boolean): void {
    if (this.over || this.#overLimit(bytes)) return;
    this.encoder.replyData(this.slot, this.generation, bytes, end);
    this.changed();
  }

  replyTrailers(headers: string[]): void {
    if (this.over) return;
    if (!this.encoder.replyHeaders(this.slot, this.generation, ReplyPart.Trailers, headers, true)) this.#tooLarge(3);
    this.changed();
  }

  fail(type: HeaderType, text: string): void {
    if (this.over) return;
    this.encoder.fail(this.slot, this.generation, type, text);
    this.changed();
  }

  query(id: number, kind: QueryKind, key: number, block: Uint8Array): void {
    if (this.over) return;
    if (!this.encoder.query(this.slot, this.generation, id, kind, key, block)) this.#valueTooLarge();
    this.changed();
  }

  act(kind: ActKind, detail: number, id: number, number: number, block: Uint8Array): void {
    if (this.over) return;
    if (!this.encoder.act(this.slot, this.generation, this.config, kind, detail, id, number, block))
      this.#valueTooLarge();
    this.changed();
  }

  callStart(call: number, cluster: string, timeout: number, headers: readonly string[], end: boolean): void {
    if (this.over) return;
    const { encoder, slot, generation } = this;
    if (!encoder.callStart(slot, generation, call, cluster, timeout, headers, end)) this.#callTooLarge(call);
    this.changed();
  }

  callData(call: number, bytes: Uint8Array, end: boolean): void {
    if (this.over || this.#overLimit(bytes)) return;
    this.encoder.callData(this.slot, this.generation, call, bytes, end);
    this.changed();
  }

  callTrailers(call: number, headers: readonly string[]): void {
    if (this.over) return;
    const { encoder, slot, generation } = this;
    if (!encoder.callTrailers(slot, generation, call, headers)) {
      encoder.callCancel(slot, generation, call);
      this.#callTooLarge(call);
    }
    this.changed();
  }

  callCancel(call: number): void {
    if (this.over) return;
    this.encoder.callCancel(this.slot, this.generation, call);
    this.changed();
  }

  log(level: number, text: string): void {
    if (this.over) return;
    this.encoder.log(this.slot, this.generation, level, text);
    this.changed();
  }

  extend(milliseconds: number): void {
    if (this.over) return;
    this.encoder.extend(this.slot, this.generation, milliseconds);
    this.changed();
  }

  backpressure(): Promise<void> | undefined {
    return this.over ? undefined : this.out.backpressure();
  }

  /** True when the credit belongs to a reply that is sent from here. */
  credit(bytes: number): boolean {
    if (!this.#ownReply) return false;
    this.#replyCredit += bytes;
    if (!this.over) {
      this.#continueReply();
      this.changed();
    }
    return true;
  }

  #continueReply(): void {
    const body = this.#reply;
    if (body === undefined || this.#replyCredit <= 0) return;
    const part = Math.min(body.length, this.#replyCredit);
    const end = part === body.length;
    this.encoder.replyData(this.slot, this.generation, end ? body : body.subarray(0, part), end);
    this.#replyCredit -= part;
    this.#reply = end ? undefined : body.subarray(part);
  }

  #tooLarge(type: HeaderType): void {
    this.fail(type, 'TSF_HEADERS_TOO_LARGE: one header is larger than a quarter of the ring; raise ring_bytes');
    this.over = true;
  }

  #valueTooLarge(): void {
    this.fail(
      0,
      'TSF_VALUE_TOO_LARGE: a name or a value for Envoy is larger than a quarter of the ring; raise ring_bytes',
    );
    this.over = true;
  }

  /** Only the call fails, and later, as Envoy's own answer would come. */
  #callTooLarge(call: number): void {
    const word = Buffer.from('its headers are larger than a quarter of the ring; raise ring_bytes', 'latin1');
    queueMicrotask(() => {
      if (!this.over) this.source?.onCallEvent(call, CallEventPart.Failed, true, word);
    });
  }

  #overLimit(bytes: Uint8Array | undefined): boolean {
    if (bytes === undefined || this.out.queuedBytes + bytes.length <= MAX_QUEUED_BYTES || this.out.queuedBytes === 0) {
      return false;
    }
    this.fail(0, 'TSF_OUTPUT_LIMIT: more than 64 MiB of output wait for Envoy on this channel');
    this.over = true;
    return true;
  }
}
