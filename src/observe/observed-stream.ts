/**
 * A stream with `observe_only`, for the filter a stream as any other: Envoy has let everything go by, so the module's half
 * of it is played here. What the filter makes of its messages goes nowhere; what is its own, metrics, calls, questions and
 * log lines, goes through. Envoy's stream ends without waiting for it: the filter goes on with what it has been told until
 * it is through with it.
 */
import {
  ActKind,
  type BodyMode,
  CallEventPart,
  CreditOf,
  Direction,
  directionOf,
  EndReason,
  type Follows,
  type HeaderBlock,
  HeadersTrait,
  type HeaderType,
  isTrailers,
  LogKind,
  type OpList,
  OutputFlag,
  type QueryKind,
  type StreamSink,
  type StreamSource,
} from '../base/wire.js';
import { ObservedMessage } from './message.js';
import type { Outliving, Survivors } from './survivors.js';

const NO_OPS: OpList = [];
const NO_BYTES = new Uint8Array(0);
/** Of Envoy's levels. */
const ERROR = 4;
const OVER = Buffer.from('the stream is over', 'latin1');

/**
 * - attached: Envoy has the stream
 * - detached: it has ended there as it should, and the filter is not through
 * - over: the filter has heard of the end
 */
type Bond = 'attached' | 'detached' | 'over';

export class ObservedStream implements StreamSource, StreamSink, Outliving {
  /** To the module. */
  private readonly sink: StreamSink;
  private readonly survivors: Survivors;
  private readonly source: StreamSource;
  private readonly request: ObservedMessage;
  private readonly response: ObservedMessage;
  private bond: Bond = 'attached';
  /** Its end is on its way, by a reply or a failure of the filter's, or because it is through. */
  private ending = false;
  private logMaps: [HeaderType, HeaderBlock][] = [];
  /** The last log event, which comes behind all that the filter does. */
  private lastLog: (() => void) | undefined;
  private readonly queries = new Set<number>();
  private readonly calls = new Set<number>();
  private replyGone: { readonly promise: Promise<void>; readonly settle: () => void } | undefined;

  /** `open` makes the filter's stream; what that says comes here. */
  constructor(sink: StreamSink, window: number, survivors: Survivors, open: (own: StreamSink) => StreamSource) {
    this.sink = sink;
    this.survivors = survivors;
    this.request = new ObservedMessage(Direction.Request, window);
    this.response = new ObservedMessage(Direction.Response, window);
    this.source = open(this);
  }

  // ---- StreamSource: as it passes ----

  onHeaders(type: HeaderType, block: HeaderBlock, traits: number): void {
    if (this.ending) return;
    const direction = directionOf(type);
    const message = this.message(direction);
    if ((traits & HeadersTrait.Context) !== 0) this.source.onHeaders(type, block, traits);
    else if (isTrailers(type)) message.trailersCame(this.source, block);
    else {
      this.acknowledge(direction, message.headers(block, traits), 0);
      if (direction === Direction.Request) message.open(this.source);
      else this.openResponse();
    }
  }

  onData(direction: Direction, bytes: Uint8Array, follows: Follows): void {
    if (!this.ending) this.message(direction).data(this.source, bytes, follows);
  }

  /** The module bounds a whole body by ending the view. */
  onBodyTooLarge(): void {}

  onLogHeaders(type: HeaderType, block: HeaderBlock): void {
    this.logMaps.push([type, block]);
  }

  onLogRun(kind: LogKind, attributes: Uint8Array): void {
    const maps = this.logMaps;
    this.logMaps = [];
    const run = (): void => {
      for (const [type, block] of maps) this.source.onLogHeaders(type, block);
      this.source.onLogRun(kind, attributes);
    };
    if (kind === LogKind.End) this.lastLog = run;
    else run();
  }

  onCallEvent(call: number, part: CallEventPart, end: boolean, bytes: Uint8Array): void {
    if (end) this.calls.delete(call);
    this.source.onCallEvent(call, part, end, bytes);
  }

  onQueryAnswer(id: number, found: boolean, bytes: Uint8Array): void {
    this.queries.delete(id);
    this.source.onQueryAnswer(id, found, bytes);
  }

  onEnd(reason: EndReason): void {
    if (this.bond !== 'attached') return;
    if (reason !== EndReason.Complete || this.ending) {
      this.end(reason);
      return;
    }
    this.bond = 'detached';
    for (const id of this.queries) this.source.onQueryAnswer(id, false, NO_BYTES);
    for (const call of this.calls) this.source.onCallEvent(call, CallEventPart.Failed, true, OVER);
    this.queries.clear();
    this.calls.clear();
    this.request.cut();
    this.response.cut();
    this.openResponse();
    if (this.isThrough) this.end(EndReason.Complete);
    else if (!this.survivors.add(this)) this.end(EndReason.Dropped);
  }

  // ---- Outliving ----

