/**
 * The seam between the ring and the filters: what one stream hears from Envoy and what it may say back.
 * `channel` and the codec implement StreamSink and call StreamSource; `stream/` implements StreamSource. Neither side
 * imports the other.
 */

/** Which header map, in Envoy's numbering (schema: HeaderType). */
export const HeaderType = { Request: 0, RequestTrailers: 1, Response: 2, ResponseTrailers: 3 } as const;
export type HeaderType = (typeof HeaderType)[keyof typeof HeaderType];

export const Direction = { Request: 0, Response: 1 } as const;
export type Direction = (typeof Direction)[keyof typeof Direction];

/** What the module does with the body after a headers answer (schema: BodyMode). */
export const BodyMode = { Pass: 0, Stream: 1, StreamHold: 2, Whole: 3 } as const;
export type BodyMode = (typeof BodyMode)[keyof typeof BodyMode];

/** Flags of an output (schema: OutputFlag). */
export const OutputFlag = {
  Digested: 1,
  Last: 2,
  Bypass: 4,
  Added: 8,
  Trailing: 16,
  Release: 32,
  Timed: 64,
  Cut: 128,
} as const;
/** Of a part of an output: Added says where its bytes go; all others say what happens behind the last part. */
export const flagsOfPart = (flags: number): number => (flags & OutputFlag.Added) | OutputFlag.Cut;

/** Which bytes a credit is about (schema: CreditOf). */
export const CreditOf = { Request: 0, Response: 1, Reply: 2 } as const;
export type CreditOf = (typeof CreditOf)[keyof typeof CreditOf];

/** Bits of the hooks a filter has (schema: Phase). */
export const PhaseBit = {
  decodeHeaders: 1,
  decodeData: 2,
  decodeTrailers: 4,
  encodeHeaders: 8,
  encodeData: 16,
  encodeTrailers: 32,
  transformRequest: 64,
  transformResponse: 128,
  onLogDownstreamStart: 256,
  onLogDownstreamPeriodic: 512,
  onLog: 1024,
  onStreamComplete: 2048,
  onDestroy: 4096,
} as const;
/** `phases` of an answer that leaves the subscription as it is. */
export const PHASES_UNCHANGED = 0xffffffff;

/** Why a stream ended (schema: EndReason). */
export const EndReason = {
  Complete: 0,
  Downstream: 1,
  Upstream: 2,
  Timeout: 3,
  LocalReply: 4,
  HostDrain: 5,
  Dropped: 6,
} as const;
export type EndReason = (typeof EndReason)[keyof typeof EndReason];

/** What a query asks for (schema: QueryKind). */
export const QueryKind = { Attribute: 0, Metadata: 1, FilterState: 2, Secret: 3, Metric: 4 } as const;
export type QueryKind = (typeof QueryKind)[keyof typeof QueryKind];

/** What to do with the stream (schema: ActKind, MetadataType, MetricOp). */
export const ActKind = {
  SetMetadata: 0,
  SetFilterState: 1,
  OverrideHost: 2,
  Drain: 3,
  Metric: 4,
  Recreate: 5,
} as const;
export type ActKind = (typeof ActKind)[keyof typeof ActKind];
export const MetadataType = {
  Number: 0,
  Text: 1,
  Bool: 2,
  NumberList: 3,
  TextList: 4,
  BoolList: 5,
  Struct: 6,
} as const;
export const MetricOp = { Increment: 0, Decrement: 1, Set: 2, Record: 3 } as const;
export type MetricOp = (typeof MetricOp)[keyof typeof MetricOp];
export const MetricKind = { Counter: 0, Gauge: 1, Histogram: 2 } as const;
export type MetricKind = (typeof MetricKind)[keyof typeof MetricKind];
/** Bits of what this Envoy can do (schema: Capability). */
export const Capability = { NestedMetadata: 1, Secrets: 2, LateMetrics: 4 } as const;

/** Parts of a call's answer (schema: CallEventPart). */
export const CallEventPart = { Headers: 0, Data: 1, Trailers: 2, Failed: 3 } as const;
export type CallEventPart = (typeof CallEventPart)[keyof typeof CallEventPart];
/** What a Failed part may say that has a code of its own. */
export const CallFailure = { NoCluster: 'no such cluster', Limit: 'too much waits for the host' } as const;
/** Which log hook (schema: LogKind). */
export const LogKind = { Start: 0, Periodic: 1, End: 2 } as const;
export type LogKind = (typeof LogKind)[keyof typeof LogKind];

/** Operations on a held header map (schema: HeaderOp). */
export const HeaderOp = { Set: 0, Add: 1, Delete: 2, ClearRouteCache: 3, RefreshRouteCache: 4 } as const;
export type HeaderOp = (typeof HeaderOp)[keyof typeof HeaderOp];

/** A flat list of operations: op, name, value, op, name, value … (no object per header). Strings are latin1. */
export type OpList = (HeaderOp | string)[];

export function directionOf(type: HeaderType): Direction {
  return type === HeaderType.Request || type === HeaderType.RequestTrailers ? Direction.Request : Direction.Response;
}

export function isTrailers(type: HeaderType): boolean {
  return type === HeaderType.RequestTrailers || type === HeaderType.ResponseTrailers;
}

