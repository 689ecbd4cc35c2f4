/**
 * Several filters in one crossing (`filters: [...]`): for the module one stream, for each filter a stream of its own. A
 * request passes them from the first to the last, a response from the last to the first, as Envoy would pass it through
 * filters that stand apart.
 */
import {
  type CallEventPart,
  Direction,
  type EndReason,
  type HeaderBlock,
  HeaderType,
  type LogKind,
  PhaseBit,
  PHASES_UNCHANGED,
  type StreamSink,
  type StreamSource,
  type StreamStart,
} from '../base/wire.js';
import { pickAttributes } from './chain-attributes.js';
import type { ChainConfig } from './chain-config.js';
import { EnvoyEnd } from './chain-ends.js';
import { ChainMember } from './chain-member.js';
import { Pass, type PassOwner } from './chain-pass.js';
import { ChainReplies } from './chain-replies.js';
import type { StreamConfig } from '../stream/config.js';
import type { FilledDeps } from '../base/deps.js';
import type { Linger } from '../stream/linger.js';
import { HttpStream } from '../stream/stream.js';

const NO_HEADERS: HeaderBlock = { bytes: new Uint8Array(0), count: 0 };
const LOG_HOOKS = [PhaseBit.onLogDownstreamStart, PhaseBit.onLogDownstreamPeriodic, PhaseBit.onLog] as const;

export class ChainStream implements StreamSource, PassOwner {
  readonly config: ChainConfig;
  readonly start: StreamStart;
  readonly sink: StreamSink;
  readonly deps: FilledDeps;
  /** In the order of the config. */
  readonly members: readonly ChainMember[];
  /** Nothing is said to Envoy any more. */
  over = false;
  private readonly linger: Linger;
  private request: Pass | undefined;
  private requestEnd: EnvoyEnd | undefined;
  private response: Pass | undefined;
  private responseEnd: EnvoyEnd | undefined;
  /** The request's headers where another filter answered before they came here. */
  private context: { readonly block: HeaderBlock; readonly endStream: boolean } | undefined;
  private maybeReplies: ChainReplies | undefined;
  private reversed: ChainMember[] | undefined;
  private phasesTold = false;

  constructor(
    config: ChainConfig,
    configs: readonly StreamConfig[],
    start: StreamStart,
    sink: StreamSink,
    deps: FilledDeps,
    linger: Linger,
  ) {
    this.config = config;
    this.start = start;
    this.sink = sink;
    this.deps = deps;
    this.linger = linger;
    this.members = configs.map((one, i) => new ChainMember(this, i, one));
  }

  // ---- StreamSource ----

  onHeaders(type: HeaderType, block: HeaderBlock, endStream: boolean, context: boolean, tunnel: boolean): void {
    if (this.over) return;
    switch (type) {
      case HeaderType.Request:
        if (context) this.context = { block, endStream };
        else this.begin(Direction.Request, block, endStream, tunnel).start();
        return;
      case HeaderType.Response:
        if (this.maybeReplies?.made === true) return; // the reply has the word
        // Envoy has answered before the members have let the request go: nobody else is asked about it.
        if (this.request?.complete === false) this.request.freeze();
        this.begin(Direction.Response, block, endStream, tunnel).start();
        return;
      case HeaderType.RequestTrailers:
        this.requestEnd?.given(true);
        (this.request ?? this.beginAtTrailers(Direction.Request)).trailersCame(block);
        return;
      case HeaderType.ResponseTrailers:
        if (this.maybeReplies?.made === true) return;
        this.responseEnd?.given(true);
        (this.response ?? this.beginAtTrailers(Direction.Response)).trailersCame(block);
        return;
    }
  }

  onData(direction: Direction, bytes: Uint8Array, last: boolean, trailers: boolean): void {
    if (this.over) return;
    const request = direction === Direction.Request;
    (request ? this.requestEnd : this.responseEnd)?.given(last);
    (request ? this.request : this.response)?.data(bytes, last, trailers);
  }

  onBodyTooLarge(direction: Direction): void {
    if (!this.over) (direction === Direction.Request ? this.request : this.response)?.bodyTooLarge();
  }

  onLogHeaders(type: HeaderType, block: HeaderBlock): void {
    for (const member of this.members) if (this.logs(member)) this.sourceOf(member).onLogHeaders(type, block);
  }

  onLogRun(kind: LogKind, attributes: Uint8Array): void {
    const { members, config } = this;
    members.forEach((member, i) => {
      if ((member.bits & LOG_HOOKS[kind]) !== 0)
        this.sourceOf(member).onLogRun(kind, pickAttributes(attributes, config.places[i]!));
    });
  }

