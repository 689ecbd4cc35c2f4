/**
 * One stream in the module, without an Envoy: it joins two flows, a reply, calls and what Envoy keeps, as
 * `cpp/core/stream*.cc` do it. What a host says that a real module would drop it for is an error here.
 */
import { HeaderLines, packHeaders } from '../../base/header-block.js';
import { encodeAttributes } from '../../api/attributes.js';
import {
  ActKind,
  type CreditOf,
  Direction,
  directionOf,
  EndReason,
  HeaderType,
  LogKind,
  PhaseBit,
  PHASES_UNCHANGED,
  CreditOf as Credit,
} from '../../base/wire.js';
import { HeadersFlag } from '../../channel/codec/index.js';
import { ShownReply } from '../../stream/whole-reply.js';
import {
  creditFrame,
  dataFrame,
  endFrame,
  type Frame,
  headersFrame,
  logRunFrame,
  queryAnswerFrame,
  type Said,
  type StreamId,
} from '../frames.js';
import type { Calls } from './calls.js';
import type { EnvoyState } from './envoy-state.js';
import { type Failure, FAILURES } from './failures.js';
import { ModuleFlow } from './flow.js';
import type { FlowOwner, FlowSettings } from './flow-parts.js';
import { kindOf, ReplyFraming, type RequestKind } from './framing.js';
import type { Receiver } from './passage.js';
import { Reply } from './reply.js';

export interface Settings extends FlowSettings {
  readonly filter: string;
  readonly config: number;
  /** 0: none. */
  readonly route: number;
  readonly attempt: number;
  /** Hooks that the definition declares, all ones where it does not. */
  readonly phases: number;
  /** Ids of the declared attributes. */
  readonly attributes: readonly number[];
}

/** The client, as the module's stream ends for it. */
export interface Client extends Receiver {
  /** Why there is no whole answer. */
  reset(code: string): void;
}

export interface Ports {
  readonly settings: Settings;
  readonly client: Client;
  readonly upstream: Receiver;
  readonly envoy: EnvoyState;
  readonly calls: Calls;
  readonly send: (frame: Frame) => void;
  /** A line of Envoy's log. */
  readonly log: (level: number, text: string) => void;
  /** A reply, the filter's or the module's, is in the response's place. */
  readonly replied: (details: string) => void;
  /** `recreateStream`: the request begins anew with these headers. */
  readonly again: (request: HeaderLines) => void;
  readonly ended: () => void;
}

const WARN = 3;
const ERROR = 4;
const MAX_HEADERS_BYTES = 48 * 1024;

export class ModuleStream implements FlowOwner {
  readonly kind: RequestKind;
  readonly settings: Settings;
  phases: number;
  private readonly id: StreamId;
  private readonly ports: Ports;
  private readonly reply: Reply;
  private readonly request: ModuleFlow;
  private response: ModuleFlow | undefined;
  private readonly trailers: { request?: HeaderLines; response?: HeaderLines } = {};
  private started = false;
  private reason: EndReason | undefined;
  private over = false;

  constructor(id: StreamId, ports: Ports, request: HeaderLines, end: boolean) {
    this.id = id;
    this.ports = ports;
    this.settings = ports.settings;
    this.phases = ports.settings.phases;
    this.kind = kindOf(request);
    this.reply = new Reply(ports.client);
    this.request = new ModuleFlow(Direction.Request, this, request, end, ports.upstream);
  }

  get isGrpc(): boolean {
    return /^application\/grpc($|[+;])/.test(this.request.lines.get('content-type') ?? '');
  }

  get isLive(): boolean {
    return !this.over && !this.reply.exists;
  }

  // ---- Envoy's hooks ----

  begin(): void {
    this.request.begin(undefined);
  }

  requestData(bytes: Uint8Array, last: boolean): void {
    if (this.isLive) this.request.came(bytes, last);
  }

  requestTrailers(lines: HeaderLines): void {
    if (!this.isLive) return;
    this.trailers.request = lines;
    this.request.trailersCame(lines);
  }

  responseHeaders(lines: HeaderLines, end: boolean): void {
    if (!this.isLive) return;
    this.response = new ModuleFlow(Direction.Response, this, lines, end, this.ports.client);
    this.response.begin(this.started ? undefined : this.request.lines);
  }

  responseData(bytes: Uint8Array, last: boolean): void {
    if (this.isLive) this.response?.came(bytes, last);
  }

  responseTrailers(lines: HeaderLines): void {
    if (!this.isLive) return;
    this.trailers.response = lines;
    this.response?.trailersCame(lines);
  }

