/** What filters see: an object whose methods run in another runtime. */
import { setMaxListeners } from 'node:events';
import { type Backend, GlobalBackend, localBackend } from './backend.js';
import { CallsError, type Failure } from './errors.js';
import { fits, type Payload } from './frames.js';
import { fromPayload, toPayload } from './payload.js';
import { type CallLimits, checkName, invalid, type LoadOptions, milliseconds, specOf } from './spec.js';

/** How one call is made. A filter's callbacks will do: their signal cancels the call when the stream dies. */
export interface CallOptions {
  /** When it aborts, the call rejects with its reason, and the runtime is told. */
  readonly signal?: AbortSignal;
  /** Default: the runtime's `timeoutMs`. */
  readonly timeoutMs?: number;
}

/** Bytes stay bytes (Uint8Array); everything else crosses as JSON. */
export type Methods<T> = {
  readonly [K in keyof T]: T[K] extends () => infer R
    ? (payload?: undefined, options?: CallOptions) => Promise<Awaited<R>>
    : T[K] extends (payload: infer P) => infer R
      ? (payload: P, options?: CallOptions) => Promise<Awaited<R>>
      : never;
};

/** Disposing of it ends the runtime, unless it is global: that one ends with the host. */
export type Loaded<T> = Methods<T> & AsyncDisposable;

/**
 * A runtime: a command or a worker thread, started by the first call, and by the next one when it has died.
 *
 * @example
 * interface Echo {
 *   echo(text: string): string;
 * }
 * const python = load<Echo>('echo', { greeting: 'hello' }, { command: ['python3', 'echo.py'], isGlobal: true });
 * export default defineFilter({
 *   name: 'echo',
 *   create: (_config, callbacks) => ({
 *     async decodeHeaders(headers) {
 *       headers.set('x-echo', await python.echo('hello', callbacks));
 *     },
 *   }),
 * });
 */
export function load<T extends object>(name: string, init: unknown, options: LoadOptions): Loaded<T> {
  const { spec, limits } = specOf(name, init, options);
  const caller = new Caller(name, limits, options.isGlobal === true ? new GlobalBackend(spec) : localBackend(spec));
  const methods = new Map<string, (payload?: unknown, how?: CallOptions) => Promise<unknown>>();
  return new Proxy(Object.create(null) as object, {
    get: (_target, key) => {
      if (key === Symbol.asyncDispose) return () => caller.close();
      // `then` must be absent, or awaiting the object itself would call it.
      if (typeof key !== 'string' || key === 'then') return undefined;
      let method = methods.get(key);
      if (method === undefined) methods.set(key, (method = (payload, how) => caller.call(key, payload, how)));
      return method;
    },
  }) as Loaded<T>;
}

/** The calls of one `load`: each settles once, by an answer, a failure, its deadline or its signal. */
class Caller {
  readonly #name: string;
  readonly #limits: CallLimits;
  readonly #backend: Backend;
  #calls = 0;
  #bytes = 0;

  constructor(name: string, limits: CallLimits, backend: Backend) {
    this.#name = name;
    this.#limits = limits;
    this.#backend = backend;
  }

  close(): Promise<void> {
    return this.#backend.close();
  }

  // async: also what is wrong with its arguments rejects
  async call(method: string, value: unknown, { signal, timeoutMs }: CallOptions = {}): Promise<unknown> {
    const deadlineMs = milliseconds('timeoutMs', timeoutMs, this.#limits.timeoutMs);
    const payload = this.#payload(method, value);
    signal?.throwIfAborted();
    if (this.#calls >= this.#limits.maxCalls || this.#bytes + payload.bytes.length > this.#limits.maxBytes)
      throw this.#error('CALLS_BUSY', `${String(this.#calls)} calls with ${String(this.#bytes)} bytes wait for it`);
    const answer = await this.#exchange(method, payload, deadlineMs, signal);
    try {
      return fromPayload(answer);
    } catch (e) {
      throw this.#error('CALLS_PROTOCOL', `${method} answered bad JSON: ${(e as Error).message}`);
    }
  }

  #exchange(method: string, payload: Payload, deadlineMs: number, signal: AbortSignal | undefined): Promise<Payload> {
    this.#calls++;
    this.#bytes += payload.bytes.length;
    return new Promise<Payload>((resolve, reject) => {
      const call = {
        method,
        payload,
        timeoutMs: deadlineMs,
        answered: (answer: Payload) => {
          settle();
          resolve(answer);
        },
        failed: (failure: Failure) => {
          settle();
          reject(new CallsError(failure));
        },
      };
      const giveUp = (reason: unknown): void => {
        settle();
        reject(reason);
        this.#backend.cancel(call);
      };
      const onAbort = (): void => giveUp(signal?.reason);
      const timer = setTimeout(() => {
        giveUp(this.#error('CALLS_DEADLINE', `${method} has not answered within ${String(deadlineMs)} ms`));
      }, deadlineMs);
      // A stream may have as many calls at once as it likes: more than ten listeners are no leak.
      if (signal !== undefined) setMaxListeners(0, signal);
      signal?.addEventListener('abort', onAbort, { once: true });
      let isSettled = false;
      const settle = (): void => {
        if (isSettled) return;
        isSettled = true;
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.#calls--;
        this.#bytes -= payload.bytes.length;
      };
      this.#backend.send(call);
    });
  }

  #payload(method: string, value: unknown): Payload {
    checkName('the method', method);
    let payload: Payload;
    try {
      payload = toPayload(value);
    } catch (e) {
      throw invalid(`${this.#name}.${method}: ${(e as Error).message}`);
    }
    if (!fits(payload, method))
      throw this.#error('CALLS_TOO_LARGE', `${method} was given ${String(payload.bytes.length)} bytes`);
    return payload;
  }

  #error(code: Failure['code'], why: string): CallsError {
    return new CallsError({ code, message: `${this.#name}: ${why}` });
  }
}
