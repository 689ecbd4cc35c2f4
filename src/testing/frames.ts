/** The module's side of the codec: frames to the host as bytes, and what the host says as objects (schema/exchange.fbs). */
import { Builder, ByteBuffer } from 'flatbuffers';
import * as schema from '../channel/codec/generated/index.js';
import { u32 } from '../base/header-block.js';
import type {
  ActKind,
  BodyMode,
  CallEventPart,
  CreditOf,
  Direction,
  EndReason,
  HeaderBlock,
  HeaderOp,
  HeaderType,
  LogKind,
  OpList,
  QueryKind,
} from '../base/wire.js';

const { FrameKind } = schema;

/** A stream's number; valid only with its generation. */
export interface StreamId {
  readonly stream: number;
  readonly generation: number;
}

export interface HeadersFrame {
  readonly type: HeaderType;
  /** HeadersFlag bits. */
  readonly flags: number;
  readonly block: HeaderBlock;
  readonly config?: number;
  readonly route?: number;
  readonly attempt?: number;
  readonly worker?: number;
  /** Opens the block of a stream's first frame. */
  readonly attributes?: Uint8Array;
}

/** A frame for the ring. */
export interface Frame {
  readonly kind: schema.FrameKind;
  readonly bytes: Uint8Array;
}

const NOTHING = new Uint8Array(0);

function made(kind: schema.FrameKind, build: (b: Builder) => number): Frame {
  const b = new Builder(256);
  b.finish(build(b));
  return { kind, bytes: b.asUint8Array() };
}

/** A byte vector of payload, aligned as the schema has it. */
function payload(b: Builder, bytes: Uint8Array): number {
  b.prep(8, bytes.length);
  return b.createByteVector(bytes);
}

// ---- to the host ----

export function headersFrame({ stream, generation }: StreamId, frame: HeadersFrame): Frame {
  const { type, flags, block, config = 1, route = 0, attempt = 1, worker = 0, attributes = NOTHING } = frame;
  const bytes = attributes.length === 0 ? block.bytes : Buffer.concat([attributes, block.bytes]);
  return made(FrameKind.Headers, (b) => {
    const vector = payload(b, bytes);
    const length = attributes.length;
    const { count } = block;
    return schema.Headers.createHeaders(
      b,
      stream,
      generation,
      type,
      flags,
      config,
      route,
      count,
      length,
      attempt,
      worker,
      vector,
    );
  });
}

/** `flags`: DataFlag bits. */
export function dataFrame(id: StreamId, direction: Direction, flags: number, bytes: Uint8Array): Frame {
  return made(FrameKind.Data, (b) =>
    schema.Data.createData(b, id.stream, id.generation, direction, flags, payload(b, bytes)),
  );
}

export function endFrame(id: StreamId, reason: EndReason): Frame {
  return made(FrameKind.End, (b) => schema.End.createEnd(b, id.stream, id.generation, reason));
}

export function creditFrame(id: StreamId, of: CreditOf, bytes: number): Frame {
  return made(FrameKind.Credit, (b) => schema.Credit.createCredit(b, id.stream, id.generation, of, bytes));
}

/** undefined: Envoy has no value. */
export function queryAnswerFrame(id: StreamId, query: number, value: Uint8Array | undefined): Frame {
  return made(FrameKind.QueryAnswer, (b) => {
    const vector = payload(b, value ?? NOTHING);
    return schema.QueryAnswer.createQueryAnswer(b, id.stream, id.generation, query, value !== undefined, vector);
  });
}

export function callEventFrame(
  id: StreamId,
  call: number,
  part: CallEventPart,
  end: boolean,
  bytes: Uint8Array,
): Frame {
  return made(FrameKind.CallEvent, (b) =>
    schema.CallEvent.createCallEvent(b, id.stream, id.generation, call, part, end, payload(b, bytes)),
  );
}

export function logRunFrame(id: StreamId, kind: LogKind, attributes: Uint8Array): Frame {
  return made(FrameKind.LogRun, (b) =>
    schema.LogRun.createLogRun(b, id.stream, id.generation, kind, payload(b, attributes)),
  );
}

// ---- from the host ----

/** What the host says, by the names of its tables. */
export type Said =
  | {
      readonly is: 'answer';
      readonly type: HeaderType;
      readonly mode: BodyMode;
      readonly phases: number;
      readonly ops: OpList;
    }
  | { readonly is: 'ops'; readonly type: HeaderType; readonly ops: OpList }
  | {
      readonly is: 'output';
      readonly direction: Direction;
      /** OutputFlag bits. */
      readonly flags: number;
      readonly acknowledged: number;
      readonly bytes: Uint8Array;
    }
  | {
      readonly is: 'localReply';
      readonly status: number;
      readonly grpcStatus: number;
      readonly details: string;
      readonly headers: string[];
      readonly body: Uint8Array;
    }
  | { readonly is: 'replyHeaders'; readonly headers: string[]; readonly end: boolean }
  | { readonly is: 'replyTrailers'; readonly headers: string[]; readonly end: boolean }
  | { readonly is: 'replyData'; readonly bytes: Uint8Array; readonly end: boolean }
  | { readonly is: 'fail'; readonly type: HeaderType; readonly text: string }
  | {
      readonly is: 'query';
      readonly query: number;
      readonly kind: QueryKind;
      readonly key: number;
      readonly block: Uint8Array;
    }
  | Act
  | {
      readonly is: 'callStart';
      readonly call: number;
      readonly cluster: string;
      readonly timeout: number;
      readonly headers: string[];
      readonly end: boolean;
    }
  | { readonly is: 'callData'; readonly call: number; readonly bytes: Uint8Array; readonly end: boolean }
  | { readonly is: 'callTrailers'; readonly call: number; readonly headers: string[] }
  | { readonly is: 'callCancel'; readonly call: number }
  | { readonly is: 'log'; readonly level: number; readonly text: string }
  | { readonly is: 'extend'; readonly milliseconds: number };