  /** Envoy reads no more of that message for now. */
  isFull(direction: Direction): boolean {
    if (!this.isLive) return false;
    return (direction === Direction.Request ? this.request : this.response)?.isFull ?? false;
  }

  get responseBegun(): boolean {
    return this.reply.exists || this.response !== undefined;
  }

  /** Its headers are with the client. */
  get headersGone(): boolean {
    return this.response?.headersGone ?? false;
  }

  /** A peer takes more. */
  onRoom(direction: Direction): void {
    if (this.over) return;
    if (direction === Direction.Response && this.reply.isUnderWay) this.flushReply();
    else if (direction === Direction.Request) this.request.advance();
    else this.response?.advance();
  }

  /** Envoy's stream is over. */
  end(reason?: EndReason): void {
    if (this.over) return;
    this.over = true;
    this.request.reply();
    this.response?.reply();
    this.ports.calls.end();
    if (this.started || (this.phases & PhaseBit.onLog) !== 0) this.finish(this.reason ?? reason ?? EndReason.Complete);
    this.ports.ended();
  }

  // ---- from the host ----

  on(said: Said): void {
    if (this.over) {
      // What needs no stream.
      if (said.is === 'log') this.ports.log(said.level, said.text);
      if (said.is === 'act' && said.kind === ActKind.Metric) this.ports.envoy.act(said);
      return;
    }
    switch (said.is) {
      case 'answer':
        if (!this.isLive) return;
        if (said.phases !== PHASES_UNCHANGED) this.phases = said.phases;
        this.flow(directionOf(said.type))?.onAnswer(said);
        return;
      case 'ops':
        if (this.isLive) this.flow(directionOf(said.type))?.onOps(said);
        return;
      case 'output':
        this.flow(said.direction)?.onOutput(said);
        return;
      case 'localReply':
        this.localReply(said);
        return;
      case 'replyHeaders':
      case 'replyData':
      case 'replyTrailers':
        this.streamedReply(said);
        return;
      case 'fail':
        this.failed(said.text);
        return;
      case 'query': {
        const value = this.ports.envoy.answer(said.kind, said.key, said.block);
        this.ports.send(queryAnswerFrame(this.id, said.query, value));
        return;
      }
      case 'act':
        if (said.kind === ActKind.Recreate) this.recreate();
        else this.ports.envoy.act(said);
        return;
      case 'log':
        this.ports.log(said.level, said.text);
        return;
      case 'extend':
        this.request.extend(said.milliseconds);
        this.response?.extend(said.milliseconds);
        return;
      default:
        this.ports.calls.on(said);
    }
  }

  // ---- FlowOwner ----

  toHost(type: HeaderType, lines: HeaderLines, flags: number): void {
    const start = this.start(type, flags);
    const flat = lines.flat();
    // As many lines as one frame takes, and the rest in the next one.
    let first = true;
    for (let at = 0; first || at < flat.length; first = false) {
      let to = at;
      for (let size = 0; to < flat.length; to += 2) {
        size += 8 + flat[to]!.length + flat[to + 1]!.length;
        if (to > at && size > MAX_HEADERS_BYTES) break;
      }
      const more = to < flat.length ? HeadersFlag.More : 0;
      const block = packHeaders(flat.slice(at, to));
      const rest = first ? start.frame : {};
      this.ports.send(headersFrame(this.id, { type, flags: start.flags | more, block, ...rest }));
      start.flags &= ~HeadersFlag.Start;
      at = to;
    }
  }

  data(direction: Direction, flags: number, bytes: Uint8Array): void {
    this.ports.send(dataFrame(this.id, direction, flags, bytes));
  }

  credit(of: CreditOf, bytes: number): void {
    this.ports.send(creditFrame(this.id, of, bytes));
  }

  fail(failure: Failure): void {
    if (!this.isLive) return;
    const { code, http } = failure;
    const resets = http === 0 || this.headersGone;
    if (failure === FAILURES.timeout) this.reason = EndReason.Timeout;
    this.reason ??= EndReason.LocalReply;
    this.endFlows();
    if (resets) {
      this.ports.log(WARN, `ts_filter: filter ${this.settings.filter}: stream reset: ${code}`);
      this.ports.client.reset(code);
      return;
    }
    const body = Buffer.from(failure.body ?? code);
    const grpcStatus = this.isGrpc ? failure.grpc : -1;
    this.sendWhole({ status: http, grpcStatus, details: code, headers: [], body });
  }

  // ---- inside ----

