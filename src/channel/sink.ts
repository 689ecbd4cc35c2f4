/** One stream of a channel: what the filter's side says goes out through it, what Envoy says comes in by its source. */
import { ReplyPart, type Encoder } from './codec/index.js';
import type { Outbox } from './outbox.js';
import { OutputWindow, type SendOutput } from './output-window.js';
import {
  CallEventPart,
  CreditOf,
  directionOf,
  OutputFlag,
  type ActKind,
  type BodyMode,
  type Direction,
  type HeaderType,
  type OpList,
  type QueryKind,
  type StreamSink,
  type StreamSource,
} from '../base/wire.js';

/** What may wait on the heap: of a channel for its ring, of a body for its credit. Sources that respect backpressure()
 *  stay far below it. */
const MAX_QUEUED_BYTES = 64 * 1024 * 1024;

/**
 * Output of a direction that may be on its way without a credit. The module gives credit by half windows, so with a half
 * more a body that comes out as long as it went in never waits for one.
 */
const outputWindow = (window: number): number => window + (window >> 1);

export class ChannelStream implements StreamSink {
  source: StreamSource | undefined = undefined;
  /** After End, Fail or the channel's death: nothing is sent any more. */
  over = false;
  /** Header blocks that go on in the next frame. */
  parts: Buffer[] | undefined = undefined;
  partCount = 0;
  /** By CreditOf; made for the streams that have any. */
  readonly #windows: [OutputWindow?, OutputWindow?, OutputWindow?] = [];

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
    this.#behind(directionOf(type), () => {
      if (!this.encoder.answer(this.slot, this.generation, type, mode, phases, ops)) this.#tooLarge(type);
      this.changed();
    });
  }

  ops(type: HeaderType, ops: OpList): void {
    if (this.over) return;
    this.#behind(directionOf(type), () => {
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
    this.#put(direction, flags, acknowledged, bytes, owned);
  }

  localReply(status: number, grpcStatus: number, details: string, headers: string[], body: Uint8Array): void {
    if (this.over || this.#overLimit(body)) return;
    this.#dropWaiting();
    const { encoder, slot, generation } = this;
    if (!encoder.localReply(slot, generation, status, grpcStatus, details, headers, body)) {
      const all = [':status', String(status), ...headers];
      if (grpcStatus >= 0) all.push('grpc-status', String(grpcStatus));
      const empty = body.length === 0;
      if (!empty) setLength(all, body.length);
      if (!encoder.replyHeaders(slot, generation, ReplyPart.Headers, all, empty)) this.#tooLarge(2);
      else if (!empty) this.#put(CreditOf.Reply, OutputFlag.Last, 0, body, false);
    }
    this.changed();
  }

  replyHeaders(headers: string[], end: boolean): void {
    if (this.over) return;
    this.#dropWaiting();
    if (!this.encoder.replyHeaders(this.slot, this.generation, ReplyPart.Headers, headers, end)) this.#tooLarge(2);
    this.changed();
  }

  replyData(bytes: Uint8Array, end: boolean): void {
    if (this.over || this.#overLimit(bytes)) return;
    this.#put(CreditOf.Reply, end ? OutputFlag.Last : 0, 0, bytes, false);
  }

  replyTrailers(headers: string[]): void {
    if (this.over) return;
    this.#behind(CreditOf.Reply, () => {
      if (!this.encoder.replyHeaders(this.slot, this.generation, ReplyPart.Trailers, headers, true)) this.#tooLarge(3);
      this.changed();
    });
  }

  fail(type: HeaderType, text: string): void {
    if (this.over) return;
    this.#dropWaiting();
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

  backpressure(of?: CreditOf): Promise<void> | undefined {
    if (this.over) return undefined;
    return (of === undefined ? undefined : this.#windows[of]?.backpressure()) ?? this.out.backpressure();
  }

  /** The module has taken that much. */
  credit(of: CreditOf, bytes: number): void {
    this.#windows[of]?.credit(bytes);
  }

  /** Nothing is sent any more, and nobody waits to send. */
  close(): void {
    this.over = true;
    this.#dropWaiting();
  }

  #put(of: CreditOf, flags: number, acknowledged: number, bytes: Uint8Array | undefined, owned: boolean): void {
    const window = (this.#windows[of] ??=
      of === CreditOf.Reply
        ? new OutputWindow(this.window, this.#reply())
        : new OutputWindow(outputWindow(this.window), this.#output(of)));
    const waiting = window.waitingBytes;
    if (waiting > 0 && waiting + (bytes?.length ?? 0) > MAX_QUEUED_BYTES) this.#overflow();
    else window.output(flags, acknowledged, bytes, owned);
  }

  #output(direction: Direction): SendOutput {
    return (flags, acknowledged, bytes) => {
      this.encoder.output(this.slot, this.generation, direction, flags, acknowledged, bytes);
      this.changed();
    };
  }

  #reply(): SendOutput {
    return (flags, _acknowledged, bytes) => {
      this.encoder.replyData(this.slot, this.generation, bytes ?? NOTHING, (flags & OutputFlag.Last) !== 0);
      this.changed();
    };
  }

  /** Behind what waits for credit there. */
  #behind(of: CreditOf, send: () => void): void {
    const window = this.#windows[of];
    if (window === undefined) send();
    else window.behind(send);
  }

  /** A reply or a failure takes the place of what waits. */
  #dropWaiting(): void {
    for (const window of this.#windows) window?.close();
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

const NOTHING = new Uint8Array(0);

/** As Envoy does it for a whole reply. */
function setLength(lines: string[], length: number): void {
  for (let i = lines.length - 2; i >= 0; i -= 2) if (lines[i] === 'content-length') lines.splice(i, 2);
  lines.push('content-length', String(length));
}