export interface Act {
  readonly is: 'act';
  readonly kind: ActKind;
  readonly detail: number;
  readonly id: number;
  readonly number: number;
  readonly block: Uint8Array;
}

/** Every frame opens with the stream's id. `bytes`: memory of the ring, from which all is copied. */
export function readSaid(kind: number, bytes: Uint8Array, offset: number): { id: StreamId; said: Said | undefined } {
  const buffer = new ByteBuffer(bytes);
  buffer.setPosition(offset);
  const head = schema.Answer.getRootAsAnswer(buffer);
  return { id: { stream: head.stream(), generation: head.generation() }, said: said(kind, buffer) };
}

function said(kind: number, b: ByteBuffer): Said | undefined {
  switch (kind) {
    case FrameKind.Answer: {
      const t = schema.Answer.getRootAsAnswer(b);
      return { is: 'answer', type: t.type(), mode: t.mode(), phases: t.phases(), ops: opsOf(own(t.blockArray())) };
    }
    case FrameKind.Ops: {
      const t = schema.Ops.getRootAsOps(b);
      return { is: 'ops', type: t.type(), ops: opsOf(own(t.blockArray())) };
    }
    case FrameKind.Output: {
      const t = schema.Output.getRootAsOutput(b);
      const bytes = own(t.bytesArray());
      return { is: 'output', direction: t.direction(), flags: t.flags(), acknowledged: t.acknowledged(), bytes };
    }
    case FrameKind.LocalReply:
      return localReply(schema.LocalReply.getRootAsLocalReply(b));
    case FrameKind.Reply:
      return reply(schema.Reply.getRootAsReply(b));
    case FrameKind.Fail: {
      const t = schema.Fail.getRootAsFail(b);
      return { is: 'fail', type: t.type(), text: own(t.blockArray()).toString('utf8') };
    }
    case FrameKind.Query: {
      const t = schema.Query.getRootAsQuery(b);
      return { is: 'query', query: t.query(), kind: t.kind(), key: t.key(), block: own(t.blockArray()) };
    }
    case FrameKind.Act: {
      const t = schema.Act.getRootAsAct(b);
      const block = own(t.blockArray());
      return { is: 'act', kind: t.kind(), detail: t.detail(), id: t.id(), number: t.number(), block };
    }
    case FrameKind.Call:
      return call(schema.Call.getRootAsCall(b));
    case FrameKind.Log: {
      const t = schema.Log.getRootAsLog(b);
      return { is: 'log', level: t.level(), text: own(t.blockArray()).toString('utf8') };
    }
    case FrameKind.Extend:
      return { is: 'extend', milliseconds: schema.Extend.getRootAsExtend(b).milliseconds() };
    default:
      return undefined;
  }
}

function localReply(t: schema.LocalReply): Said {
  const block = own(t.blockArray());
  const headersAt = t.detailsLength();
  const bodyAt = headersAt + t.headersLength();
  return {
    is: 'localReply',
    status: t.status(),
    grpcStatus: t.grpcStatus(),
    details: block.toString('latin1', 0, headersAt),
    headers: linesOf(block.subarray(headersAt, bodyAt)),
    body: block.subarray(bodyAt),
  };
}

function reply(t: schema.Reply): Said {
  const block = own(t.blockArray());
  const end = t.end();
  if (t.part() === schema.ReplyPart.Data) return { is: 'replyData', bytes: block, end };
  const headers = linesOf(block);
  if (t.part() === schema.ReplyPart.Headers) return { is: 'replyHeaders', headers, end };
  return { is: 'replyTrailers', headers, end };
}

function call(t: schema.Call): Said {
  const block = own(t.blockArray());
  const id = t.call();
  switch (t.part()) {
    case schema.CallPart.Start: {
      const length = t.clusterLength();
      const headers = linesOf(block.subarray(length));
      const cluster = block.toString('utf8', 0, length);
      return { is: 'callStart', call: id, cluster, timeout: t.timeout(), headers, end: t.end() };
    }
    case schema.CallPart.Data:
      return { is: 'callData', call: id, bytes: block, end: t.end() };
    case schema.CallPart.Trailers:
      return { is: 'callTrailers', call: id, headers: linesOf(block) };
    case schema.CallPart.Cancel:
      return { is: 'callCancel', call: id };
  }
}

const own = (bytes: Uint8Array | null): Buffer => Buffer.from(bytes ?? NOTHING);

/** name, value, name, value … */
export function linesOf(block: Buffer): string[] {
  const lines: string[] = [];
  for (let at = 0; at + 8 <= block.length;) {
    const nameEnd = at + 8 + u32(block, at);
    const valueEnd = nameEnd + u32(block, at + 4);
    lines.push(block.toString('latin1', at + 8, nameEnd), block.toString('latin1', nameEnd, valueEnd));
    at = valueEnd;
  }
  return lines;
}

function opsOf(block: Buffer): OpList {
  const ops: OpList = [];
  for (let at = 0; at + 12 <= block.length;) {
    const nameEnd = at + 12 + u32(block, at + 4);
    const valueEnd = nameEnd + u32(block, at + 8);
    const [name, value] = [block.toString('latin1', at + 12, nameEnd), block.toString('latin1', nameEnd, valueEnd)];
    ops.push(u32(block, at) as HeaderOp, name, value);
    at = valueEnd;
  }
  return ops;
}