  onCallEvent(call: number, part: CallEventPart, end: boolean, bytes: Uint8Array): void {
    this.memberOf(call).source?.onCallEvent(this.inner(call), part, end, bytes);
  }

  onQueryAnswer(id: number, found: boolean, bytes: Uint8Array): void {
    this.memberOf(id).source?.onQueryAnswer(this.inner(id), found, bytes);
  }

  onEnd(reason: EndReason): void {
    this.stop();
    for (const member of this.members) {
      if (member.source === undefined) member.config.release();
      else member.source.onEnd(reason);
    }
  }

  // ---- for the passes ----

  get head(): boolean {
    return this.start.head;
  }

  get window(): number {
    return this.config.streamWindow;
  }

  get maxBodyBytes(): number {
    return this.config.maxBodyBytes;
  }

  bodyTooLarge(direction: Direction, member: ChainMember): void {
    member.source?.onBodyTooLarge(direction);
  }

  /** Phase bits for an answer: all members' ones, once they are known. */
  phasesToTell(): number {
    if (this.phasesTold) return PHASES_UNCHANGED;
    let bits = 0;
    for (const member of this.members) {
      if (!member.phasesKnown) return PHASES_UNCHANGED;
      bits |= member.bits;
    }
    this.phasesTold = true;
    return bits;
  }

  // ---- for the members ----

  get replies(): ChainReplies {
    return (this.maybeReplies ??= new ChainReplies(this));
  }

  sourceOf(member: ChainMember): StreamSource {
    if (member.source !== undefined) return member.source;
    const { start } = this;
    const own =
      start.attributes.length === 0
        ? start
        : { ...start, attributes: pickAttributes(start.attributes, this.config.places[member.index]!) };
    return (member.source = new HttpStream(member.config, own, member, this.deps, this.linger));
  }

  /** The request's headers for a member that answers a response to a request that it never had. */
  giveContext(member: ChainMember): void {
    if (member.knowsRequest || this.request?.reached(member) === true) return;
    const block = this.request?.headersNow() ?? this.context?.block;
    if (block === undefined) return;
    member.knowsRequest = true;
    this.sourceOf(member).onHeaders(HeaderType.Request, block, this.context?.endStream ?? false, true, false);
  }

  /** For what is done in order with the writes of headers: Envoy knows of them then. */
  toEnvoy(): StreamSink | undefined {
    if (this.over) return undefined;
    this.requestEnd?.flush();
    this.responseEnd?.flush();
    return this.sink;
  }

  fail(type: HeaderType, text: string): void {
    if (this.over) return;
    this.stop();
    this.sink.fail(type, text);
  }

  // ---- for the replies ----

  /** From the last to the first. */
  get backwards(): ChainMember[] {
    return (this.reversed ??= [...this.members].reverse());
  }

  get responseBegun(): boolean {
    return this.response !== undefined;
  }

  /** Hooks run that the module knows nothing of: it times the request until it hears of the reply. */
  timeReply(): void {
    this.requestEnd?.timed(true);
    this.requestEnd?.turn(false);
  }

  killRequest(): void {
    this.request?.kill();
    this.requestEnd?.dispose();
  }

  killResponse(): void {
    this.response?.kill();
    this.responseEnd?.dispose();
  }

  // ---- inside ----

  private begin(
    direction: Direction,
    block: HeaderBlock,
    headersOnly: boolean,
    tunnel: boolean,
    answered = false,
  ): Pass {
    const request = direction === Direction.Request;
    const end = (pass: Pass): EnvoyEnd => {
      const made = new EnvoyEnd(this, pass, headersOnly, answered);
      if (request) this.requestEnd = made;
      else this.responseEnd = made;
      return made;
    };
    const members = request ? this.members : this.backwards;
    const pass = new Pass(this, direction, members, end, block, headersOnly, tunnel);
    if (request) this.request = pass;
    else this.response = pass;
    return pass;
  }

  private beginAtTrailers(direction: Direction): Pass {
    const pass = this.begin(direction, NO_HEADERS, false, false, true);
    pass.startAtTrailers();
    return pass;
  }

  private stop(): void {
    this.over = true;
    this.request?.kill();
    this.requestEnd?.dispose();
    this.killResponse();
    this.maybeReplies?.kill();
  }

  private logs(member: ChainMember): boolean {
    return (member.bits & (LOG_HOOKS[0] | LOG_HOOKS[1] | LOG_HOOKS[2])) !== 0;
  }

  private memberOf(id: number): ChainMember {
    return this.members[id % this.members.length]!;
  }

  private inner(id: number): number {
    return Math.floor(id / this.members.length);
  }
}
