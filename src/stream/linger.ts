/** Work that outlives its stream is warned about once, so that a forgotten await shows. One timer for all of them. */
import type { FilledDeps } from '../base/deps.js';

export const LINGER_MS = 30_000;

export interface Lingering {
  /** The hook or transform that has not settled. */
  readonly pendingPhase: string | undefined;
  readonly filterName: string;
  readonly requestId: string;
}

export class Linger {
  private readonly deps: FilledDeps;
  /** With the time of the warning. In the order of their ends, so the first is due first. */
  private readonly waiting = new Map<Lingering, number>();
  private timer: unknown;

  constructor(deps: FilledDeps) {
    this.deps = deps;
  }

  watch(stream: Lingering): void {
    this.waiting.set(stream, this.deps.now() + LINGER_MS);
    this.arm();
  }

  /** Its work has settled: nothing keeps the stream any more. */
  settled(stream: Lingering): void {
    this.waiting.delete(stream);
  }

  dispose(): void {
    this.waiting.clear();
    if (this.timer !== undefined) this.deps.clearTimeout(this.timer);
    this.timer = undefined;
  }

  private arm(): void {
    if (this.timer !== undefined) return;
    for (const until of this.waiting.values()) {
      const timer = this.deps.setTimeout(
        () => {
          this.timer = undefined;
          this.look();
          this.arm();
        },
        Math.max(1, until - this.deps.now()),
      );
      this.timer = timer;
      // It must not keep a process alive that has nothing else to do.
      if (typeof (timer as { unref?: unknown } | undefined)?.unref === 'function') (timer as NodeJS.Timeout).unref();
      return;
    }
  }

  private look(): void {
    const now = this.deps.now();
    for (const [stream, until] of this.waiting) {
      if (until > now) return;
      this.waiting.delete(stream);
      const phase = stream.pendingPhase ?? 'a streamed reply';
      this.deps.logger.warn(
        { filter: stream.filterName, requestId: stream.requestId, phase },
        `${phase} has not settled ${String(LINGER_MS / 1000)} s after its stream ended; does it wait for something without callbacks.signal?`,
      );
    }
  }
}
