/**
 * Observed streams whose filter goes on when Envoy's stream is over. Nobody waits for them, so nothing but this bounds how
 * many there are and how long they last. One timer for all of them.
 */
import type { FilledDeps } from '../base/deps.js';
import { EndReason } from '../base/wire.js';

/** As long as a hook may take before the host warns of it (stream/linger.ts). */
export const SURVIVAL_MS = 30_000;
/** Of one thread. */
export const MOST_SURVIVORS = 10_000;

export interface Outliving {
  end(reason: EndReason): void;
}

export class Survivors {
  private readonly deps: FilledDeps;
  /** With the time of their end. In the order in which they came, so the first is due first. */
  private readonly living = new Map<Outliving, number>();
  private timer: unknown;
  private warned = -Infinity;

  constructor(deps: FilledDeps) {
    this.deps = deps;
  }

  /** False: there are too many. */
  add(stream: Outliving): boolean {
    const now = this.deps.now();
    if (this.living.size >= MOST_SURVIVORS) {
      this.warn(now);
      return false;
    }
    this.living.set(stream, now + SURVIVAL_MS);
    this.arm();
    return true;
  }

  delete(stream: Outliving): void {
    this.living.delete(stream);
  }

  dispose(): void {
    if (this.timer !== undefined) this.deps.clearTimeout(this.timer);
    this.timer = undefined;
    for (const stream of [...this.living.keys()]) stream.end(EndReason.HostDrain);
  }

  private warn(now: number): void {
    if (now - this.warned < SURVIVAL_MS) return;
    this.warned = now;
    this.deps.logger.warn(
      { most: MOST_SURVIVORS },
      `observe_only: ${String(MOST_SURVIVORS)} streams that are over still have a filter at work; the views of others end with their streams (said at most every ${String(SURVIVAL_MS / 1000)} s)`,
    );
  }

  private arm(): void {
    const first = this.living.values().next();
    if (this.timer !== undefined || first.done === true) return;
    const timer = this.deps.setTimeout(
      () => {
        this.timer = undefined;
        this.look();
        this.arm();
      },
      Math.max(1, first.value - this.deps.now()),
    );
    this.timer = timer;
    // It must not keep a process alive that has nothing else to do.
    if (typeof (timer as { unref?: unknown } | undefined)?.unref === 'function') (timer as NodeJS.Timeout).unref();
  }

  private look(): void {
    const now = this.deps.now();
    for (const [stream, until] of this.living) {
      if (until > now) return;
      stream.end(EndReason.Timeout);
    }
  }
}
