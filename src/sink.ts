/** One stream of a channel: what the filter's side says goes out through it, what Envoy says comes in by its source. */
import { ReplyPart, type Encoder } from './codec/index.js';
import type { Outbox } from './outbox.js';
import { OutputWindow } from './output-window.js';
import {
  CallEventPart,
  CreditOf,
  Direction,
  HeaderType,
  type ActKind,
  type BodyMode,
  type OpList,
  type QueryKind,
  type StreamSink,
  type StreamSource,
} from './wire.js';

/** What may wait on the heap: of a channel for its ring, of a body for its credit. Sources that respect backpressure()
 *  stay far below it. */
const MAX_QUEUED_BYTES = 64 * 1024 * 1024;

export class ChannelStream implements StreamSink {
  source: StreamSource | undefined = undefined;
  /** After End, Fail or the channel's death: nothing is sent any more. */
  over = false;
  /** Header blocks that go on in the next frame. */
  parts: Buffer[] | undefined = undefined;
  partCount = 0;
  /** Output, by direction; made for the streams that have any. */
  #request: OutputWindow | undefined = undefined;
  #response: OutputWindow | undefined = undefined;
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
    this.#behind(type, () => {
      if (!this.encoder.answer(this.slot, this.generation, type, mode, phases, ops)) this.#tooLarge(type);
      this.changed();
    });
  }

  ops(type: HeaderType, ops: OpList): void {
    if (this.over) return;
    this.#behind(type, () => {
      if (!this.encoder.ops(this.slot, this.generation, type, ops)) this.#tooLarge(type);
      this.changed();
    });
  }

  output(
    direction: Direction,
    flags: number,
    acknowledged: number,
    bytes: Uint8Array | undefined,
    owned: boolean,
  ): void {
    if (this.over || this.#overLimit(bytes)) return;
    const window = this.#windowOf(direction);
    if (bytes !== undefined && window.waitingBytes + bytes.length > MAX_QUEUED_BYTES && window.waitingBytes > 0)
      this.#overflow();
    else window.output(flags, acknowledged, bytes, owned);
  }

  localReply(status: number, grpcStatus: number, details: string, headers: string[], body: Uint8Array): void {
    if (this.over || this.#overLimit(body)) return;
    this.#dropOutput();
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
    this.#dropOutput();
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
    this.#dropOutput();
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

  backpressure(direction?: Direction): Promise<void> | undefined {
    if (this.over) return undefined;
    const window = direction === Direction.Request ? this.#request : this.#response;
    return (direction === undefined ? undefined : window?.backpressure()) ?? this.out.backpressure();
  }

  /** False when the credit is for a reply that its source sends. */
  credit(of: CreditOf, bytes: number): boolean {
    if (of !== CreditOf.Reply) (of === CreditOf.Request ? this.#request : this.#response)?.credit(bytes);
    else {
      if (!this.#ownReply) return false;
      this.#replyCredit += bytes;
      if (!this.over) {
        this.#continueReply();
        this.changed();
      }
    }
    return true;
  }

  /** Nothing is sent any more, and nobody waits to send. */
  close(): void {
    this.over = true;
    this.#dropOutput();
  }

  #windowOf(direction: Direction): OutputWindow {
    if (direction === Direction.Request) return (this.#request ??= this.#newWindow(direction));
    return (this.#response ??= this.#newWindow(direction));
  }

  #newWindow(direction: Direction): OutputWindow {
    return new OutputWindow(this.window, (flags, acknowledged, bytes) => {
      this.encoder.output(this.slot, this.generation, direction, flags, acknowledged, bytes);
      this.changed();
    });
  }

  /** Behind the output of the same direction that waits for credit. */
  #behind(type: HeaderType, send: () => void): void {
    const window = type === HeaderType.Request || type === HeaderType.RequestTrailers ? this.#request : this.#response;
    if (window === undefined) send();
    else window.behind(send);
  }

  /** A reply or a failure takes its place. */
  #dropOutput(): void {
    this.#request?.close();
    this.#response?.close();
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
    this.close();
  }

  #valueTooLarge(): void {
    this.fail(
      0,
      'TSF_VALUE_TOO_LARGE: a name or a value for Envoy is larger than a quarter of the ring; raise ring_bytes',
    );
    this.close();
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
    this.#overflow();
    return true;
  }

  #overflow(): void {
    this.fail(0, 'TSF_OUTPUT_LIMIT: more than 64 MiB of output wait for Envoy');
    this.close();
  }
}
