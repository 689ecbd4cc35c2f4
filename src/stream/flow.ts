/**
 * One direction of one stream: the headers hook settles, then the body's driver runs, then the trailers hook
 * (docs/lifecycle.md). The author's code may take its time at every step; frames meanwhile wait in the driver.
 */
import { joinBytes, toBytes } from '../body/buffer.js';
import type { StreamAbortedError } from '../api/errors.js';
import { HeaderMapImpl, RequestHeadersImpl, ResponseHeadersImpl } from '../headers/headers.js';
import { type Phase, StatusType } from '../api/types.js';
import type { Chunk, HeaderMap } from '../api/types-data.js';
import { BodyMode, Direction, type HeaderBlock, HeaderType, OutputFlag, trailersOf } from '../base/wire.js';
import type { DataDriver } from '../body/data-driver.js';
import type { FilledDeps } from '../base/deps.js';
import { type BodyDriver, countingDriver, declaresLength, makeDriver } from '../body/drivers.js';
import { BodyCount, isBodiless, wrongLength } from '../headers/framing.js';
import { type FlowStream, type Hook, Hooks, type Kind } from './hooks.js';
import { FlowOutput, type FlowPort, type OutputPort } from '../body/output.js';

const STATUS_WORD = ['Running', 'LocalReply', 'Continue', 'StopAndBuffer', 'StopAndBufferWatermark', 'StopNoBuffer'];

export class Flow extends Hooks implements OutputPort {
  readonly port: FlowPort;
  headers: RequestHeadersImpl | ResponseHeadersImpl | undefined;
  trailers: HeaderMapImpl | undefined;
  /** Told of the body mode, when a local reply is made of this flow. */
  onAnswered: ((mode: BodyMode) => void) | undefined;

  private endStream = false;
  /** What follows is no body, and flows past. */
  private tunnel = false;
  private mode: BodyMode = BodyMode.Pass;
  private driver: BodyDriver | undefined;
  private out: FlowOutput | undefined;
  /** Whole-body mode: pieces until the end, which the module sends at once. */
  private gathered: Uint8Array[] | undefined;
  private inputEnded = false;
  private trailersComing = false;
  private bodyDone = false;
  private bypassed = false;
  /** The trailers hook may add bytes: the end is told after it. */
  private lastWithheld = false;
  private added: Uint8Array[] | undefined;
  private addedBefore = 0;
  /** Of a body that goes through the filter. */
  private count: BodyCount | undefined;
  private trailersPromise: Promise<HeaderMap | undefined> | undefined;
  private settleTrailers: { resolve(map: HeaderMap | undefined): void; reject(error: Error): void } | undefined;

  constructor(stream: FlowStream, port: FlowPort, direction: Direction, failType: HeaderType) {
    super(stream, direction, failType);
    this.port = port;
  }

  // ---- from the stream ----

  /** Not held = for information only: no hook runs. */
  receive(block: HeaderBlock, held: boolean, tunnel: boolean): void {
    this.tunnel = tunnel;
    this.headers =
      this.direction === Direction.Request
        ? new RequestHeadersImpl(this.stream, HeaderType.Request, block, held)
        : new ResponseHeadersImpl(this.stream, HeaderType.Response, block, held);
  }

  begin(endStream: boolean): void {
    this.endStream = endStream;
    const { filter } = this.stream;
    const hook = this.direction === Direction.Request ? filter.decodeHeaders : filter.encodeHeaders;
    if (hook === undefined) this.headersSettled(StatusType.Continue);
    else this.call('headers', hook as Hook, this.headers, endStream);
  }

  data(bytes: Uint8Array, last: boolean, trailers: boolean): void {
    if (this.dead || (bytes.length === 0 && !last)) return;
    const { driver, out } = this;
    if (driver === undefined || out === undefined) return;
    out.given(last);
    this.count?.takes(bytes.length);
    if (last) {
      this.inputEnded = true;
      this.trailersComing = trailers;
      if (!trailers) this.settleTrailers?.resolve(undefined);
    }
    if (this.bodyDone) {
      this.past(bytes, last);
      return;
    }
    let whole = bytes;
    if (this.gathered !== undefined) {
      this.gathered.push(bytes);
      if (!last) return;
      whole = joinBytes(this.gathered);
      this.gathered = undefined;
    }
    driver.data(whole, last);
    if (!this.dead) out.turn();
  }

