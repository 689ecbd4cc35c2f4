/**
 * One direction of one stream: the headers hook settles, then the body's driver runs, then the trailers hook
 * (docs/lifecycle.md, "A flow in the host"). The author's code may take its time at every step; frames meanwhile wait in
 * the driver.
 */
import { type Phase, StatusType } from '../api/types.js';
import type { Chunk, HeaderMap } from '../api/types-data.js';
import {
  BodyMode,
  Direction,
  type Follows,
  type HeaderBlock,
  HeaderType,
  OutputFlag,
  trailersOf,
} from '../base/wire.js';
import { joinBytes, toBytes } from '../body/buffer.js';
import { countingDriver, type DriverMaker, driverMaker } from '../body/drivers.js';
import type { FlowPort } from '../body/output.js';
import { type FlowStream, type HookCaller, type HookKind, hookOf } from '../body/ports.js';
import { isBodiless, wrongLength } from '../headers/framing.js';
import { HeaderMapImpl, RequestHeadersImpl, ResponseHeadersImpl } from '../headers/headers.js';
import { type BodyFlow, FlowBody } from './flow-body.js';
import { type FlowEvent, type FlowState, nextState } from './flow-states.js';
import { FlowTrailers } from './flow-trailers.js';
import { Hooks } from './hooks.js';

const STATUS_WORD = ['Running', 'LocalReply', 'Continue', 'StopAndBuffer', 'StopAndBufferWatermark', 'StopNoBuffer'];
const MODE_EVENT: readonly FlowEvent[] = ['pass', 'stream', 'stream', 'gather'];

export class Flow implements BodyFlow, HookCaller {
  readonly stream: FlowStream;
  readonly port: FlowPort;
  readonly direction: Direction;
  /** How a failure here is addressed. */
  readonly failType: HeaderType;
  readonly hooks: Hooks;
  state: FlowState = 'idle';
  headers: RequestHeadersImpl | ResponseHeadersImpl | undefined;
  /** Told of the body mode, when a local reply is made of this flow. */
  onAnswered: ((mode: BodyMode) => void) | undefined;

  private endStream = false;
  /** What follows is no body, and flows past. */
  private tunnel = false;
  /** Only where it goes through the filter. */
  private body: FlowBody | undefined;
  /** Made when somebody waits for them, or when they come. */
  private maybeTrailers: FlowTrailers | undefined;
  private added: Uint8Array[] | undefined;

  constructor(stream: FlowStream, port: FlowPort, direction: Direction, failType: HeaderType) {
    this.stream = stream;
    this.port = port;
    this.direction = direction;
    this.failType = failType;
    this.hooks = new Hooks(this);
  }

  // ---- from the stream ----

  /** Headers for the filter; `begin` or `beginTunnel` comes next. */
  receive(block: HeaderBlock): void {
    this.headers = this.mapOf(block, true);
  }

  /** Headers for information only: no hook runs. */
  inform(block: HeaderBlock): void {
    this.headers = this.mapOf(block, false);
  }

  begin(endStream: boolean): void {
    this.endStream = endStream;
    this.move('headers');
    const hook = hookOf(this.stream.author.filter, this.direction, 'headers');
    if (hook === undefined) this.headersSettled(StatusType.Continue);
    else this.hooks.call('headers', this, hook, this.headers, endStream);
  }

  /** The same where what follows is no body. */
  beginTunnel(endStream: boolean): void {
    this.tunnel = true;
    this.begin(endStream);
  }

  data(bytes: Uint8Array, follows: Follows): void {
    if (!this.dead) this.body?.data(bytes, follows);
  }

  trailersCame(block: HeaderBlock): void {
    if (this.dead) return;
    // The end of the body first: it may be news, and the author's code runs on it.
    this.body?.endWithTrailers();
    if (this.dead) return;
    this.awaited.came(new HeaderMapImpl(this.stream.author, trailersOf(this.direction), block, true));
    this.runTrailers();
  }

  /** Nothing goes out from here any more: failed, or replied to. What is parked hears of it when the stream ends. */
  kill(): void {
    if (this.move('kill')) this.body?.kill();
  }

  /** The stream ended. */
  end(error: () => Error): void {
    this.kill();
    this.body?.end(error);
    this.maybeTrailers?.end(error);
  }

  get dead(): boolean {
    return this.state === 'dead';
  }

  get trailers(): HeaderMapImpl | undefined {
    return this.maybeTrailers?.map;
  }

  /** A hook or a transform has not finished. */
  get busy(): boolean {
    return this.hooks.busy || this.body?.busy === true;
  }

  /** The hook or transform that has not finished. */
  get pendingPhase(): Phase | undefined {
    return this.hooks.pendingPhase ?? (this.body?.busy === true ? this.hooks.names.transform : undefined);
  }

  /** Writes to maps that are still held go on now. */
  flushWrites(): void {
    if (this.dead) return;
    for (const map of [this.headers, this.trailers]) {
      if (map?.held === true && map.hasOps) this.port.ops(map.type, map.takeOps());
    }
  }

  // ---- from the callbacks ----

  continue(status: StatusType): void {
    this.hooks.continue(status);
  }

  addData(data: Chunk): void {
    const { state } = this;
    // Behind a body whose end the module knows, nothing can be added.
    const open = state === 'asking' || state === 'closing' || (state === 'trailers' && this.body === undefined);
    if (!open || !this.hooks.running) throw this.hooks.wrongPhase('addData()', 'only in a headers or trailers hook');
    const bytes = toBytes(data);
    if (bytes.length > 0) (this.added ??= []).push(Uint8Array.prototype.slice.call(bytes));
  }

