/** What the conformance suite asks of a runtime in TypeScript. */
import { once } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';
import { type Call, RemoteError, serve } from 'envoy-ts-filter/calls';

class Conformance {
  #cancelled = 0;

  constructor(readonly given: unknown) {}

  init(): unknown {
    return this.given;
  }

  echo(payload: unknown): unknown {
    return payload;
  }

  fail(): never {
    throw new RemoteError('NOPE', 'no: ä€😀');
  }

  crash(): never {
    throw new TypeError('as it comes');
  }

  size(count: number): Uint8Array {
    return new Uint8Array(count).fill(0x78);
  }

  async sleep(ms: number, { signal }: Call): Promise<number> {
    await Promise.race([wait(ms), once(signal, 'abort')]);
    if (signal.aborted) this.#cancelled++;
    return ms;
  }

  cancelled(): number {
    return this.#cancelled;
  }

  hang(ms: number): void {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  }

  exit(): never {
    process.exit(3);
  }
}

serve({
  conformance: (init: unknown) => new Conformance(init),
  bad: () => {
    throw new TypeError('bad init');
  },
});
