/** Where calls go: to a runtime of this thread, or over the host's one thread to one that all threads share. */
import { randomUUID } from 'node:crypto';
import { FilterError, runtime } from 'envoy-ts-filter';
import type { Failure, KnownCallsErrorCode } from './errors.js';
import type * as Hub from './hub.js';
import { type PendingCall, Runtime } from './runtime.js';
import type { RuntimeSpec } from './spec.js';

export interface Backend {
  send(call: PendingCall): void;
  cancel(call: PendingCall): void;
  close(): Promise<void>;
}

type RemoteHub = {
  readonly [K in keyof typeof Hub]: (
    ...args: Parameters<(typeof Hub)[K]>
  ) => Promise<Awaited<ReturnType<(typeof Hub)[K]>>>;
};

/** The host's thread, or outside a host, as in tests, the same module here. */
async function hub(): Promise<RemoteHub> {
  try {
    return runtime.global<typeof Hub>('envoy-ts-filter/calls', new URL('./hub.js', import.meta.url));
  } catch (e) {
    if (!FilterError.is(e)) throw e;
    const here = await import('./hub.js');
    const later =
      <A extends unknown[], R>(fn: (...args: A) => R | Promise<R>) =>
      async (...args: A): Promise<R> =>
        fn(...args);
    return {
      open: later(here.open),
      call: later(here.call),
      cancel: later(here.cancel),
      startProcess: later(here.startProcess),
      processEnded: later(here.processEnded),
      endProcess: later(here.endProcess),
      bundleWorker: later(here.bundleWorker),
    };
  }
}

export function localBackend(spec: RuntimeSpec): Backend {
  return new Runtime(spec, {
    startProcess: async (command) => (await hub()).startProcess(command),
    processEnded: async (id) => (await hub()).processEnded(id),
    endProcess: async (id, graceMs) => (await hub()).endProcess(id, graceMs),
    bundleWorker: async (module) => (await hub()).bundleWorker(module),
  });
}

/** A runtime that all filter threads share. */
export class GlobalBackend implements Backend {
  readonly #spec: RuntimeSpec;
  readonly #name = randomUUID();
  readonly #ids = new Map<PendingCall, string>();
  #lastId = 0;
  #key: Promise<string> | undefined;
  #isClosed = false;

  constructor(spec: RuntimeSpec) {
    this.#spec = spec;
  }

  send(call: PendingCall): void {
    if (this.#isClosed) return call.failed(this.#failure('CALLS_CLOSED', 'it was closed'));
    const id = `${this.#name}/${String(++this.#lastId)}`;
    this.#ids.set(call, id);
    this.#run(call, id).catch((e: unknown) => {
      // The host's thread has died, or its module has not loaded: the next call opens the runtime anew.
      this.#key = undefined;
      this.#ids.delete(call);
      call.failed(this.#failure('CALLS_DIED', (e as Error).message));
    });
  }

  cancel(call: PendingCall): void {
    const id = this.#ids.get(call);
    this.#ids.delete(call);
    if (id === undefined) return;
    // A failure means that there is nothing left to cancel.
    hub()
      .then((at) => at.cancel(id))
      .catch(() => undefined);
  }

  /** The runtime itself is for all, and stays. */
  close(): Promise<void> {
    this.#isClosed = true;
    for (const call of [...this.#ids.keys()]) {
      this.cancel(call);
      call.failed(this.#failure('CALLS_CLOSED', 'it was closed'));
    }
    return Promise.resolve();
  }

  async #run(call: PendingCall, id: string): Promise<void> {
    const at = await hub();
    const key = await (this.#key ??= at.open(this.#spec));
    if (!this.#ids.has(call)) return; // cancelled meanwhile
    const outcome = await at.call(key, id, call.method, call.payload, call.timeoutMs);
    if (!this.#ids.delete(call)) return;
    if ('payload' in outcome) call.answered(outcome.payload);
    else call.failed(outcome.failure);
  }

  #failure(code: KnownCallsErrorCode, why: string): Failure {
    return { code, message: `${this.#spec.name}: ${why}` };
  }
}
