/**
 * A runtime across its lives: started by the first call, and by the next one after its end; calls that it cannot take yet
 * wait in order.
 *
 *   idle ── call ──► starting ── opened ──► open ── ended ──► idle, or resting
 *                        └── failed ─────────────────────────► idle, or resting ── time ──► idle
 *
 * A runtime that lives long and dies is started again at once. One that keeps dying, or never starts, rests, and calls
 * fail meanwhile: a proxy is better off with a quick no than with a queue.
 */
import { connect, type ProcessOwner } from './connection.js';
import type { Failure, KnownCallsErrorCode } from './errors.js';
import { type PendingCall, Session } from './session.js';
import type { RuntimeSpec } from './spec.js';

export type { PendingCall } from './session.js';

const FIRST_REST_MS = 100;
const LONGEST_REST_MS = 5000;
/** What was open for so long did not die of starting. */
const HEALTHY_MS = 10_000;

type State =
  | { readonly is: 'idle' }
  | { readonly is: 'starting' }
  | { readonly is: 'open'; readonly session: Session; readonly since: number }
  | { readonly is: 'resting'; readonly until: number; readonly cause: Failure }
  | { readonly is: 'closed' };

export class Runtime {
  readonly #spec: RuntimeSpec;
  readonly #processes: ProcessOwner;
  readonly #waiting = new Set<PendingCall>();
  #state: State = { is: 'idle' };
  /** Ends in a row without a healthy life between them. */
  #failures = 0;

  constructor(spec: RuntimeSpec, processes: ProcessOwner) {
    this.#spec = spec;
    this.#processes = processes;
  }

  send(call: PendingCall): void {
    if (this.#state.is === 'resting' && performance.now() >= this.#state.until) this.#state = { is: 'idle' };
    switch (this.#state.is) {
      case 'closed':
        call.failed(this.#failure('CALLS_CLOSED', 'it was closed'));
        return;
      case 'resting': {
        const { until, cause } = this.#state;
        const left = Math.ceil(until - performance.now());
        call.failed({
          ...this.#failure('CALLS_DOWN', `it is started again in ${String(left)} ms at the earliest`),
          cause,
        });
        return;
      }
      case 'open':
        if (this.#waiting.size === 0 && this.#state.session.hasRoom) this.#state.session.send(call);
        else this.#waiting.add(call);
        return;
      case 'idle':
        this.#waiting.add(call);
        void this.#start();
        return;
      case 'starting':
        this.#waiting.add(call);
    }
  }

  /** Nobody waits for it any more. */
  cancel(call: PendingCall): void {
    if (this.#waiting.delete(call)) return;
    if (this.#state.is === 'open') this.#state.session.cancel(call);
  }

  async close(): Promise<void> {
    const before = this.#state;
    this.#state = { is: 'closed' };
    this.#failWaiting(this.#failure('CALLS_CLOSED', 'it was closed'));
    if (before.is === 'open') await before.session.close();
  }

  async #start(): Promise<void> {
    this.#state = { is: 'starting' };
    const began = performance.now();
    let connection;
    try {
      connection = await connect(this.#spec, this.#processes);
    } catch (e) {
      this.#ended(this.#failure('CALLS_START_FAILED', (e as Error).message));
      return;
    }
    const left = Math.max(1, this.#spec.startTimeoutMs - (performance.now() - began));
    const session: Session = new Session(this.#spec, connection, left, {
      opened: () => {
        if (this.#state.is === 'closed') {
          void session.close();
          return;
        }
        this.#state = { is: 'open', session, since: performance.now() };
        this.#pump();
      },
      room: () => this.#pump(),
      ended: (failure) => this.#ended(failure),
    });
  }

  #pump(): void {
    if (this.#state.is !== 'open') return;
    const { session } = this.#state;
    for (const call of this.#waiting) {
      if (!session.hasRoom) return;
      this.#waiting.delete(call);
      session.send(call);
    }
  }

  #ended(failure: Failure): void {
    if (this.#state.is === 'closed') return;
    const wasHealthy = this.#state.is === 'open' && performance.now() - this.#state.since >= HEALTHY_MS;
    this.#failures = wasHealthy ? 1 : this.#failures + 1;
    // The first end is free: what was killed once comes again with the next call.
    const isFirst = this.#failures === 1 && this.#state.is === 'open';
    const rest = Math.min(FIRST_REST_MS * 2 ** Math.min(this.#failures - 1, 10), LONGEST_REST_MS);
    if (isFirst) {
      this.#state = { is: 'idle' };
      if (this.#waiting.size > 0) void this.#start();
      return;
    }
    this.#state = { is: 'resting', until: performance.now() + rest, cause: failure };
    this.#failWaiting(failure);
  }

  #failWaiting(failure: Failure): void {
    const calls = [...this.#waiting];
    this.#waiting.clear();
    for (const call of calls) call.failed(failure);
  }

  #failure(code: KnownCallsErrorCode, why: string): Failure {
    return { code, message: `${this.#spec.name}: ${why}` };
  }
}
