/**
 * One stream: hears Envoy (StreamSource), holds the author's filter and the two flows, and keeps the rules that concern
 * all of it: one filter instance, one failure, one reply, one end. Everything that many streams never need is made late.
 */
import { AsyncResource } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import type { Attribute, AttributeTypes } from '../api/attributes.js';
import { Callbacks } from './callbacks.js';
import { type AbortedBy, describeError, FilterError, StreamAbortedError } from '../api/errors.js';
import { checkInstance, checkPhases, phasesOf } from '../api/filter.js';
import type { HeaderMapImpl } from '../headers/headers.js';
import type { HeaderRules } from '../headers/header-rules.js';
import type { Phase, StreamFilter } from '../api/types.js';
import {
  Capability,
  type ActKind,
  type BodyMode,
  type CallEventPart,
  Direction,
  EndReason,
  type HeaderBlock,
  headersOf,
  HeaderType,
  LogKind,
  type OpList,
  PhaseBit,
  PHASES_UNCHANGED,
  type QueryKind,
  type StreamSink,
  type StreamSource,
  type StreamStart,
} from '../base/wire.js';
import { Calls } from './calls.js';
import type { StreamConfig } from './config.js';
import type { FilledDeps } from '../base/deps.js';
import { Flow } from './flow.js';
import type { FlowStream, Hooks } from './hooks.js';
import type { Linger, Lingering } from './linger.js';
import { LogEvents } from './log.js';
import type { FlowPort } from '../body/output.js';
import { Queries } from './queries.js';
import { Replies } from './replies.js';

/** In the order of EndReason. */
const BY: readonly AbortedBy[] = ['complete', 'downstream', 'upstream', 'timeout', 'local_reply', 'host_drain'];
/** Bits of the hooks that run at the end. */
const AT_END = PhaseBit.onLog | PhaseBit.onStreamComplete | PhaseBit.onDestroy;
type LogHook = 'onLogDownstreamStart' | 'onLogDownstreamPeriodic' | 'onLog';
const LOG_HOOKS: readonly [LogHook, LogHook, LogHook] = ['onLogDownstreamStart', 'onLogDownstreamPeriodic', 'onLog'];

export class HttpStream implements StreamSource, FlowStream, FlowPort, Lingering {
  readonly config: StreamConfig;
  readonly start: StreamStart;
  readonly sink: StreamSink;
  readonly deps: FilledDeps;
  request: Flow | undefined;
  response: Flow | undefined;
  /** Nothing is said to Envoy any more. */
  over = false;
  ended: EndReason | undefined;
  private failed = false;
  /** onLog runs; Envoy's stream is gone. */
  private inLastLog = false;

  private readonly linger: Linger;
  private made: StreamFilter | undefined;
  private bits = 0;
  private subscribed = false;
  private resource: AsyncResource | undefined;
  /** The phase whose code is on the stack. */
  private stack: Phase | undefined;
  private depth = 0;
  private after: (() => void) | undefined;
  private controller: AbortController | undefined;
  private abortError: StreamAbortedError | undefined;
  private id: string | undefined;
  private maybeEvents: LogEvents | undefined;
  /** Envoy's stream is over; nothing more can be asked of it. */
  private gone = false;
  private logged = false;
  private makeFailed = false;
  private maybeQueries: Queries | undefined;
  private maybeCalls: Calls | undefined;
  private maybeReplies: Replies | undefined;

  constructor(config: StreamConfig, start: StreamStart, sink: StreamSink, deps: FilledDeps, linger: Linger) {
    this.config = config;
    this.start = start;
    this.sink = sink;
    this.deps = deps;
    this.linger = linger;
  }

  // ---- StreamSource ----

  onHeaders(type: HeaderType, block: HeaderBlock, endStream: boolean, context: boolean, tunnel: boolean): void {
    if (this.over) return;
    try {
      if (type === HeaderType.RequestTrailers) this.trailersCame(Direction.Request, block);
      else if (type === HeaderType.ResponseTrailers) this.trailersCame(Direction.Response, block);
      else this.headersCame(type, block, endStream, context, tunnel);
    } catch (e) {
      this.fail(type, undefined, e);
    }
  }

  onData(direction: Direction, bytes: Uint8Array, last: boolean, trailers: boolean): void {
    if (this.over) return;
    try {
      const flow = direction === Direction.Request ? this.request : this.response;
      flow?.data(bytes, last, trailers);
    } catch (e) {
      this.fail(headersOf(direction), undefined, e);
    }
  }

