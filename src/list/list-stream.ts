/**
 * Several filters in one crossing (`filters: [...]`): for the module one stream, for each filter a stream of its own. A
 * request passes them from the first to the last, a response from the last to the first, as Envoy would pass it through
 * filters that stand apart.
 */
import {
  type CallEventPart,
  Direction,
  type EndReason,
  type Follows,
  type HeaderBlock,
  HeadersTrait,
  HeaderType,
  type LogKind,
  PhaseBit,
  PHASES_UNCHANGED,
  type StreamSink,
  type StreamSource,
  type StreamStart,
} from '../base/wire.js';
import type { FilledDeps } from '../base/deps.js';
import type { StreamConfig } from '../stream/config.js';
import type { Linger } from '../stream/linger.js';
import { HttpStream } from '../stream/stream.js';
import { EnvoyEnd, type EnvoyPort } from './envoy-end.js';
import { pickAttributes } from './list-attributes.js';
import type { ListConfig } from './list-config.js';
import { ListReplies, type RepliesList } from './list-replies.js';
import { ListMember, type MemberList } from './member.js';
import { Pass } from './pass.js';
import type { Limits, Message } from './stage-ports.js';

const NO_HEADERS: HeaderBlock = { bytes: new Uint8Array(0), count: 0 };
const LOG_HOOKS = [PhaseBit.onLogDownstreamStart, PhaseBit.onLogDownstreamPeriodic, PhaseBit.onLog] as const;
const ANY_LOG_HOOK = LOG_HOOKS[0] | LOG_HOOKS[1] | LOG_HOOKS[2];

/** A message that the module holds, on its way. */
interface Crossing {
  readonly pass: Pass;
  readonly end: EnvoyEnd;
}

export class ListStream implements StreamSource, MemberList, RepliesList, EnvoyPort {
  readonly sink: StreamSink;
  readonly deps: FilledDeps;
  readonly limits: Limits;
  /** Nothing is said to Envoy any more. */
  over = false;
  private readonly config: ListConfig;
  private readonly start: StreamStart;
  private readonly linger: Linger;
  /** In the order of the config. */
  private readonly members: readonly ListMember[];
  private request: Crossing | undefined;
  private response: Crossing | undefined;
  /** The request's headers where another filter answered before they came here. */
  private context: { readonly block: HeaderBlock; readonly traits: number } | undefined;
  private maybeReplies: ListReplies | undefined;
  private reversed: ListMember[] | undefined;
  private phasesTold = false;

  constructor(
    config: ListConfig,
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
    this.limits = { head: start.head, window: config.streamWindow, maxBodyBytes: config.maxBodyBytes };
    this.members = configs.map((one, i) => new ListMember(this, i, one));
  }

  // ---- StreamSource ----

  onHeaders(type: HeaderType, block: HeaderBlock, traits: number): void {
    if (this.over) return;
    const headersOnly = (traits & HeadersTrait.EndStream) !== 0;
    const tunnel = (traits & HeadersTrait.Tunnel) !== 0;
    switch (type) {
      case HeaderType.Request:
        if ((traits & HeadersTrait.Context) !== 0) this.context = { block, traits };
        else this.cross({ direction: Direction.Request, block, headersOnly, tunnel, here: false }).start();
        return;
      case HeaderType.Response:
        if (this.maybeReplies?.made === true) return; // the reply has the word
        // Envoy has answered before the members have let the request go: nobody else is asked about it.
        if (this.request?.pass.complete === false) this.request.pass.freeze();
        this.cross({ direction: Direction.Response, block, headersOnly, tunnel, here: false }).start();
        return;
      case HeaderType.RequestTrailers:
        this.trailersCame(Direction.Request, block);
        return;
      case HeaderType.ResponseTrailers:
        if (this.maybeReplies?.made !== true) this.trailersCame(Direction.Response, block);
        return;
    }
  }

  onData(direction: Direction, bytes: Uint8Array, follows: Follows): void {
    const crossing = this.crossing(direction);
    if (this.over || crossing === undefined) return;
    crossing.end.given(follows !== 'more');
    crossing.pass.data(bytes, follows);
  }

