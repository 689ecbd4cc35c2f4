/**
 * One stream: hears Envoy (StreamSource), holds the author's filter and the two flows, and keeps the rules that concern
 * all of it: one filter instance, one failure, one reply, one end. Everything that many streams never need is made late.
 */
import { describeError } from '../api/errors.js';
import type { LogEntry, Phase } from '../api/types.js';
import type { FilledDeps } from '../base/deps.js';
import {
  type CallEventPart,
  Direction,
  directionOf,
  type EndReason,
  type Follows,
  type HeaderBlock,
  HeadersTrait,
  headersOf,
  HeaderType,
  LogKind,
  type StreamSink,
  type StreamSource,
  type StreamStart,
} from '../base/wire.js';
import type { Author } from '../body/ports.js';
import type { HeaderMapImpl } from '../headers/headers.js';
import { Callbacks, type CallbacksPort } from './callbacks.js';
import { Calls, type CallsPort } from './calls.js';
import type { StreamConfig } from './config.js';
import { Envoy, type EnvoyStream } from './envoy.js';
import { Flow } from './flow.js';
import { Instance, type LogHook } from './instance.js';
import { Journal } from './journal.js';
import { Life } from './life.js';
import type { Linger, Lingering } from './linger.js';
import { LogEvents } from './log.js';
import { Replies, type ReplyStream } from './replies.js';
import { Scope } from './scope.js';

/** By LogKind. */
const LOG_HOOKS: readonly [LogHook, LogHook, LogHook] = ['onLogDownstreamStart', 'onLogDownstreamPeriodic', 'onLog'];

export class HttpStream implements StreamSource, ReplyStream, CallbacksPort, CallsPort, EnvoyStream, Lingering {
  readonly config: StreamConfig;
  readonly start: StreamStart;
  readonly sink: StreamSink;
  readonly deps: FilledDeps;
  readonly scope: Scope;
  readonly life: Life;
  readonly journal: Journal;
  readonly instance: Instance;
  readonly envoy: Envoy;
  request: Flow | undefined;
  response: Flow | undefined;
  maybeEvents: LogEvents | undefined;
  private readonly linger: Linger;
  private maybeCalls: Calls | undefined;
  private maybeReplies: Replies | undefined;

  constructor(config: StreamConfig, start: StreamStart, sink: StreamSink, deps: FilledDeps, linger: Linger) {
    this.config = config;
    this.start = start;
    this.sink = sink;
    this.deps = deps;
    this.linger = linger;
    this.scope = new Scope(this);
    this.life = new Life(this.scope, start, config.capabilities);
    this.journal = new Journal(config.definition.name, start.workerId, deps, this);
    this.instance = new Instance(config, this.scope, this.life, this.journal);
    this.envoy = new Envoy(this, this.life);
  }

  // ---- StreamSource ----

  onHeaders(type: HeaderType, block: HeaderBlock, traits: number): void {
    if (this.life.over) return;
    try {
      if (type === HeaderType.RequestTrailers) this.trailersCame(Direction.Request, block);
      else if (type === HeaderType.ResponseTrailers) this.trailersCame(Direction.Response, block);
      else {
        const flow = this.openFlow(type);
        if (flow === undefined) return;
        if ((traits & HeadersTrait.Context) !== 0) flow.inform(block);
        else {
          flow.receive(block);
          if (!this.make(type)) return;
          const endStream = (traits & HeadersTrait.EndStream) !== 0;
          if ((traits & HeadersTrait.Tunnel) !== 0) flow.beginTunnel(endStream);
          else flow.begin(endStream);
        }
      }
    } catch (e) {
      this.fail(type, undefined, e);
    }
  }

  onData(direction: Direction, bytes: Uint8Array, follows: Follows): void {
    if (this.life.over) return;
    try {
      this.flowOf(direction)?.data(bytes, follows);
    } catch (e) {
      this.fail(headersOf(direction), undefined, e);
    }
  }

  onBodyTooLarge(direction: Direction): void {
    if (!this.life.over && !this.replied) this.bodyTooLarge(direction);
  }

  onLogHeaders(type: HeaderType, block: HeaderBlock): void {
    this.events.headers(type, block);
  }

  onLogRun(kind: LogKind, attributes: Uint8Array): void {
    const { life, instance } = this;
    const final = kind === LogKind.End;
    if (life.gone || (life.over && !final)) return;
    this.events.run(attributes, final);
    const phase = LOG_HOOKS[kind];
    if (final) life.leave();
    instance.createForLog(phase, () => new Callbacks(this));
    const entry = (): LogEntry => this.entry(true);
    if (final) {
      life.lastLog(() => {
        instance.onLog(entry);
      });
    } else instance.logHook(phase, entry);
  }