export function headersOf(direction: Direction): HeaderType {
  return direction === Direction.Request ? HeaderType.Request : HeaderType.Response;
}

export function trailersOf(direction: Direction): HeaderType {
  return direction === Direction.Request ? HeaderType.RequestTrailers : HeaderType.ResponseTrailers;
}

/** What a stream says to the module. Every call is queued in order; nothing throws when the stream is gone. */
export interface StreamSink {
  /** Answers a Headers frame: operations first, then what happens to the body. */
  answer(type: HeaderType, mode: BodyMode, phases: number, ops: OpList): void;
  /** Operations on a map that is still held, outside an answer. */
  ops(type: HeaderType, ops: OpList): void;
  /** Output bytes (any size) and acknowledged input bytes. `owned`: nobody else will write to that memory; else it is
   *  read, or copied, before this returns. */
  output(
    direction: Direction,
    flags: number,
    acknowledged: number,
    bytes: Uint8Array | undefined,
    owned: boolean,
  ): void;
  /** grpcStatus -1: by Envoy's mapping. headers: name, value, name, value … */
  localReply(status: number, grpcStatus: number, details: string, headers: string[], body: Uint8Array): void;
  replyHeaders(headers: string[], end: boolean): void;
  replyData(bytes: Uint8Array, end: boolean): void;
  replyTrailers(headers: string[]): void;
  fail(type: HeaderType, text: string): void;
  /** The answer comes to StreamSource.onQueryAnswer. `key` and `block` as schema/exchange.fbs has them, by kind. */
  query(id: number, kind: QueryKind, key: number, block: Uint8Array): void;
  /** Something to do with the stream; arguments as in the schema's Act, by kind. */
  act(kind: ActKind, detail: number, id: number, number: number, block: Uint8Array): void;
  /** A request to one of Envoy's clusters; its answer comes to StreamSource.onCallEvent. `call` is unique in its stream;
   *  timeout in milliseconds, 0 = none; headers: name, value …, with `:method`, `:path` and `:authority`. */
  callStart(call: number, cluster: string, timeout: number, headers: readonly string[], end: boolean): void;
  callData(call: number, bytes: Uint8Array, end: boolean): void;
  callTrailers(call: number, headers: readonly string[]): void;
  callCancel(call: number): void;
  /** A line for Envoy's log (Envoy's levels: trace 0 … critical 5). */
  log(level: number, text: string): void;
  extend(milliseconds: number): void;
  /** undefined: go on writing. A promise: the ring and its small overflow are full; it settles when there is room. For
   *  the output of a direction (CreditOf has its numbers) or a streamed reply also: Envoy, or the next filter of a list,
   *  has enough of it. What is written all the same waits here. */
  backpressure(of?: CreditOf): Promise<void> | undefined;
}

/** The bytes of a header map as they came: `count` times {u32 name length, u32 value length, name, value}. The memory
 *  belongs to the receiver. */
export interface HeaderBlock {
  readonly bytes: Uint8Array;
  readonly count: number;
}

/** First frame of a stream. */
export interface StreamStart {
  readonly configId: number;
  /** 0 = none */
  readonly routeConfigId: number;
  readonly attempt: number;
  readonly workerId: number;
  readonly grpc: boolean;
  /** An upstream HTTP filter: one try of a request, behind the router. */
  readonly upstream: boolean;
  /** The request came as HEAD: no answer to it has a body. */
  readonly head: boolean;
  /** `observe_only`: everything comes as it passes, and nothing waits for an answer. */
  readonly observed: boolean;
  /** Attribute values in the order of the filter's declared attributes; {u32 length, bytes}*, 0xffffffff = absent. */
  readonly attributes: Uint8Array;
}

/** What is known of a message when its headers come. */
export const HeadersTrait = {
  /** Nothing follows them. */
  EndStream: 1,
  /** For information: no hook, no answer. */
  Context: 2,
  /** What follows is no body, and flows past. */
  Tunnel: 4,
} as const;

/** What comes behind a piece of a body: more of it, nothing, or the message's trailers. */
export type Follows = 'more' | 'nothing' | 'trailers';

/** What a stream hears. Never throws. */
export interface StreamSource {
  /** `traits` are bits of HeadersTrait; those of trailers say nothing. */
  onHeaders(type: HeaderType, block: HeaderBlock, traits: number): void;
  /** bytes are the receiver's own memory. */
  onData(direction: Direction, bytes: Uint8Array, follows: Follows): void;
  /** A whole body is over max_body_bytes: of a request, to be answered with 413 through the filter's own encode hooks; of
   *  a response, with 500. */
  onBodyTooLarge(direction: Direction): void;
  /** Maps for the log hook that the next onLogRun names. */
  onLogHeaders(type: HeaderType, block: HeaderBlock): void;
  /** Runs that log hook. attributes: the declared ones as they are now, as in StreamStart. */
  onLogRun(kind: LogKind, attributes: Uint8Array): void;
  /** bytes: a header block, body bytes, or (Failed) latin1 words, see CallFailure; the receiver's own memory. */
  onCallEvent(call: number, part: CallEventPart, end: boolean, bytes: Uint8Array): void;
  onEnd(reason: EndReason): void;
  onQueryAnswer(id: number, found: boolean, bytes: Uint8Array): void;
}
