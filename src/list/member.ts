/** One filter of a list: what it says to Envoy goes to the message that it is about, or through with its ids kept apart. */
import {
  type ActKind,
  type BodyMode,
  CreditOf,
  Direction,
  directionOf,
  type Follows,
  type HeaderBlock,
  HeadersTrait,
  headersOf,
  type HeaderType,
  type OpList,
  PhaseBit,
  PHASES_UNCHANGED,
  type QueryKind,
  type StreamSink,
  type StreamSource,
  trailersOf,
} from '../base/wire.js';
import type { StreamConfig } from '../stream/config.js';
import type { WholeReply } from '../stream/whole-reply.js';
import type { MemberPlace, Message, StageMember } from './stage-ports.js';

/** The hooks that make a filter part of a direction. */
const PART_OF = [
  PhaseBit.decodeHeaders | PhaseBit.decodeData | PhaseBit.decodeTrailers | PhaseBit.transformRequest,
  PhaseBit.encodeHeaders | PhaseBit.encodeData | PhaseBit.encodeTrailers | PhaseBit.transformResponse,
] as const;

/** Replies of members, as they make them. */
export interface MemberReplies {
  whole(member: ListMember, reply: WholeReply): void;
  streamed(member: ListMember, headers: string[], end: boolean): void;
  data(member: ListMember, bytes: Uint8Array, end: boolean): void;
  trailers(member: ListMember, headers: string[]): void;
  backpressure(): Promise<void> | undefined;
}

/** What a member has of its list. */
export interface MemberList {
  readonly size: number;
  readonly sink: StreamSink;
  readonly replies: MemberReplies;
  /** For what is done in order with the writes of headers; undefined: nothing is said to Envoy any more. */
  toEnvoy(): StreamSink | undefined;
  fail(type: HeaderType, text: string): void;
  /** The filter's stream of its own. */
  open(member: ListMember): StreamSource;
  /** A member that has not seen the request gets its headers to know. */
  giveContext(member: ListMember): void;
}

export class ListMember implements StreamSink, StageMember {
  readonly list: MemberList;
  readonly index: number;
  readonly config: StreamConfig;
  /** Phase bits: the declared ones, later those that the filter has; all ones = not known yet. */
  bits: number;
  /** Made when something is to be said to it. */
  source: StreamSource | undefined;
  /** It has seen the request's headers, if only for information. */
  knowsRequest = false;
  /** Where it is in the message of each direction. */
  private request: MemberPlace | undefined;
  private response: MemberPlace | undefined;

  constructor(list: MemberList, index: number, config: StreamConfig) {
    this.list = list;
    this.index = index;
    this.config = config;
    this.bits = config.declared;
  }

  get phasesKnown(): boolean {
    return this.bits !== PHASES_UNCHANGED;
  }

  /** Whether messages of that direction are its business. */
  partOf(direction: Direction): boolean {
    return (this.bits & PART_OF[direction]) !== 0;
  }

  get stream(): StreamSource {
    return (this.source ??= this.list.open(this));
  }

  // ---- StageMember ----

  place(direction: Direction, place: MemberPlace): void {
    if (direction === Direction.Request) this.request = place;
    else this.response = place;
  }

  headers({ direction, tunnel }: Message, block: HeaderBlock, endStream: boolean): void {
    if (direction === Direction.Request) this.knowsRequest = true;
    else this.list.giveContext(this);
    const end = endStream ? HeadersTrait.EndStream : 0;
    this.stream.onHeaders(headersOf(direction), block, tunnel ? end | HeadersTrait.Tunnel : end);
  }

  data(direction: Direction, bytes: Uint8Array, follows: Follows): void {
    this.source?.onData(direction, bytes, follows);
  }

  trailers(direction: Direction, block: HeaderBlock): void {
    this.stream.onHeaders(trailersOf(direction), block, 0);
  }

  bodyTooLarge(direction: Direction): void {
    this.source?.onBodyTooLarge(direction);
  }

  // ---- StreamSink ----

  answer(type: HeaderType, mode: BodyMode, phases: number, ops: OpList): void {
    if (phases !== PHASES_UNCHANGED) this.bits = phases;
    this.placeOf(directionOf(type))?.answer(type, mode, ops);
  }

  ops(type: HeaderType, ops: OpList): void {
    this.placeOf(directionOf(type))?.record(type, ops);
  }

  output(
    direction: Direction,
    flags: number,
    acknowledged: number,
    bytes: Uint8Array | undefined,
    owned: boolean,
  ): void {
    this.placeOf(direction)?.output(flags, acknowledged, bytes, owned);
  }

  localReply(status: number, grpcStatus: number, details: string, headers: string[], body: Uint8Array): void {
    this.list.replies.whole(this, { status, grpcStatus, details, headers, body });
  }

  replyHeaders(headers: string[], end: boolean): void {
    this.list.replies.streamed(this, headers, end);
  }

  replyData(bytes: Uint8Array, end: boolean): void {
    this.list.replies.data(this, bytes, end);
  }

  replyTrailers(headers: string[]): void {
    this.list.replies.trailers(this, headers);
  }

  fail(type: HeaderType, text: string): void {
    this.list.fail(type, text);
  }

  query(id: number, kind: QueryKind, key: number, block: Uint8Array): void {
    this.list.toEnvoy()?.query(this.outer(id), kind, key, block);
  }

  act(kind: ActKind, detail: number, id: number, number: number, block: Uint8Array): void {
    this.list.toEnvoy()?.act(kind, detail, id, number, block);
  }

  callStart(call: number, cluster: string, timeout: number, headers: readonly string[], end: boolean): void {
    this.list.toEnvoy()?.callStart(this.outer(call), cluster, timeout, headers, end);
  }

  callData(call: number, bytes: Uint8Array, end: boolean): void {
    this.list.toEnvoy()?.callData(this.outer(call), bytes, end);
  }

  callTrailers(call: number, headers: readonly string[]): void {
    this.list.toEnvoy()?.callTrailers(this.outer(call), headers);
  }

  callCancel(call: number): void {
    this.list.toEnvoy()?.callCancel(this.outer(call));
  }

  log(level: number, text: string): void {
    this.list.sink.log(level, text);
  }

  extend(milliseconds: number): void {
    this.list.sink.extend(milliseconds);
  }

  backpressure(of?: CreditOf): Promise<void> | undefined {
    if (of === CreditOf.Reply) return this.list.replies.backpressure();
    const place = of === undefined ? undefined : this.placeOf(of);
    return place === undefined ? this.list.sink.backpressure(of) : place.backpressure();
  }

  // ---- inside ----

  private placeOf(direction: Direction): MemberPlace | undefined {
    return direction === Direction.Request ? this.request : this.response;
  }

  /** Each member counts for itself; on the wire its ids are its own. */
  private outer(id: number): number {
    return id * this.list.size + this.index;
  }
}