  private flow(direction: Direction): ModuleFlow | undefined {
    return direction === Direction.Request ? this.request : this.response;
  }

  /** What a stream's first frame carries beside its own. */
  private start(_type: HeaderType, flags: number): { flags: number; frame: object } {
    if (this.started) return { flags, frame: {} };
    this.started = true;
    const { config, route, attempt } = this.settings;
    let all = flags | HeadersFlag.Start;
    if (this.isGrpc) all |= HeadersFlag.Grpc;
    if (this.kind === 'head') all |= HeadersFlag.Head;
    return { flags: all, frame: { config, route, attempt, attributes: this.attributes() } };
  }

  private attributes(): Buffer {
    return encodeAttributes(this.settings.attributes.map((id) => this.ports.envoy.attribute(id)));
  }

  private localReply(said: Extract<Said, { is: 'localReply' }>): void {
    if (!this.isLive) return;
    if (this.headersGone) {
      this.fail(FAILURES.replyTooLate);
      return;
    }
    this.endFlows();
    this.sendWhole(said);
  }

  private sendWhole(said: Omit<Extract<Said, { is: 'localReply' }>, 'is'>): void {
    const lines = HeaderLines.fromFlat(said.headers);
    const framing = new ReplyFraming(this.kind, said.status, lines, true);
    const body = framing.hasLength ? said.body : new Uint8Array(0);
    const asked = { grpc: this.isGrpc, head: this.kind === 'head' };
    const shown = new ShownReply({ ...said, headers: lines.flat(), body }, asked);
    this.ports.replied(said.details);
    this.reply.whole(HeaderLines.of(shown.headers), shown.body);
  }

  private streamedReply(said: Extract<Said, { is: 'replyHeaders' | 'replyData' | 'replyTrailers' }>): void {
    if (said.is === 'replyHeaders') {
      if (!this.isLive) return;
      if (this.headersGone) this.fail(FAILURES.replyTooLate);
      else {
        const inOne = this.response !== undefined;
        if (!this.reply.begin(this.kind, said, inOne)) {
          this.fail(FAILURES.wrongLength);
          return;
        }
        this.ports.replied('');
        this.endFlows();
      }
      return;
    }
    if (!this.reply.isUnderWay) return;
    const isRight = said.is === 'replyData' ? this.reply.data(said.bytes, said.end) : this.reply.end(said.headers);
    if (!isRight) this.cutReply(FAILURES.wrongLength.code);
    else if (this.reply.waitingBytes > this.settings.maxPendingOutput) this.cutReply(FAILURES.outputLimit.code);
    else this.flushReply();
  }

  private flushReply(): void {
    const taken = this.reply.flush();
    if (taken > 0 && !this.over) this.credit(Credit.Reply, taken);
  }

  private cutReply(code: string): void {
    this.reply.cut();
    this.ports.client.reset(code);
  }

  private failed(text: string): void {
    this.ports.log(ERROR, `ts_filter: filter ${this.settings.filter} failed: ${text}`);
    if (this.reply.isUnderWay) {
      this.reason = EndReason.LocalReply;
      this.cutReply(FAILURES.filterErrorLate.code);
    } else this.fail(this.headersGone ? FAILURES.filterErrorLate : FAILURES.filterError);
  }

  /** Envoy begins anew with what it still has: all of the body has to be there. */
  private recreate(): void {
    if (!this.isLive) return;
    if (!this.request.headersOnly || this.headersGone) {
      this.fail(FAILURES.recreateRefused);
      return;
    }
    this.reason = EndReason.LocalReply;
    const { lines } = this.request;
    this.endFlows();
    this.ports.again(lines);
    this.end();
  }

  private endFlows(): void {
    if (!this.reply.exists) this.reply.taken();
    this.request.reply();
    this.response?.reply();
  }

  /** The last log event, and the end. */
  private finish(reason: EndReason): void {
    if ((this.phases & PhaseBit.onLog) !== 0) {
      const maps: [HeaderType, HeaderLines | undefined][] = [
        [HeaderType.Request, this.request.lines],
        [HeaderType.RequestTrailers, this.trailers.request],
        [HeaderType.Response, this.response?.lines],
        [HeaderType.ResponseTrailers, this.trailers.response],
      ];
      for (const [type, lines] of maps) if (lines !== undefined) this.toHost(type, lines, HeadersFlag.Log);
      this.ports.send(logRunFrame(this.id, LogKind.End, this.attributes()));
    }
    if (this.started) this.ports.send(endFrame(this.id, reason));
  }
}
