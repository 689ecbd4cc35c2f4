/** The prefixes of every frame that the host writes to a ring, and the places of their numbers. */
import {
  Act,
  ActKind,
  Answer,
  BodyMode,
  Call,
  CallPart,
  Direction,
  Extend,
  Fail,
  FrameKind,
  HeaderType,
  LocalReply,
  Log,
  Ops,
  Output,
  Query,
  QueryKind,
  Reply,
  ReplyPart,
} from './generated/index.js';
import { Template, type Table, type TemplateSpec } from './template.js';

const ONES = 0xffffffff;

// Numbers are zero in a template and patched when it is used.
export const specs = {
  answer: {
    table: Answer,
    vector: true,
    build: (b, v) => Answer.createAnswer(b, 0, 0, 0, 0, 0, v),
  } satisfies TemplateSpec<Answer>,
  ops: { table: Ops, vector: true, build: (b, v) => Ops.createOps(b, 0, 0, 0, v) } satisfies TemplateSpec<Ops>,
  output: {
    table: Output,
    vector: true,
    build: (b, v) => Output.createOutput(b, 0, 0, 0, 0, 0, v),
  } satisfies TemplateSpec<Output>,
  localReply: {
    table: LocalReply,
    vector: true,
    build: (b, v) => LocalReply.createLocalReply(b, 0, 0, 0, 0, 0, 0, v),
  } satisfies TemplateSpec<LocalReply>,
  reply: {
    table: Reply,
    vector: true,
    build: (b, v) => Reply.createReply(b, 0, 0, 0, false, v),
  } satisfies TemplateSpec<Reply>,
  fail: { table: Fail, vector: true, build: (b, v) => Fail.createFail(b, 0, 0, 0, v) } satisfies TemplateSpec<Fail>,
  query: {
    table: Query,
    vector: true,
    build: (b, v) => Query.createQuery(b, 0, 0, 0, 0, 0, v),
  } satisfies TemplateSpec<Query>,
  act: {
    table: Act,
    vector: true,
    build: (b, v) => Act.createAct(b, 0, 0, 0, 0, 0, 0, 0, v),
  } satisfies TemplateSpec<Act>,
  call: {
    table: Call,
    vector: true,
    build: (b, v) => Call.createCall(b, 0, 0, 0, 0, false, 0, 0, v),
  } satisfies TemplateSpec<Call>,
  log: { table: Log, vector: true, build: (b, v) => Log.createLog(b, 0, 0, 0, v) } satisfies TemplateSpec<Log>,
  extend: {
    table: Extend,
    vector: false,
    build: (b) => Extend.createExtend(b, 0, 0, 0),
  } satisfies TemplateSpec<Extend>,
};

/** Every frame opens with the stream's id. */
interface Identified {
  mutate_stream(value: number): boolean;
  mutate_generation(value: number): boolean;
}

class Frame<T extends Identified & Table> extends Template<T> {
  readonly kind: FrameKind;
  readonly stream: number;
  readonly generation: number;

  constructor(kind: FrameKind, spec: TemplateSpec<T>) {
    super(spec);
    this.kind = kind;
    this.stream = this.place((t) => t.mutate_stream(ONES));
    this.generation = this.place((t) => t.mutate_generation(ONES));
  }
}

const answer = new Frame(FrameKind.Answer, specs.answer);
const ops = new Frame(FrameKind.Ops, specs.ops);
const output = new Frame(FrameKind.Output, specs.output);
const localReply = new Frame(FrameKind.LocalReply, specs.localReply);
const reply = new Frame(FrameKind.Reply, specs.reply);
const fail = new Frame(FrameKind.Fail, specs.fail);
const query = new Frame(FrameKind.Query, specs.query);
const act = new Frame(FrameKind.Act, specs.act);
const call = new Frame(FrameKind.Call, specs.call);
const log = new Frame(FrameKind.Log, specs.log);
const extend = new Frame(FrameKind.Extend, specs.extend);

export const frames = { answer, ops, output, localReply, reply, fail, query, act, call, log, extend };

export const places = {
  answer: {
    type: answer.place((t) => t.mutate_type(HeaderType.ResponseTrailers)),
    mode: answer.place((t) => t.mutate_mode(BodyMode.Whole)),
    phases: answer.place((t) => t.mutate_phases(ONES)),
  },
  ops: { type: ops.place((t) => t.mutate_type(HeaderType.ResponseTrailers)) },
  output: {
    direction: output.place((t) => t.mutate_direction(Direction.Response)),
    flags: output.place((t) => t.mutate_flags(255)),
    acknowledged: output.place((t) => t.mutate_acknowledged(ONES)),
  },
  localReply: {
    status: localReply.place((t) => t.mutate_status(ONES)),
    grpcStatus: localReply.place((t) => t.mutate_grpc_status(-1)),
    detailsLength: localReply.place((t) => t.mutate_details_length(ONES)),
    headersLength: localReply.place((t) => t.mutate_headers_length(ONES)),
  },
  reply: {
    part: reply.place((t) => t.mutate_part(ReplyPart.Trailers)),
    end: reply.place((t) => t.mutate_end(true)),
  },
  fail: { type: fail.place((t) => t.mutate_type(HeaderType.ResponseTrailers)) },
  query: {
    query: query.place((t) => t.mutate_query(ONES)),
    kind: query.place((t) => t.mutate_kind(QueryKind.Metric)),
    key: query.place((t) => t.mutate_key(ONES)),
  },
  act: {
    config: act.place((t) => t.mutate_config(ONES)),
    kind: act.place((t) => t.mutate_kind(ActKind.Recreate)),
    detail: act.place((t) => t.mutate_detail(255)),
    id: act.place((t) => t.mutate_id(ONES)),
    // Only the lowest bit is set: it finds the number's first byte.
    number: act.place((t) => t.mutate_number(Number.MIN_VALUE)),
  },
  call: {
    call: call.place((t) => t.mutate_call(ONES)),
    part: call.place((t) => t.mutate_part(CallPart.Cancel)),
    end: call.place((t) => t.mutate_end(true)),
    timeout: call.place((t) => t.mutate_timeout(ONES)),
    clusterLength: call.place((t) => t.mutate_cluster_length(ONES)),
  },
  log: { level: log.place((t) => t.mutate_level(255)) },
  extend: { milliseconds: extend.place((t) => t.mutate_milliseconds(ONES)) },
};
