/**
 * Transforms that are async iterables. The loop asks for one output after the other; the body that the author reads
 * from asks for input. When the stream dies, a read rejects, and `return()` runs the finally of a generator that is
 * parked at a yield (at once) or in a foreign await (when that settles).
 */
import { toBytes } from './buffer.js';
import { FilterError, StreamAbortedError } from '../api/errors.js';
import type { Chunk, HeaderMap, StreamTransform, TransformContext } from '../api/types-data.js';
import { BodyInput } from './body.js';
import type { BodyDriver } from './drivers.js';
import type { Flow } from '../stream/flow.js';
import { closeIterator } from './iteration.js';
import type { FlowOutput } from './output.js';

export class AsyncDriver implements BodyDriver {
  private readonly flow: Flow;
  private readonly transform: StreamTransform<HeaderMap>;
  private readonly output: () => FlowOutput;
  private readonly input: BodyInput;
  private iterator: AsyncIterator<Chunk> | undefined;
  private started = false;
  private finished = false;
  private aborted: StreamAbortedError | undefined;
  bypass = false;

  constructor(
    flow: Flow,
    transform: StreamTransform<HeaderMap>,
    output: () => FlowOutput,
    contentLength: number | undefined,
  ) {
    this.flow = flow;
    this.transform = transform;
    this.output = output;
    this.input = new BodyInput(this, contentLength);
  }

  get busy(): boolean {
    return this.started && !this.finished;
  }

  start(): void {
    if (this.started) return;
    this.started = true;
    const { flow } = this;
    // In the stream's async context, so that everything awaited below keeps it.
    void flow.stream.run(flow.names.transform, this.pump as never, this);
  }

  data(bytes: Uint8Array, last: boolean): void {
    BodyInput.push(this.input, bytes);
    if (last) BodyInput.end(this.input);
    this.start();
  }

  abort(error: StreamAbortedError): void {
    this.aborted = error;
    BodyInput.fail(this.input, error);
    this.close();
  }

  // ---- the body's reader ----

  consumed(bytes: number): void {
    this.output().consumed(bytes);
  }

  goesOn(): void {
    if (!this.flow.dead && !this.finished) this.output().goesOn();
  }

  asks(): void {
    if (!this.flow.dead && !this.finished) this.output().asks();
  }

  private async pump(): Promise<void> {
    const { flow } = this;
    try {
      const iterable = this.transform.call(flow.stream.filter, this.input, new Context(this, flow));
      if (typeof (iterable as Partial<AsyncIterable<Chunk>> | undefined)?.[Symbol.asyncIterator] !== 'function') {
        throw new FilterError(
          'TSF_TRANSFORM_INVALID',
          `${flow.names.transform} returned no async iterable: is it an async generator (async *${flow.names.transform})?`,
        );
      }
      const iterator = (this.iterator = iterable[Symbol.asyncIterator]());
      const out = this.output();
      for (;;) {
        const step = iterator.next();
        out.turn();
        const { value, done } = await step;
        if (flow.dead) {
          this.stop();
          return;
        }
        if (done === true) break;
        out.write(toBytes(value), typeof value === 'string');
        const room = flow.port.backpressure(flow.direction);
        if (room !== undefined) {
          await room;
          if (flow.dead) {
            this.stop();
            return;
          }
        }
      }
    } catch (e) {
      this.finished = true;
      this.stop();
      if (flow.dead) this.late(e);
      else flow.stream.authorError(flow, flow.names.transform, e);
      return;
    } finally {
      this.finished = true;
      if (flow.dead) flow.stream.settledLate();
    }
    const rest = BodyInput.drain(this.input);
    if (this.bypass) flow.letPass(rest);
    else {
      for (const part of rest) this.output().consumed(part.length);
      flow.finishBody(undefined);
    }
  }

  /** Over before its body is, by a bad chunk or a reply: its finally runs, and who still reads the body hears of it. */
  private stop(): void {
    if (this.aborted !== undefined) return;
    this.aborted = new StreamAbortedError('local_reply');
    BodyInput.fail(this.input, this.aborted);
    this.close();
  }

  private close(): void {
    closeIterator(this.flow.stream, this.flow.names.transform, this.iterator, this.late);
  }

  private readonly late = (e: unknown): void => {
    // The rejection that we made ourselves is no news.
    if (e !== this.aborted) this.flow.stream.lateError(this.flow.names.transform, e);
  };
}

class Context implements TransformContext<HeaderMap> {
  readonly #driver: AsyncDriver;
  readonly #flow: Flow;

  constructor(driver: AsyncDriver, flow: Flow) {
    this.#driver = driver;
    this.#flow = flow;
  }

  get headers(): HeaderMap {
    return this.#flow.headers!;
  }

  get trailers(): Promise<HeaderMap | undefined> {
    return this.#flow.trailersSoon();
  }

  get signal(): AbortSignal {
    return this.#flow.stream.signal;
  }

  bypass(): void {
    this.#driver.bypass = true;
  }
}
