/**
 * The body of a flow on its way through the filter: what comes goes to the driver, what the driver makes goes out, and
 * both are counted where the headers promise a length.
 */
import type { KnownErrorCode } from '../api/errors.js';
import { type Phase, StatusType } from '../api/types.js';
import type { HeaderMap } from '../api/types-data.js';
import type { FilledDeps } from '../base/deps.js';
import { BodyMode, type Direction, type Follows, OutputFlag } from '../base/wire.js';
import { joinBytes } from '../body/buffer.js';
import { countingDriver, declaresLength, type DriverMaker } from '../body/drivers.js';
import { FlowOutput, type FlowPort, type OutputOwner, type OutputPort } from '../body/output.js';
import {
  type Author,
  type BodyDriver,
  type BodyHost,
  type FlowStream,
  hookOf,
  type PhaseNames,
} from '../body/ports.js';
import { BodyCount } from '../headers/framing.js';
import type { HeaderMapImpl } from '../headers/headers.js';
import type { FlowEvent, FlowState } from './flow-states.js';
import type { Hooks } from './hooks.js';

/** What a body needs of its flow. */
export interface BodyFlow {
  readonly stream: FlowStream;
  readonly port: FlowPort;
  readonly direction: Direction;
  readonly hooks: Hooks;
  readonly headers: HeaderMapImpl | undefined;
  readonly state: FlowState;
  readonly dead: boolean;
  move(event: FlowEvent): boolean;
  /** The author's code threw. */
  failed(phase: Phase, error: unknown): void;
  /** The input has ended without trailers. */
  noTrailers(): void;
  /** `none`: it is known that there are none. */
  trailersSoon(none: boolean): Promise<HeaderMap | undefined>;
  /** The output is complete, or withheld for the trailers hook. */
  bodyMade(): void;
}

const NO_BYTES = new Uint8Array(0);

/** What a headers hook's status makes of a body that goes through the filter. */
function modeOf(status: StatusType): BodyMode {
  if (status === StatusType.StopAndBuffer) return BodyMode.Whole;
  return status === StatusType.StopAndBufferWatermark ? BodyMode.StreamHold : BodyMode.Stream;
}

export class FlowBody implements BodyHost, OutputOwner, OutputPort {
  readonly mode: BodyMode;
  readonly out: FlowOutput;
  // Of the flow; asked for with every chunk.
  readonly author: Author;
  readonly hooks: Hooks;
  readonly names: PhaseNames;
  readonly direction: Direction;
  private readonly flow: BodyFlow;
  private driver: BodyDriver;
  private count: BodyCount | undefined;
  /** Pieces until the end, which the module sends at once. */
  private gathered: Uint8Array[] | undefined;
  /** What the module has still to send. */
  private input: Follows = 'more';

  constructor(flow: BodyFlow, status: StatusType, make: DriverMaker) {
    this.flow = flow;
    this.author = flow.stream.author;
    this.hooks = flow.hooks;
    this.names = flow.hooks.names;
    this.direction = flow.direction;
    this.mode = modeOf(status);
    this.out = new FlowOutput(this, this, flow.direction, this.whole);
    this.driver = make(this);
  }

  /** Holds the body to what its headers say, or will say. `added`: bytes before it. */
  keepCount(added: number): void {
    const { flow, mode } = this;
    const headers = this.headers;
    const same = declaresLength(flow.stream.author.filter, flow.direction);
    this.count = new BodyCount(same, added);
    if (mode === BodyMode.Whole) return;
    const came = headers.contentLength();
    if (same && came !== undefined && headers.writtenLength === undefined) headers.writeLength(came + added);
    if (mode === BodyMode.Stream) this.promise(headers);
  }

  // ---- from the flow ----

  /** The headers have been answered. */
  start(): void {
    if (this.whole) return;
    this.driver.start();
    if (!this.dead) this.out.turn();
  }

  data(bytes: Uint8Array, follows: Follows): void {
    const last = follows !== 'more';
    if (bytes.length === 0 && !last) return;
    const { out } = this;
    out.given(last);
    this.count?.takes(bytes.length);
    if (last) this.input = follows;
    if (follows === 'nothing') this.flow.noTrailers();
    switch (this.flow.state) {
      case 'gathering':
        (this.gathered ??= []).push(bytes);
        if (last) this.given(this.takeGathered(), true);
        return;
      case 'streaming':
        this.given(bytes, last);
        return;
      case 'letting go':
        this.echo(bytes, last);
        return;
      default:
        // Behind the filter's last output. It is told to be consumed, or the peer would be kept waiting for ever.
        if (bytes.length > 0) this.flow.port.output(this.direction, 0, bytes.length, undefined, true);
    }
  }

  /** Trailers have come, whose frame also ends the body where nothing else did. */
  endWithTrailers(): void {
    if (this.input === 'more') this.data(NO_BYTES, 'trailers');
  }