  onBodyTooLarge(direction: Direction): void {
    if (!this.over && this.maybeReplies?.replied !== true) this.bodyTooLarge(direction);
  }

  onLogHeaders(type: HeaderType, block: HeaderBlock): void {
    this.events.headers(type, block);
  }

  onLogRun(kind: LogKind, attributes: Uint8Array): void {
    if (this.gone || (this.over && kind !== LogKind.End)) return;
    this.events.run(attributes, kind === LogKind.End);
    const phase = LOG_HOOKS[kind];
    if (kind === LogKind.End) this.over = this.gone = true;
    // A filter that has seen nothing but log events is made for them.
    if (this.made === undefined && !this.failed && !this.makeFailed) {
      try {
        this.create();
      } catch (e) {
        // No log event fails a stream. Headers that come will try again.
        this.makeFailed = true;
        this.logError(undefined, e, `for ${phase}`);
      }
    }
    if (kind === LogKind.End) {
      this.inLastLog = true;
      this.runOnLog(true);
      this.inLastLog = false;
    } else this.logHook(phase, true);
  }

  onCallEvent(call: number, part: CallEventPart, end: boolean, bytes: Uint8Array): void {
    this.maybeCalls?.event(call, part, end, bytes);
  }

  onEnd(reason: EndReason): void {
    if (this.ended !== undefined) return;
    this.ended = reason;
    this.over = this.gone = true;
    const { request, response } = this;
    const { busy } = this;
    // Our own reply is how this stream was meant to end.
    const replied = reason === EndReason.LocalReply && this.maybeReplies?.replied === true;
    const normal = !this.failed && (reason === EndReason.Complete || replied);
    // A hook that still works at a normal end, say on a request that the upstream did not read to its end, is told too.
    const by = this.failed ? 'local_reply' : BY[reason]!;
    if (!normal || busy) this.abort(by);
    const error = (): StreamAbortedError => (this.abortError ??= new StreamAbortedError(by));
    request?.end(error);
    response?.end(error);
    this.maybeReplies?.end();
    this.maybeQueries?.end(error);
    this.maybeCalls?.end(error);
    if ((this.bits & AT_END) !== 0)
      this.lastHooks(normal ? 'complete' : reason === EndReason.HostDrain ? 'host_drain' : 'reset');
    this.config.release();
    if (this.busy) this.linger.watch(this);
  }

  onQueryAnswer(id: number, found: boolean, bytes: Uint8Array): void {
    this.maybeQueries?.answer(id, found, bytes);
  }

  // ---- FlowPort: to Envoy ----

  answer(type: HeaderType, mode: BodyMode, ops: OpList): void {
    if (this.over) return;
    const phases = this.subscribed ? PHASES_UNCHANGED : this.bits;
    this.subscribed = true;
    this.sink.answer(type, mode, phases, ops);
  }

  ops(type: HeaderType, ops: OpList): void {
    if (!this.over) this.sink.ops(type, ops);
  }

  output(
    direction: Direction,
    flags: number,
    acknowledged: number,
    bytes: Uint8Array | undefined,
    owned: boolean,
  ): void {
    if (!this.over) this.sink.output(direction, flags, acknowledged, bytes, owned);
  }

  backpressure(direction: Direction): Promise<void> | undefined {
    return this.sink.backpressure(direction);
  }

  // ---- FlowStream ----

  get filter(): StreamFilter {
    return this.made!;
  }

  get rules(): HeaderRules {
    return this.config.rules;
  }

  get grpc(): boolean {
    return this.start.grpc;
  }

  get head(): boolean {
    return this.start.head;
  }

  get ackAt(): number {
    return this.config.streamWindow >>> 2;
  }

  get maxBodyBytes(): number {
    return this.config.maxBodyBytes;
  }

  get phase(): Phase | undefined {
    return this.stack ?? this.response?.pendingPhase ?? this.request?.pendingPhase;
  }

  get signal(): AbortSignal {
    if (this.controller === undefined) {
      this.controller = new AbortController();
      if (this.abortError !== undefined) this.controller.abort(this.abortError);
    }
    return this.controller.signal;
  }

  run<R>(phase: Phase | undefined, fn: (...args: never[]) => R, self: unknown, a?: unknown, b?: unknown): R {
    // One context per stream: what a filter enters with AsyncLocalStorage stays in its stream.
    const resource = (this.resource ??= new AsyncResource('ts_filter.stream', { requireManualDestroy: true }));
    const before = this.stack;
    this.stack = phase;
    this.depth++;
    try {
      return resource.runInAsyncScope(fn as (...args: unknown[]) => R, self, a, b);
    } finally {
      this.stack = before;
      if (--this.depth === 0 && this.after !== undefined) {
        const { after } = this;
        this.after = undefined;
        after();
      }
    }
  }