  trailersCame(block: HeaderBlock): void {
    if (this.dead) return;
    // The end of the body first: it may be news.
    if (this.driver !== undefined && !this.inputEnded) this.data(new Uint8Array(0), true, true);
    if (this.hasDied()) return;
    const type = trailersOf(this.direction);
    this.trailers = new HeaderMapImpl(this.stream, type, block, true);
    this.settleTrailers?.resolve(this.trailers);
    if (this.driver === undefined || this.bodyDone) this.runTrailers();
  }

  /** Nothing goes out from here any more: failed, or replied to. What is parked hears of it when the stream ends. */
  kill(): void {
    if (this.dead) return;
    this.dead = true;
    this.out?.dispose();
  }

  /** The stream ended. */
  end(error: () => StreamAbortedError): void {
    this.kill();
    if (this.driver?.busy === true) this.driver.abort(error());
    this.settleTrailers?.reject(error());
    this.settleTrailers = undefined;
  }

  /** A hook or a transform has not finished. */
  get busy(): boolean {
    return this.waiting === 'promise' || this.driver?.busy === true;
  }

  /** The hook or transform that has not finished. */
  get pendingPhase(): Phase | undefined {
    if (this.waiting !== 'nothing') return this.names[this.kind];
    return this.driver?.busy === true ? this.names.transform : undefined;
  }

  /** Writes to maps that are still held go on now. */
  flushWrites(): void {
    if (this.dead) return;
    for (const map of [this.headers, this.trailers]) {
      if (map?.held === true && map.hasOps) this.port.ops(map.type, map.takeOps());
    }
  }

  // ---- from the callbacks ----

  addData(data: Chunk): void {
    const running = this.waiting !== 'nothing' && this.kind !== 'data';
    const late = this.kind === 'trailers' && this.driver !== undefined && !this.lastWithheld;
    if (!running || late) throw this.wrongPhase('addData()', 'only in a headers or trailers hook');
    const bytes = toBytes(data);
    if (bytes.length > 0) (this.added ??= []).push(Uint8Array.prototype.slice.call(bytes));
  }

  injectData(data: Chunk): void {
    if (this.kind !== 'data' || (this.waiting !== 'promise' && this.waiting !== 'continue') || this.out === undefined) {
      throw this.wrongPhase('injectData()', 'only in a data hook that waits, after its first await');
    }
    const bytes = toBytes(data);
    this.out.letGo();
    this.out.write(bytes, false);
    this.out.turn();
  }

  // ---- for the drivers ----

  /** The driver is done with the input and its output is complete but for `tail`. */
  finishBody(tail: Uint8Array | undefined): void {
    if (this.dead || this.bodyDone) return;
    this.bodyDone = true;
    const { out } = this;
    if (this.trailersComing && this.hasTrailersHook) {
      this.lastWithheld = true;
      if (tail !== undefined) out!.write(tail, false);
      out!.turn();
    } else out!.finish(tail);
    if (this.trailers !== undefined) this.runTrailers();
  }

  /** The filter lets go: what it had not consumed comes back, and so does what is on its way here. */
  letPass(rest: Uint8Array[]): void {
    const out = this.out!;
    if (!this.inputEnded && this.mustCount()) {
      this.driver = countingDriver(this, () => out);
      for (const part of rest) this.driver.data(part, false);
      return;
    }
    for (const part of rest) {
      out.consumed(part.length);
      out.write(part, true);
    }
    if (this.inputEnded) {
      this.finishBody(undefined);
      return;
    }
    this.bodyDone = this.bypassed = true;
    this.beforeOutput();
    const fault = this.count?.passes(this.headers!.contentLength());
    if (fault !== undefined) {
      this.fail(this.names.transform, 'TSF_LENGTH_WRONG', fault);
      return;
    }
    out.flush(OutputFlag.Bypass | OutputFlag.Digested);
    out.dispose();
  }