  onBodyTooLarge(direction: Direction): void {
    if (!this.over) this.crossing(direction)?.pass.bodyTooLarge();
  }

  onLogHeaders(type: HeaderType, block: HeaderBlock): void {
    for (const member of this.members) if ((member.bits & ANY_LOG_HOOK) !== 0) member.stream.onLogHeaders(type, block);
  }

  onLogRun(kind: LogKind, attributes: Uint8Array): void {
    for (const member of this.members) {
      if ((member.bits & LOG_HOOKS[kind]) !== 0) member.stream.onLogRun(kind, this.attributesOf(member, attributes));
    }
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

  // ---- EnvoyPort ----

  get window(): number {
    return this.limits.window;
  }

  /** All members' phases, once they are known. */
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

  // ---- MemberList ----

  get size(): number {
    return this.members.length;
  }

  get replies(): ListReplies {
    return (this.maybeReplies ??= new ListReplies(this));
  }

  open(member: ListMember): StreamSource {
    const { start } = this;
    const own =
      start.attributes.length === 0 ? start : { ...start, attributes: this.attributesOf(member, start.attributes) };
    return new HttpStream(member.config, own, member, this.deps, this.linger);
  }

  giveContext(member: ListMember): void {
    const pass = this.request?.pass;
    if (member.knowsRequest || pass?.reached(member) === true) return;
    const block = pass?.headersNow() ?? this.context?.block;
    if (block === undefined) return;
    member.knowsRequest = true;
    member.stream.onHeaders(HeaderType.Request, block, this.context?.traits ?? HeadersTrait.Context);
  }

  toEnvoy(): StreamSink | undefined {
    if (this.over) return undefined;
    this.request?.end.flush();
    this.response?.end.flush();
    return this.sink;
  }

  fail(type: HeaderType, text: string): void {
    if (this.over) return;
    this.stop();
    this.sink.fail(type, text);
  }

  // ---- RepliesList ----

  get asked(): StreamStart {
    return this.start;
  }

  get backwards(): ListMember[] {
    return (this.reversed ??= [...this.members].reverse());
  }

  get responseBegun(): boolean {
    return this.response !== undefined;
  }

  timeReply(): void {
    const end = this.request?.end;
    end?.timed(true);
    end?.turn(false);
  }

  killRequest(): void {
    kill(this.request);
  }

  killResponse(): void {
    kill(this.response);
  }

  // ---- inside ----

  private crossing(direction: Direction): Crossing | undefined {
    return direction === Direction.Request ? this.request : this.response;
  }

  private trailersCame(direction: Direction, block: HeaderBlock): void {
    if (this.crossing(direction) === undefined) {
      // No member had a hook for what came before: that was never sent.
      const gone = { direction, block: NO_HEADERS, headersOnly: false, tunnel: false, here: false };
      this.cross(gone, 'headers have gone').startAtTrailers();
    }
    const { pass, end } = this.crossing(direction)!;
    end.given(true);
    pass.trailersCame(block);
  }

  private cross(message: Message, where: 'headers are here' | 'headers have gone' = 'headers are here'): Pass {
    const { direction, headersOnly } = message;
    const request = direction === Direction.Request;
    const end = new EnvoyEnd(this, direction, where === 'headers have gone' ? 'gone' : 'asked', headersOnly);
    const pass = new Pass(message, this.limits, request ? this.members : this.backwards, end, end);
    if (request) this.request = { pass, end };
    else this.response = { pass, end };
    return pass;
  }

  private stop(): void {
    this.over = true;
    this.killRequest();
    this.killResponse();
    this.maybeReplies?.kill();
  }

  private attributesOf(member: ListMember, all: Uint8Array): Uint8Array {
    return pickAttributes(all, this.config.places[member.index]!);
  }

  private memberOf(id: number): ListMember {
    return this.members[id % this.members.length]!;
  }

  private inner(id: number): number {
    return Math.floor(id / this.members.length);
  }
}

function kill(crossing: Crossing | undefined): void {
  crossing?.pass.kill();
  crossing?.end.dispose();
}