  bodyTooLarge(direction: Direction): void {
    try {
      this.replies.tooLarge(direction);
    } catch (e) {
      // The response has gone to the client: no reply is possible.
      this.fail(headersOf(direction), undefined, e);
    }
  }

  authorError(flow: Hooks, phase: Phase, error: unknown): void {
    this.fail(flow.failType, phase, error);
  }

  lateError(phase: Phase, error: unknown): void {
    // What the end of the stream itself threw into the author's code is no news.
    if (error === this.abortError) return;
    this.logError(phase, error, this.gone ? 'after its stream had ended' : 'after it had replied or failed');
  }

  settledLate(): void {
    if (this.ended !== undefined && !this.busy) this.linger.settled(this);
  }

  // ---- for callbacks and replies ----

  get filterName(): string {
    return this.config.definition.name;
  }

  get requestId(): string {
    return (this.id ??= this.requestHeaders?.get('x-request-id') ?? randomUUID());
  }

  /** As the stream's hooks have them, else as the latest log event brought them. */
  get requestHeaders(): HeaderMapImpl | undefined {
    return this.request?.headers ?? this.maybeEvents?.map(HeaderType.Request);
  }

  get pendingPhase(): Phase | undefined {
    return this.response?.pendingPhase ?? this.request?.pendingPhase;
  }

  /** Runs once no code of the author's is on the stack. */
  later(task: () => void): void {
    if (this.depth > 0) this.after = task;
    else queueMicrotask(task);
  }

  get replies(): Replies {
    return (this.maybeReplies ??= new Replies(this));
  }

  get calls(): Calls {
    return (this.maybeCalls ??= new Calls(this));
  }

  /** Header writes that wait go first, so that Envoy answers and acts by what the filter sees. */
  flushWrites(): void {
    this.request?.flushWrites();
    this.response?.flushWrites();
  }

  /** Arguments as in the schema's Act, by kind. */
  act(kind: ActKind, detail: number, id: number, number: number, block: Uint8Array): void {
    if (!this.gone) this.flushWrites();
    this.sink.act(kind, detail, id, number, block);
  }

  /** undefined = Envoy has no value. Arguments as in the schema's Query, by kind. */
  query<T>(kind: QueryKind, key: number, block: Uint8Array, decode: (bytes: Uint8Array) => T): Promise<T | undefined> {
    this.flushWrites();
    return this.queries.ask(kind, key, block, decode);
  }

  /** undefined = Envoy has no value. Once the stream is over, what onLog was told answers. */
  attribute<K extends Attribute>(name: K, call: string): Promise<AttributeTypes[K] | undefined> {
    const { maybeEvents: events } = this;
    if (events?.final === true && events.declares(name)) return Promise.resolve(events.attributes[name]);
    this.assertAlive(call, this.gone ? `; declare ${JSON.stringify(name)} in \`attributes\` to have it in onLog` : '');
    this.flushWrites();
    return this.queries.attribute(name);
  }

  /** The author's mistake, or ours: once, the rest is only logged. */
  fail(type: HeaderType, phase: Phase | undefined, error: unknown): void {
    if (this.over) {
      this.lateError(phase ?? 'decodeHeaders', error);
      return;
    }
    this.over = this.failed = true;
    this.request?.kill();
    this.response?.kill();
    this.logError(phase, error, '');
    this.sink.fail(type, `${this.filterName}: ${phase === undefined ? '' : `${phase}: `}${describeError(error)}`);
  }

  /** As assertAlive, but Envoy from 1.39 on takes metrics from the last log hook, too. */
  assertRecordable(call: string): void {
    const late = this.inLastLog && (this.config.capabilities & Capability.LateMetrics) !== 0;
    if (!late) this.assertAlive(call);
  }

  /** Throws once the stream has ended; `call` is how the author knows it, `mend` what to do about it. */
  assertAlive(call: string, mend = ''): void {
    if (!this.over) return;
    const { phase } = this;
    const why = this.gone ? 'has ended' : 'has failed';
    throw new FilterError(
      'TSF_STREAM_ENDED',
      `${call}${phase === undefined ? '' : ` in ${phase}`}: the stream ${why}${mend}`,
      phase,
    );
  }

  /** What a stream that is one try of a request, behind Envoy's router, cannot do. */
  assertDownstream(call: string): void {
    if (!this.start.upstream) return;
    throw new FilterError('TSF_UPSTREAM', `${call}: not in an upstream HTTP filter`, this.phase);
  }