  /** Before bytes or the end go out: held headers go with them. */
  beforeOutput(): void {
    const headers = this.headers!;
    if (!headers.held) return;
    if (headers.writtenLength !== undefined) this.promise(headers);
    const ops = headers.release();
    if (ops.length !== 0) this.port.ops(headers.type, ops);
  }

  /** What the driver makes, on its way to the module. */
  output(
    direction: Direction,
    flags: number,
    acknowledged: number,
    bytes: Uint8Array | undefined,
    owned: boolean,
  ): void {
    const fault = this.count?.makes(bytes?.length ?? 0, (flags & OutputFlag.Last) !== 0);
    if (fault === undefined) this.port.output(direction, flags, acknowledged, bytes, owned);
    else this.fail(this.kind === 'data' ? this.names.data : this.names.transform, 'TSF_LENGTH_WRONG', fault);
  }

  /** The input has ended and trailers come after it. */
  get trailersFollow(): boolean {
    return this.trailersComing;
  }

  /** All of the body comes at once: it was stopped before it began. */
  get whole(): boolean {
    return this.mode === BodyMode.Whole;
  }

  get deps(): FilledDeps {
    return this.stream.deps;
  }

  get ackAt(): number {
    return this.stream.ackAt;
  }

  /** ctx.trailers */
  trailersSoon(): Promise<HeaderMap | undefined> {
    if (this.trailersPromise !== undefined) return this.trailersPromise;
    const none = this.inputEnded && !this.trailersComing;
    if (this.trailers !== undefined || none) this.trailersPromise = Promise.resolve(this.trailers);
    else {
      this.trailersPromise = new Promise((resolve, reject) => (this.settleTrailers = { resolve, reject }));
      this.trailersPromise.catch(() => undefined); // a filter need not look at it
    }
    return this.trailersPromise;
  }

  // ---- inside ----

  protected override settled(kind: Kind, status: StatusType): void {
    if (kind === 'headers') this.headersSettled(status);
    else if (kind === 'data') (this.driver as DataDriver).settled(status);
    else this.trailersSettled(status);
  }

  private headersSettled(status: StatusType): void {
    const headers = this.headers!;
    const stops = status === StatusType.StopAndBuffer || status === StatusType.StopAndBufferWatermark;
    if (status === StatusType.StopNoBuffer || (stops && this.endStream)) {
      const why = stops ? 'but there is no body to wait for' : 'which is for data hooks';
      this.fail(
        this.names.headers,
        'TSF_STATUS_INVALID',
        `${this.names.headers} answered ${STATUS_WORD[status] ?? ''}, ${why}`,
      );
      return;
    }
    const bodiless = this.isBodiless(headers);
    const added = this.added === undefined || bodiless ? undefined : joinBytes(this.added);
    this.added = undefined;
    this.addedBefore = added?.length ?? 0;
    const mode = this.chooseMode(headers, status, bodiless);
    if (mode === undefined) return;
    this.mode = mode;
    const held = mode === BodyMode.Whole || mode === BodyMode.StreamHold;
    // Before the answer: with the answer the headers may go, and these bytes come first.
    if (added !== undefined) this.port.output(this.direction, OutputFlag.Added, 0, added, true);
    if (mode !== BodyMode.Pass) this.out = new FlowOutput(this, this, this.direction, mode === BodyMode.Whole);
    if (mode === BodyMode.Whole) this.gathered = [];
    this.port.answer(headers.type, mode, held ? headers.takeOps() : headers.release());
    if (mode === BodyMode.Stream || mode === BodyMode.StreamHold) {
      this.driver!.start();
      if (!this.dead) this.out?.turn();
    }
    this.onAnswered?.(mode);
  }

