/** Work that outlives its stream is warned about once, so that a forgotten await shows. One timer for all of them. */
import type { FilledDeps } from './deps.js';

export const LINGER_MS = 30_000;

export interface Lingering {
  /** The hook or transform that has not settled; undefined = all have. */
  readonly pendingPhase: string | undefined;
  readonly filterName: string;
  readonly requestId: string;
}

export class Linger {
  private readonly deps: FilledDeps;
  private readonly waiting: { stream: Lingering; until: number }[] = [];
  private timer: unknown;

  constructor(deps: FilledDeps) {
    this.deps = deps;
  }

  watch(stream: Lingering): void {
    this.waiting.push({ stream, until: this.deps.now() + LINGER_MS });
    this.arm();
  }

  dispose(): void {
    this.waiting.length = 0;
    if (this.timer !== undefined) this.deps.clearTimeout(this.timer);
    this.timer = undefined;
  }

  private arm(): void {
    const first = this.waiting[0];
    if (this.timer !== undefined || first === undefined) return;
    const timer = this.deps.setTimeout(
      () => {
        this.timer = undefined;
        this.look();
        this.arm();
      },
      Math.max(1, first.until - this.deps.now()),
    );
    this.timer = timer;
    // It must not keep a process alive that has nothing else to do.
    if (typeof (timer as { unref?: unknown } | undefined)?.unref === 'function') (timer as NodeJS.Timeout).unref();
  }

  private look(): void {
    const now = this.deps.now();
    while (this.waiting.length > 0 && this.waiting[0]!.until <= now) {
      const { stream } = this.waiting.shift()!;
      const phase = stream.pendingPhase;
      if (phase === undefined) continue;
      this.deps.count('unsettled', stream.filterName);
      this.deps.logger.warn(
        { filter: stream.filterName, requestId: stream.requestId, phase },
        `${phase} has not settled ${String(LINGER_MS / 1000)} s after its stream ended; does it wait for something without callbacks.signal?`,
      );
    }
  }
}
