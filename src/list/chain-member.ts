/** One filter of a chain: what it says to Envoy goes to the pass that it is in, or through with its ids kept apart. */
import {
  type ActKind,
  type BodyMode,
  CreditOf,
  Direction,
  directionOf,
  type HeaderBlock,
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
import type { ChainStream } from './chain.js';
import type { Stage } from './chain-pass.js';
import type { StreamConfig } from '../stream/config.js';

/** The hooks that make a filter part of a direction. */
const PART_OF = [
  PhaseBit.decodeHeaders | PhaseBit.decodeData | PhaseBit.decodeTrailers | PhaseBit.transformRequest,
  PhaseBit.encodeHeaders | PhaseBit.encodeData | PhaseBit.encodeTrailers | PhaseBit.transformResponse,
] as const;

export class ChainMember implements StreamSink {
  readonly chain: ChainStream;
  readonly index: number;
  readonly config: StreamConfig;
  /** Phase bits: the declared ones, later those that the filter has; all ones = not known yet. */
  bits: number;
  /** Made when something is to be said to it. */
  source: StreamSource | undefined;
  /** It has seen the request's headers, if only for information. */
  knowsRequest = false;
  /** Where it is in the message of each direction. */
  private request: Stage | undefined;
  private response: Stage | undefined;

  constructor(chain: ChainStream, index: number, config: StreamConfig) {
    this.chain = chain;
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

  // ---- to the filter ----

  place(stage: Stage): void {
    if (stage.pass.direction === Direction.Request) this.request = stage;
    else this.response = stage;
  }

  enter(stage: Stage): void {
    const request = stage.pass.direction === Direction.Request;
    this.place(stage);
    if (request) this.knowsRequest = true;
    else this.chain.giveContext(this);
    this.chain
      .sourceOf(this)
      .onHeaders(headersOf(stage.pass.direction), stage.block, stage.headersOnly, false, stage.pass.tunnel);
  }

  data(direction: Direction, bytes: Uint8Array, last: boolean, trailers: boolean): void {
    this.source?.onData(direction, bytes, last, trailers);
  }

  trailers(direction: Direction, block: HeaderBlock): void {
    this.chain.sourceOf(this).onHeaders(trailersOf(direction), block, true, false, false);
  }

  // ---- StreamSink ----

  answer(type: HeaderType, mode: BodyMode, phases: number, ops: OpList): void {
    const stage = this.stageOf(type);
    stage?.pass.answer(stage, type, mode, phases, ops);
  }

  ops(type: HeaderType, ops: OpList): void {
    const stage = this.stageOf(type);
    stage?.pass.opsOf(stage, type, ops);
  }

  output(
    direction: Direction,
    flags: number,
    acknowledged: number,
    bytes: Uint8Array | undefined,
    owned: boolean,
  ): void {
    const stage = direction === Direction.Request ? this.request : this.response;
    stage?.pass.output(stage, flags, acknowledged, bytes, owned);
  }

  localReply(status: number, grpcStatus: number, details: string, headers: string[], body: Uint8Array): void {
    this.chain.replies.whole(this, { status, grpcStatus, details, headers, body });
  }

  replyHeaders(headers: string[], end: boolean): void {
    this.chain.replies.streamed(this, headers, end);
  }

  replyData(bytes: Uint8Array, end: boolean): void {
    this.chain.replies.data(this, bytes, end);
  }

  replyTrailers(headers: string[]): void {
    this.chain.replies.trailers(this, headers);
  }

  fail(type: HeaderType, text: string): void {
    this.chain.fail(type, text);
  }

  query(id: number, kind: QueryKind, key: number, block: Uint8Array): void {
    this.chain.toEnvoy()?.query(this.outer(id), kind, key, block);
  }

  act(kind: ActKind, detail: number, id: number, number: number, block: Uint8Array): void {
    this.chain.toEnvoy()?.act(kind, detail, id, number, block);
  }

  callStart(call: number, cluster: string, timeout: number, headers: readonly string[], end: boolean): void {
    this.chain.toEnvoy()?.callStart(this.outer(call), cluster, timeout, headers, end);
  }

  callData(call: number, bytes: Uint8Array, end: boolean): void {
    this.chain.toEnvoy()?.callData(this.outer(call), bytes, end);
  }

  callTrailers(call: number, headers: readonly string[]): void {
    this.chain.toEnvoy()?.callTrailers(this.outer(call), headers);
  }

  callCancel(call: number): void {
    this.chain.toEnvoy()?.callCancel(this.outer(call));
  }

  log(level: number, text: string): void {
    this.chain.sink.log(level, text);
  }

  extend(milliseconds: number): void {
    this.chain.sink.extend(milliseconds);
  }

  backpressure(of?: CreditOf): Promise<void> | undefined {
    if (of === CreditOf.Reply) return this.chain.replies.backpressure();
    const stage = of === undefined ? undefined : of === CreditOf.Request ? this.request : this.response;
    return stage === undefined ? this.chain.sink.backpressure(of) : stage.pass.backpressure(stage);
  }

  // ---- inside ----

  private stageOf(type: HeaderType): Stage | undefined {
    return directionOf(type) === Direction.Request ? this.request : this.response;
  }

  /** Each member counts for itself; on the wire its ids are its own. */
  private outer(id: number): number {
    return id * this.chain.members.length + this.index;
  }
}
