/** Where the author's code of one stream runs: one async context for all of it, and what is on the stack now. */
import { AsyncResource } from 'node:async_hooks';
import type { Phase } from '../api/types.js';

export class Scope {
  private readonly stream: { readonly pendingPhase: Phase | undefined };
  private resource: AsyncResource | undefined;
  /** The phase whose code is on the stack. */
  private stack: Phase | undefined;
  private depth = 0;
  private after: (() => void) | undefined;

  constructor(stream: { readonly pendingPhase: Phase | undefined }) {
    this.stream = stream;
  }

  /** What runs, else what is waited for. */
  get phase(): Phase | undefined {
    return this.stack ?? this.stream.pendingPhase;
  }

  run<R>(phase: Phase | undefined, fn: (...args: never[]) => R, self: unknown, a?: unknown, b?: unknown): R {
    // One context per stream: what a filter enters with AsyncLocalStorage stays in its stream.
    const resource = (this.resource ??= new AsyncResource('ts_filter.stream', { requireManualDestroy: true }));
    const before = this.stack;
    this.stack = phase;
    this.depth++;
    try {
      return resource.runInAsyncScope(fn as (...args: unknown[]) => R, self, a, b);
    } finally {
      this.stack = before;
      if (--this.depth === 0 && this.after !== undefined) {
        const { after } = this;
        this.after = undefined;
        after();
      }
    }
  }

  /** Runs once no code of the author's is on the stack. */
  later(task: () => void): void {
    if (this.depth > 0) this.after = task;
    else queueMicrotask(task);
  }
}