  /** The trailers hook has settled, which the end had waited for. */
  close(added: Uint8Array | undefined): void {
    this.out.finish(added);
  }

  /** The trailers hook takes its time, which is counted from here. */
  trailing(): void {
    this.out.flush(OutputFlag.Trailing);
  }

  inject(bytes: Uint8Array): void {
    this.out.letGo();
    this.out.write(bytes, false);
    this.out.turn();
  }

  kill(): void {
    this.out.dispose();
  }

  end(error: () => Error): void {
    if (this.driver.busy) this.driver.abort(error());
  }

  get busy(): boolean {
    return this.driver.busy;
  }

  // ---- BodyHost ----

  get dead(): boolean {
    return this.flow.dead;
  }

  get headers(): HeaderMapImpl {
    return this.flow.headers!;
  }

  get trailersFollow(): boolean {
    return this.input === 'trailers';
  }

  get whole(): boolean {
    return this.mode === BodyMode.Whole;
  }

  get maxBodyBytes(): number {
    return this.flow.stream.maxBodyBytes;
  }

  room(): Promise<void> | undefined {
    return this.flow.port.backpressure(this.flow.direction);
  }

  trailersSoon(): Promise<HeaderMap | undefined> {
    return this.flow.trailersSoon(this.input === 'nothing');
  }

  failed(error: unknown): void {
    this.flow.failed(this.names.transform, error);
  }

  fault(phase: Phase, code: KnownErrorCode, message: string): void {
    this.flow.hooks.fault(phase, code, message);
  }

  tooLarge(): void {
    this.flow.stream.bodyTooLarge(this.flow.direction);
  }

  settledLate(): void {
    this.flow.stream.settledLate();
  }

  finish(tail: Uint8Array | undefined): void {
    const { flow, out } = this;
    const hook = this.trailersFollow ? hookOf(this.author.filter, flow.direction, 'trailers') : undefined;
    if (hook !== undefined) {
      if (!flow.move('withhold')) return;
      if (tail !== undefined) out.write(tail, false);
      out.turn();
    } else {
      if (!flow.move('make')) return;
      out.finish(tail);
    }
    flow.bodyMade();
  }

  letPass(rest: Uint8Array[]): void {
    const { out, flow } = this;
    if (flow.dead) return;
    if (this.input === 'more' && this.mustCount()) {
      this.driver = countingDriver(this);
      for (const part of rest) this.driver.data(part, false);
      return;
    }
    for (const part of rest) {
      out.consumed(part.length);
      out.write(part, true);
    }
    if (this.input !== 'more') {
      this.finish(undefined);
      return;
    }
    if (!flow.move('let go')) return;
    this.beforeOutput();
    const fault = this.count?.passes(this.headers.contentLength());
    if (fault !== undefined) {
      this.fault(this.names.transform, 'TSF_LENGTH_WRONG', fault);
      return;
    }
    out.flush(OutputFlag.Bypass | OutputFlag.Digested);
    out.dispose();
  }

  // ---- for the output ----

  get deps(): FilledDeps {
    return this.flow.stream.deps;
  }

  get ackAt(): number {
    return this.flow.stream.ackAt;
  }

  /** Before bytes or the end go out: held headers go with them. */
  beforeOutput(): void {
    const { headers } = this;
    if (!headers.held) return;
    if (headers.writtenLength !== undefined) this.promise(headers);
    const ops = headers.release();
    if (ops.length !== 0) this.flow.port.ops(headers.type, ops);
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
    if (fault === undefined) {
      this.flow.port.output(direction, flags, acknowledged, bytes, owned);
      return;
    }
    const { names, hooks } = this;
    this.fault(hooks.kind === 'data' ? names.data : names.transform, 'TSF_LENGTH_WRONG', fault);
  }

  // ---- inside ----

  private given(bytes: Uint8Array, last: boolean): void {
    this.driver.data(bytes, last);
    if (!this.dead) this.out.turn();
  }

  private takeGathered(): Uint8Array {
    this.flow.move('whole');
    const all = joinBytes(this.gathered!);
    this.gathered = undefined;
    return all;
  }

  /** The filter is out. */
  private echo(bytes: Uint8Array, last: boolean): void {
    const flags = last ? OutputFlag.Last : OutputFlag.Digested;
    this.flow.port.output(this.direction, flags, bytes.length, bytes.length > 0 ? bytes : undefined, true);
  }

  /** From here on the body is held to what its headers say. */
  private promise(headers: HeaderMapImpl): void {
    if (this.count !== undefined) this.count.promised = headers.writtenLength;
  }

  /** A length was written, and none came that what goes past the filter could be held against. */
  private mustCount(): boolean {
    const { headers, count } = this;
    const written = headers.held ? headers.writtenLength : count?.promised;
    return count !== undefined && written !== undefined && headers.contentLength() === undefined;
  }
}
