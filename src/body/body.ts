/** The input of a transform: frames from Envoy on one side, an async iterable on the other. */
import type { BodyStream } from '../api/types-data.js';

/** What a body tells the flow that feeds it. */
export interface BodyReader {
  /** The reader is done with that many bytes. */
  consumed(bytes: number): void;
  /** It goes on with what is queued. */
  goesOn(): void;
  /** It waits and nothing is queued. */
  asks(): void;
}

const DONE: IteratorReturnResult<undefined> = Object.freeze({ value: undefined, done: true });

export class BodyInput implements BodyStream, AsyncIterator<Uint8Array, undefined> {
  declare readonly contentLength?: number;
  readonly #reader: BodyReader;
  #queue: Uint8Array[] = [];
  #ended = false;
  #error: Error | undefined;
  /** Length of the chunk that the author holds. */
  #lent = 0;
  readonly #parked: { resolve(result: IteratorResult<Uint8Array, undefined>): void; reject(error: Error): void }[] = [];

  constructor(reader: BodyReader, contentLength: number | undefined) {
    this.#reader = reader;
    if (contentLength !== undefined) this.contentLength = contentLength;
  }

  /** One-shot: every iteration goes on where the one before stopped. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#giveBack();
    if (this.#error !== undefined) return Promise.reject(this.#error);
    const chunk = this.#queue.shift();
    if (chunk !== undefined) {
      this.#lent += chunk.length;
      this.#reader.goesOn();
      return Promise.resolve({ value: chunk, done: false });
    }
    if (this.#ended) return Promise.resolve(DONE);
    return new Promise((resolve, reject) => {
      this.#parked.push({ resolve, reject });
      this.#reader.asks();
    });
  }

  /** `break` comes here. It does not cancel. */
  return(): Promise<IteratorResult<Uint8Array, undefined>> {
    return Promise.resolve(DONE);
  }

  // ---- for the flow; not part of BodyStream ----

  static push(body: BodyInput, chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    const parked = body.#parked.shift();
    if (parked === undefined) body.#queue.push(chunk);
    else {
      body.#lent += chunk.length;
      parked.resolve({ value: chunk, done: false });
    }
  }

  static end(body: BodyInput): void {
    body.#ended = true;
    for (const parked of body.#parked.splice(0)) parked.resolve(DONE);
  }

  static fail(body: BodyInput, error: Error): void {
    body.#error = error;
    body.#queue = [];
    for (const parked of body.#parked.splice(0)) parked.reject(error);
  }

  /** Nothing comes any more. What was not consumed; the chunk in the author's hands was. */
  static drain(body: BodyInput): Uint8Array[] {
    body.#giveBack();
    const rest = body.#queue;
    body.#queue = [];
    BodyInput.end(body);
    return rest;
  }

  #giveBack(): void {
    if (this.#lent === 0) return;
    this.#reader.consumed(this.#lent);
    this.#lent = 0;
  }
}