  /** undefined: the stream has failed. */
  private chooseMode(headers: HeaderMapImpl, status: StatusType, bodiless: boolean): BodyMode | undefined {
    const output = (): FlowOutput => this.out!;
    if (!this.endStream && !this.tunnel) {
      try {
        this.driver = makeDriver(this, headers, bodiless, output);
      } catch (e) {
        this.stream.authorError(this, this.names.transform, e);
        return undefined;
      }
    }
    const { writtenLength: written } = headers;
    if (this.driver === undefined) {
      if (written === undefined || bodiless || this.tunnel) return BodyMode.Pass;
      const came = this.endStream ? 0 : headers.contentLength();
      if (came !== undefined) {
        const made = came + this.addedBefore;
        if (made === written) return BodyMode.Pass;
        this.fail(this.names.headers, 'TSF_LENGTH_WRONG', wrongLength(written, made));
        return undefined;
      }
      this.driver = countingDriver(this, output);
    }
    if (!bodiless) this.countBody(headers, status);
    if (status === StatusType.StopAndBuffer) return BodyMode.Whole;
    return status === StatusType.StopAndBufferWatermark ? BodyMode.StreamHold : BodyMode.Stream;
  }

  private countBody(headers: HeaderMapImpl, status: StatusType): void {
    const same = declaresLength(this);
    this.count = new BodyCount(same, this.addedBefore);
    if (status === StatusType.StopAndBuffer) return;
    const came = headers.contentLength();
    if (same && came !== undefined && headers.writtenLength === undefined) headers.writeLength(came + this.addedBefore);
    if (status !== StatusType.StopAndBufferWatermark) this.promise(headers);
  }

  /** From here on the body is held to what its headers say. */
  private promise(headers: HeaderMapImpl): void {
    if (this.count !== undefined) this.count.promised = headers.writtenLength;
  }

  private isBodiless(headers: HeaderMapImpl): boolean {
    return headers instanceof ResponseHeadersImpl && isBodiless(headers.status, this.stream.head);
  }

  /** A length was written, and none came that what goes past the filter could be held against. */
  private mustCount(): boolean {
    const { headers, count } = this;
    const written = headers!.held ? headers!.writtenLength : count?.promised;
    return count !== undefined && written !== undefined && headers!.contentLength() === undefined;
  }

  /** Asked after the author's code has run. */
  private hasDied(): boolean {
    return this.dead;
  }

  private get hasTrailersHook(): boolean {
    const { filter } = this.stream;
    return (this.direction === Direction.Request ? filter.decodeTrailers : filter.encodeTrailers) !== undefined;
  }

  /** Input after the filter's last output. It is told to be consumed, or the peer would be kept waiting for ever. */
  private past(bytes: Uint8Array, last: boolean): void {
    const echo = this.bypassed && (bytes.length > 0 || last);
    const flags = echo ? (last ? OutputFlag.Last : OutputFlag.Digested) : 0;
    if (echo || bytes.length > 0)
      this.port.output(this.direction, flags, bytes.length, echo && bytes.length > 0 ? bytes : undefined, true);
  }

  private runTrailers(): void {
    const { filter } = this.stream;
    const hook = this.direction === Direction.Request ? filter.decodeTrailers : filter.encodeTrailers;
    this.kind = 'trailers';
    if (hook === undefined) this.trailersSettled(StatusType.Continue);
    else {
      this.call('trailers', hook as Hook, this.trailers);
      // Still withheld: the hook takes its time, which is counted from here.
      if (this.lastWithheld && !this.dead) this.out!.flush(OutputFlag.Trailing);
    }
  }

  private trailersSettled(status: StatusType): void {
    const trailers = this.trailers!;
    if (status !== StatusType.Continue) {
      this.fail(
        this.names.trailers,
        'TSF_STATUS_INVALID',
        `${this.names.trailers} answered ${STATUS_WORD[status] ?? ''}: nothing comes after trailers`,
      );
      return;
    }
    const added = this.added === undefined ? undefined : joinBytes(this.added);
    this.added = undefined;
    if (this.lastWithheld) {
      this.lastWithheld = false;
      this.out!.finish(added);
    } else if (added !== undefined) this.port.output(this.direction, OutputFlag.Added, 0, added, true);
    this.port.answer(trailers.type, BodyMode.Pass, trailers.release());
  }
}