  onCallEvent(call: number, part: CallEventPart, end: boolean, bytes: Uint8Array): void {
    this.maybeCalls?.event(call, part, end, bytes);
  }

  onEnd(reason: EndReason): void {
    const { life, request, response, instance } = this;
    if (life.ended !== undefined) return;
    const how = life.end(reason, { replied: this.replied, busy: this.busy });
    const error = life.abortedError;
    request?.end(error);
    response?.end(error);
    this.maybeReplies?.end();
    this.envoy.end(error);
    this.maybeCalls?.end(error);
    instance.end(how, () => this.entry(false));
    this.config.release();
    if (this.busy) this.linger.watch(this);
  }

  onQueryAnswer(id: number, found: boolean, bytes: Uint8Array): void {
    this.envoy.answered(id, found, bytes);
  }

  // ---- for the flows ----

  get author(): Author {
    return this.instance;
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

  bodyTooLarge(direction: Direction): void {
    try {
      this.replies.tooLarge(direction);
    } catch (e) {
      // The response has gone to the client: no reply is possible.
      this.fail(headersOf(direction), undefined, e);
    }
  }

  authorError(type: HeaderType, phase: Phase, error: unknown): void {
    this.fail(type, phase, error);
  }

  settledLate(): void {
    if (this.life.ended !== undefined && !this.busy) this.linger.settled(this);
  }

  // ---- for callbacks, calls and replies ----

  get replies(): Replies {
    return (this.maybeReplies ??= new Replies(this));
  }

  get calls(): Calls {
    return (this.maybeCalls ??= new Calls(this));
  }

  get requestHeaders(): HeaderMapImpl | undefined {
    return this.request?.headers ?? this.maybeEvents?.map(HeaderType.Request);
  }

  later(task: () => void): void {
    this.scope.later(task);
  }

  flushWrites(): void {
    this.request?.flushWrites();
    this.response?.flushWrites();
  }

  // ---- for those who watch it ----

  get filterName(): string {
    return this.journal.filterName;
  }

  get requestId(): string {
    return this.journal.requestId;
  }

  get pendingPhase(): Phase | undefined {
    return this.response?.pendingPhase ?? this.request?.pendingPhase;
  }

  // ---- inside ----

  /** A hook, a transform or a streamed reply has not finished. */
  private get busy(): boolean {
    return this.request?.busy === true || this.response?.busy === true || this.maybeReplies?.busy === true;
  }

  private get replied(): boolean {
    return this.maybeReplies?.replied === true;
  }

  private flowOf(direction: Direction): Flow | undefined {
    return direction === Direction.Request ? this.request : this.response;
  }

  /** The author's mistake, or ours: once, the rest is only logged. */
  private fail(type: HeaderType, phase: Phase | undefined, error: unknown): void {
    const { life, journal, instance } = this;
    if (life.over) {
      instance.lateError(phase ?? 'decodeHeaders', error);
      return;
    }
    life.fail();
    this.request?.kill();
    this.response?.kill();
    journal.error(phase, error);
    const where = phase === undefined ? '' : `${phase}: `;
    this.sink.fail(type, `${journal.filterName}: ${where}${describeError(error)}`);
  }

  private trailersCame(direction: Direction, block: HeaderBlock): void {
    let flow = this.flowOf(direction);
    if (flow === undefined) {
      // The trailers hook is all that the filter has in this direction: headers and body were never sent.
      const type = headersOf(direction);
      flow = this.openFlow(type);
      if (flow === undefined || !this.make(type)) return;
    }
    flow.trailersCame(block);
  }

  /** undefined: a reply has the word. */
  private openFlow(type: HeaderType): Flow | undefined {
    if (type === HeaderType.Request) return (this.request = new Flow(this, this.envoy, Direction.Request, type));
    if (this.replied) return undefined;
    // Another filter's streamed reply begins the response anew.
    this.response?.kill();
    return (this.response = new Flow(this, this.envoy, Direction.Response, type));
  }

  /** false: the stream has failed. */
  private make(type: HeaderType): boolean {
    if (this.instance.exists) return true;
    try {
      this.instance.create(new Callbacks(this));
      return true;
    } catch (e) {
      this.fail(type, undefined, e);
      return false;
    }
  }

  private get events(): LogEvents {
    return (this.maybeEvents ??= new LogEvents(this.instance, this.config.attributes, this.start.attributes));
  }

  /** `fresh`: for the latest log event; else for an end whose event was lost. */
  private entry(fresh: boolean): LogEntry {
    // A map as the stream's own hooks have it.
    return this.events.entry(fresh, (type) => {
      const own = type === HeaderType.Request || type === HeaderType.Response;
      const flow = this.flowOf(directionOf(type));
      return own ? flow?.headers : flow?.trailers;
    });
  }
}