  /** It is not waited for any longer. */
  end(reason: EndReason): void {
    if (this.bond === 'over') return;
    this.bond = 'over';
    this.ending = true;
    this.survivors.delete(this);
    this.replyGone?.settle();
    this.lastLog?.();
    this.source.onEnd(reason);
  }

  // ---- StreamSink: what the filter says ----

  answer(type: HeaderType, mode: BodyMode, phases: number, _ops: OpList): void {
    if (this.bond === 'attached') this.sink.answer(type, mode, phases, NO_OPS);
    const message = this.message(directionOf(type));
    if (isTrailers(type)) message.trailersAnswered();
    else message.answered(this.source, mode);
    this.goOn();
  }

  ops(): void {}

  output(direction: Direction, flags: number, acknowledged: number, bytes: Uint8Array | undefined): void {
    const told = this.message(direction).output(this.source, flags, acknowledged, bytes?.length ?? 0);
    this.acknowledge(direction, told, flags & (OutputFlag.Last | OutputFlag.Bypass));
    this.goOn();
  }

  localReply(status: number, grpcStatus: number, details: string): void {
    this.replied(() => {
      this.sink.localReply(status, grpcStatus, details, [], NO_BYTES);
    });
  }

  replyHeaders(): void {
    this.localReply(200, -1, '');
  }

  replyData(): void {}
  replyTrailers(): void {}

  fail(type: HeaderType, text: string): void {
    if (this.bond === 'detached') this.sink.log(ERROR, `filter failed behind its stream: ${text}`);
    this.replied(() => {
      this.sink.fail(type, text);
    });
  }

  query(id: number, kind: QueryKind, key: number, block: Uint8Array): void {
    if (this.bond === 'attached') {
      this.queries.add(id);
      this.sink.query(id, kind, key, block);
    } else {
      queueMicrotask(() => {
        this.source.onQueryAnswer(id, false, NO_BYTES);
      });
    }
  }

  act(kind: ActKind, detail: number, id: number, number: number, block: Uint8Array): void {
    if (kind === ActKind.Metric) this.sink.act(kind, detail, id, number, block);
  }

  callStart(call: number, cluster: string, timeout: number, headers: readonly string[], end: boolean): void {
    if (this.bond === 'attached') {
      this.calls.add(call);
      this.sink.callStart(call, cluster, timeout, headers, end);
    } else {
      queueMicrotask(() => {
        this.source.onCallEvent(call, CallEventPart.Failed, true, OVER);
      });
    }
  }

  callData(call: number, bytes: Uint8Array, end: boolean): void {
    this.sink.callData(call, bytes, end);
  }

  callTrailers(call: number, headers: readonly string[]): void {
    this.sink.callTrailers(call, headers);
  }

  callCancel(call: number): void {
    this.calls.delete(call);
    this.sink.callCancel(call);
  }

  log(level: number, text: string): void {
    this.sink.log(level, text);
  }

  extend(): void {}

  /** Nobody reads what the filter makes, so nobody is slow; but a streamed reply has no reader at all. */
  backpressure(of?: CreditOf): Promise<void> | undefined {
    if (of === undefined) return this.sink.backpressure();
    if (of !== CreditOf.Reply || this.bond === 'over') return undefined;
    if (this.replyGone === undefined) {
      let settle!: () => void;
      const promise = new Promise<void>((resolve) => (settle = resolve));
      this.replyGone = { promise, settle };
    }
    return this.replyGone.promise;
  }

  // ---- inside ----

  private message(direction: Direction): ObservedMessage {
    return direction === Direction.Request ? this.request : this.response;
  }

  private get isThrough(): boolean {
    return this.request.isDone && this.response.isDone;
  }

  private acknowledge(direction: Direction, bytes: number, flags: number): void {
    if (this.bond !== 'attached' || (bytes === 0 && flags === 0)) return;
    this.sink.output(direction, flags, bytes, undefined, true);
  }

  /** What the filter sees ends there, as it would: the module says when, if it still has the stream. */
  private replied(tell: () => void): void {
    if (this.ending) return;
    this.ending = true;
    if (this.bond === 'attached') tell();
    else this.endSoon(EndReason.LocalReply);
  }

  /** The filter has said something; what follows from it comes not inside of that. */
  private goOn(): void {
    if (this.ending) return;
    if (this.bond === 'detached' && this.isThrough) {
      this.ending = true;
      this.endSoon(EndReason.Complete);
    } else if (this.response.isWaiting && this.request.hasGone) {
      queueMicrotask(() => {
        this.openResponse();
      });
    }
  }

  /** An upstream answers headers that have gone on to it: until the filter has let them go, the answer waits. */
  private openResponse(): void {
    if (!this.ending && this.request.hasGone) this.response.open(this.source);
  }

  /** Not inside of what the filter says. */
  private endSoon(reason: EndReason): void {
    queueMicrotask(() => {
      this.end(reason);
    });
  }
}