  injectData(data: Chunk): void {
    const { hooks, body } = this;
    if (hooks.kind !== 'data' || !hooks.returned || body === undefined)
      throw hooks.wrongPhase('injectData()', 'only in a data hook that waits, after its first await');
    body.inject(toBytes(data));
  }

  // ---- from the body ----

  move(event: FlowEvent): boolean {
    const next = nextState(this.state, event);
    if (next === undefined) return false;
    this.state = next;
    return true;
  }

  failed(phase: Phase, error: unknown): void {
    this.stream.authorError(this.failType, phase, error);
  }

  noTrailers(): void {
    this.maybeTrailers?.none();
  }

  trailersSoon(none: boolean): Promise<HeaderMap | undefined> {
    return this.awaited.soon(none);
  }

  bodyMade(): void {
    if (this.trailers !== undefined) this.runTrailers();
  }

  // ---- from the hooks ----

  hookSettled(kind: HookKind, status: StatusType): void {
    if (kind === 'headers') this.headersSettled(status);
    else this.trailersSettled(status);
  }

  // ---- inside ----

  private mapOf(block: HeaderBlock, held: boolean): RequestHeadersImpl | ResponseHeadersImpl {
    const { author } = this.stream;
    return this.direction === Direction.Request
      ? new RequestHeadersImpl(author, HeaderType.Request, block, held)
      : new ResponseHeadersImpl(author, HeaderType.Response, block, held);
  }

  private get awaited(): FlowTrailers {
    return (this.maybeTrailers ??= new FlowTrailers());
  }

  private takeAdded(): Uint8Array | undefined {
    const { added } = this;
    this.added = undefined;
    return added === undefined ? undefined : joinBytes(added);
  }

  private headersSettled(status: StatusType): void {
    if (this.refuses(status)) return;
    const headers = this.headers!;
    const bodiless = headers instanceof ResponseHeadersImpl && isBodiless(headers.status, this.stream.head);
    const taken = this.takeAdded();
    const added = bodiless ? undefined : taken;
    const body = this.openBody(status, bodiless, added?.length ?? 0);
    if (body === undefined) return;
    const through = body === 'passes' ? undefined : body;
    const mode = through?.mode ?? BodyMode.Pass;
    this.body = through;
    this.move(MODE_EVENT[mode]!);
    // Before the answer: with the answer the headers may go, and these bytes come first.
    if (added !== undefined) this.port.output(this.direction, OutputFlag.Added, 0, added, true);
    const held = mode === BodyMode.Whole || mode === BodyMode.StreamHold;
    this.port.answer(headers.type, mode, held ? headers.takeOps() : headers.release());
    through?.start();
    this.onAnswered?.(mode);
  }

  /** A status that no headers hook can answer with fails the stream. */
  private refuses(status: StatusType): boolean {
    const stops = status === StatusType.StopAndBuffer || status === StatusType.StopAndBufferWatermark;
    if (status !== StatusType.StopNoBuffer && !(stops && this.endStream)) return false;
    const { headers } = this.hooks.names;
    const why = stops ? 'but there is no body to wait for' : 'which is for data hooks';
    this.hooks.fault(headers, 'TSF_STATUS_INVALID', `${headers} answered ${STATUS_WORD[status] ?? ''}, ${why}`);
    return true;
  }

  /** `added`: bytes before the body. undefined: the stream has failed. */
  private openBody(status: StatusType, bodiless: boolean, added: number): FlowBody | 'passes' | undefined {
    const headers = this.headers!;
    const { names } = this.hooks;
    let make: DriverMaker | undefined;
    if (!this.endStream && !this.tunnel) {
      try {
        make = driverMaker(this.stream.author.filter, this.direction, bodiless);
      } catch (e) {
        this.failed(names.transform, e);
        return undefined;
      }
    }
    if (make === undefined) {
      const { writtenLength: written } = headers;
      if (written === undefined || bodiless || this.tunnel) return 'passes';
      const came = this.endStream ? 0 : headers.contentLength();
      if (came !== undefined) {
        const made = came + added;
        if (made === written) return 'passes';
        this.hooks.fault(names.headers, 'TSF_LENGTH_WRONG', wrongLength(written, made));
        return undefined;
      }
      make = countingDriver;
    }
    const body = new FlowBody(this, status, make);
    if (!bodiless) body.keepCount(added);
    return body;
  }

  /** Once the body is out of the way: else they wait for it. */
  private runTrailers(): void {
    if (!this.move('trailers')) return;
    const hook = hookOf(this.stream.author.filter, this.direction, 'trailers');
    if (hook === undefined) {
      this.trailersSettled(StatusType.Continue);
      return;
    }
    this.hooks.call('trailers', this, hook, this.trailers);
    if (this.state === 'closing') this.body!.trailing();
  }

  private trailersSettled(status: StatusType): void {
    const { names } = this.hooks;
    if (status !== StatusType.Continue) {
      const word = STATUS_WORD[status] ?? '';
      this.hooks.fault(
        names.trailers,
        'TSF_STATUS_INVALID',
        `${names.trailers} answered ${word}: nothing comes after trailers`,
      );
      return;
    }
    const added = this.takeAdded();
    const closing = this.state === 'closing';
    this.move('answer');
    if (closing) this.body!.close(added);
    else if (added !== undefined) this.port.output(this.direction, OutputFlag.Added, 0, added, true);
    const trailers = this.trailers!;
    this.port.answer(trailers.type, BodyMode.Pass, trailers.release());
  }
}
