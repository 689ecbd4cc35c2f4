/**
 * Transforms that are async iterables. The loop asks for one output after the other; the body that the author reads
 * from asks for input. When the stream dies, a read rejects, and `return()` runs the finally of a generator that is
 * parked at a yield (at once) or in a foreign await (when that settles).
 */
import { toBytes } from './buffer.js';
import { FilterError, StreamAbortedError } from '../api/errors.js';
import type { Chunk, HeaderMap, StreamTransform, TransformContext } from '../api/types-data.js';
import { BodyInput, type BodyReader } from './body.js';
import { closeIterator } from './iteration.js';
import type { BodyDriver, BodyHost } from './ports.js';

export class AsyncDriver implements BodyDriver, BodyReader {
  private readonly host: BodyHost;
  private readonly transform: StreamTransform<HeaderMap>;
  private readonly input: BodyInput;
  private iterator: AsyncIterator<Chunk> | undefined;
  private state: 'new' | 'running' | 'finished' = 'new';
  private aborted: Error | undefined;
  bypass = false;

  constructor(host: BodyHost, transform: StreamTransform<HeaderMap>) {
    this.host = host;
    this.transform = transform;
    this.input = new BodyInput(this, host.headers.contentLength());
  }

  get busy(): boolean {
    return this.state === 'running';
  }

  start(): void {
    if (this.state !== 'new') return;
    this.state = 'running';
    const { author, names } = this.host;
    // In the stream's async context, so that everything awaited below keeps it.
    void author.run(names.transform, this.pump as never, this);
  }

  data(bytes: Uint8Array, last: boolean): void {
    BodyInput.push(this.input, bytes);
    if (last) BodyInput.end(this.input);
    this.start();
  }

  abort(error: Error): void {
    this.aborted = error;
    BodyInput.fail(this.input, error);
    this.close();
  }

  // ---- the body's reader ----

  consumed(bytes: number): void {
    this.host.out.consumed(bytes);
  }

  goesOn(): void {
    if (this.reads) this.host.out.goesOn();
  }

  asks(): void {
    if (this.reads) this.host.out.asks();
  }

  private get reads(): boolean {
    return !this.host.dead && this.state !== 'finished';
  }

  private async pump(): Promise<void> {
    const { host } = this;
    try {
      if (!(await this.write(this.iterate()))) {
        this.stop();
        return;
      }
    } catch (e) {
      this.state = 'finished';
      this.stop();
      if (host.dead) this.late(e);
      else host.failed(e);
      return;
    } finally {
      this.state = 'finished';
      if (host.dead) host.settledLate();
    }
    const rest = BodyInput.drain(this.input);
    if (this.bypass) host.letPass(rest);
    else {
      for (const part of rest) host.out.consumed(part.length);
      host.finish(undefined);
    }
  }

  private iterate(): AsyncIterator<Chunk> {
    const { author, names } = this.host;
    const name = names.transform;
    const iterable = this.transform.call(author.filter, this.input, new Context(this, this.host));
    if (typeof (iterable as Partial<AsyncIterable<Chunk>> | undefined)?.[Symbol.asyncIterator] !== 'function') {
      throw new FilterError(
        'TSF_TRANSFORM_INVALID',
        `${name} returned no async iterable: is it an async generator (async *${name})?`,
      );
    }
    return (this.iterator = iterable[Symbol.asyncIterator]());
  }

  /** false: the flow has died meanwhile. */
  private async write(iterator: AsyncIterator<Chunk>): Promise<boolean> {
    const { host } = this;
    const { out } = host;
    for (;;) {
      const step = iterator.next();
      out.turn();
      const { value, done } = await step;
      if (host.dead) return false;
      if (done === true) return true;
      out.write(toBytes(value), typeof value === 'string');
      const room = host.room();
      if (room === undefined) continue;
      await room;
      if (host.dead) return false;
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
    const { author, names } = this.host;
    closeIterator(author, names.transform, this.iterator, this.late);
  }

  private readonly late = (e: unknown): void => {
    // The rejection that we made ourselves is no news.
    if (e !== this.aborted) this.host.author.lateError(this.host.names.transform, e);
  };
}

class Context implements TransformContext<HeaderMap> {
  readonly #driver: AsyncDriver;
  readonly #host: BodyHost;

  constructor(driver: AsyncDriver, host: BodyHost) {
    this.#driver = driver;
    this.#host = host;
  }

  get headers(): HeaderMap {
    return this.#host.headers;
  }

  get trailers(): Promise<HeaderMap | undefined> {
    return this.#host.trailersSoon();
  }

  get signal(): AbortSignal {
    return this.#host.author.signal;
  }

  bypass(): void {
    this.#driver.bypass = true;
  }
}