  // ---- inside ----

  private get queries(): Queries {
    return (this.maybeQueries ??= new Queries(this.sink));
  }

  /** A hook, a transform or a streamed reply has not finished. */
  private get busy(): boolean {
    return this.request?.busy === true || this.response?.busy === true || this.maybeReplies?.busy === true;
  }

  private headersCame(
    type: HeaderType,
    block: HeaderBlock,
    endStream: boolean,
    context: boolean,
    tunnel: boolean,
  ): void {
    const direction = type === HeaderType.Request ? Direction.Request : Direction.Response;
    if (direction === Direction.Response && this.maybeReplies?.replied === true) return; // the reply has the word
    const flow = this.newFlow(direction, type);
    flow.receive(block, !context, tunnel);
    if (context || (this.made === undefined && !this.make(type))) return;
    flow.begin(endStream);
  }

  private trailersCame(direction: Direction, block: HeaderBlock): void {
    let flow = direction === Direction.Request ? this.request : this.response;
    if (flow === undefined) {
      // The trailers hook is all that the filter has in this direction: headers and body were never sent.
      if (direction === Direction.Response && this.maybeReplies?.replied === true) return;
      const type = headersOf(direction);
      flow = this.newFlow(direction, type);
      if (this.made === undefined && !this.make(type)) return;
    }
    flow.trailersCame(block);
  }

  private newFlow(direction: Direction, type: HeaderType): Flow {
    const flow = new Flow(this, this, direction, type);
    if (direction === Direction.Request) this.request = flow;
    else {
      // Another filter's streamed reply begins the response anew.
      this.response?.kill();
      this.response = flow;
    }
    return flow;
  }

  private make(type: HeaderType): boolean {
    try {
      this.create();
      return true;
    } catch (e) {
      this.fail(type, undefined, e);
      return false;
    }
  }

  private create(): void {
    const { config } = this;
    const { definition } = config;
    const filter: unknown = this.run(
      undefined,
      definition.create as () => unknown,
      definition,
      config.value,
      new Callbacks(this),
    );
    if (!config.checked) {
      checkInstance(filter);
      config.checked = true;
    }
    const bits = phasesOf(filter as StreamFilter);
    checkPhases(bits, config.declared);
    this.bits = bits;
    this.made = filter as StreamFilter;
  }

  private abort(by: AbortedBy): void {
    this.abortError = new StreamAbortedError(by);
    this.controller?.abort(this.abortError);
  }

  private get events(): LogEvents {
    return (this.maybeEvents ??= new LogEvents(this, this.config.attributes, this.start.attributes));
  }

  private lastHooks(reason: 'complete' | 'reset' | 'host_drain'): void {
    const { made } = this;
    if (made === undefined) return;
    this.runOnLog(false);
    if (made.onStreamComplete !== undefined) this.lastHook('onStreamComplete', made.onStreamComplete, undefined);
    if (made.onDestroy !== undefined) this.lastHook('onDestroy', made.onDestroy as () => unknown, reason);
  }

  /** Once. */
  private runOnLog(fresh: boolean): void {
    if (this.logged) return;
    this.logged = true;
    this.logHook('onLog', fresh);
  }

  private logHook(phase: LogHook, fresh: boolean): void {
    const hook = this.made?.[phase];
    if (hook === undefined) return;
    const entry = this.events.entry(fresh, (type) => {
      const flow = type < HeaderType.Response ? this.request : this.response;
      return type === HeaderType.Request || type === HeaderType.Response ? flow?.headers : flow?.trailers;
    });
    this.lastHook(phase, hook as () => unknown, entry);
  }

  private lastHook(phase: Phase | 'onDestroy', hook: () => unknown, argument: unknown): void {
    const threw = (e: unknown): void => {
      if (this.gone) {
        this.lateError(phase as Phase, e);
        return;
      }
      this.logError(phase as Phase, e, '');
    };
    try {
      const result = this.run(phase as Phase, hook, this.made, argument);
      if (result instanceof Promise) result.catch(threw);
    } catch (e) {
      threw(e);
    }
  }

  private logError(phase: Phase | undefined, error: unknown, when: string): void {
    const fields = {
      err: error,
      filter: this.filterName,
      requestId: this.requestId,
      phase,
      worker: this.start.workerId,
    };
    this.deps.logger.error(fields, `${phase ?? 'create'}${when === '' ? '' : ` ${when}`}: ${describeError(error)}`);
  }
}
