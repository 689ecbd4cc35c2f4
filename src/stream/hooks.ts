/** The author's hooks of one direction: one at a time, synchronous, by promise, or by Running and continue(). */
import { FilterError, type KnownErrorCode } from '../api/errors.js';
import type { HeaderRules } from '../headers/header-rules.js';
import { type Phase, type StreamFilter, StatusType } from '../api/types.js';
import { type Direction, type HeaderType } from '../base/wire.js';
import type { FilledDeps } from '../base/deps.js';

/** What the two flows need of its stream. */
export interface FlowStream {
  readonly deps: FilledDeps;
  readonly rules: HeaderRules;
  readonly filter: StreamFilter;
  /** The request is gRPC: its messages have lengths of their own. */
  readonly grpc: boolean;
  /** The request came as HEAD. */
  readonly head: boolean;
  /** See FlowOutput. */
  readonly ackAt: number;
  /** For a body that is gathered here. */
  readonly maxBodyBytes: number;
  readonly phase: Phase | undefined;
  readonly signal: AbortSignal;
  /** Runs the author's code in the stream's async context. */
  run<R>(phase: Phase | undefined, fn: (...args: never[]) => R, self: unknown, a?: unknown, b?: unknown): R;
  /** A body that is gathered here is larger than that. */
  bodyTooLarge(direction: Direction): void;
  /** The author made a mistake: the stream fails. */
  authorError(flow: Hooks, phase: Phase, error: unknown): void;
  /** The same where the answer no longer matters. */
  lateError(phase: Phase, error: unknown): void;
  /** Work of the author's has settled although nobody waits for it. */
  settledLate(): void;
}

export type Hook = (...args: unknown[]) => unknown;
export type PhaseNames = { readonly [K in 'headers' | 'data' | 'trailers' | 'transform']: Phase };
const PHASES: readonly [PhaseNames, PhaseNames] = [
  { headers: 'decodeHeaders', data: 'decodeData', trailers: 'decodeTrailers', transform: 'transformRequest' },
  { headers: 'encodeHeaders', data: 'encodeData', trailers: 'encodeTrailers', transform: 'transformResponse' },
];

export type Kind = 'headers' | 'data' | 'trailers';
/** What is waited for from the author. */
type Waiting = 'nothing' | 'call' | 'promise' | 'continue';

const PHASE_WORD = ['decode', 'encode'] as const;

export abstract class Hooks {
  readonly stream: FlowStream;
  readonly direction: Direction;
  readonly names: PhaseNames;
  /** How a failure here is addressed. */
  readonly failType: HeaderType;
  /** No more answers from here: failed, replied or ended. */
  dead = false;
  /** The hook that runs or ran last. */
  protected kind: Kind = 'headers';
  protected waiting: Waiting = 'nothing';

  constructor(stream: FlowStream, direction: Direction, failType: HeaderType) {
    this.stream = stream;
    this.direction = direction;
    this.names = PHASES[direction];
    this.failType = failType;
  }

  /** The hook has settled; neither Running nor LocalReply. */
  protected abstract settled(kind: Kind, status: StatusType): void;

  call(kind: Kind, hook: Hook, a: unknown, b?: unknown): void {
    this.kind = kind;
    this.waiting = 'call';
    let answer: unknown;
    try {
      answer = this.stream.run(this.names[kind], hook as never, this.stream.filter, a, b);
    } catch (e) {
      this.threw(e);
      return;
    }
    if (typeof answer !== 'object' || answer === null) this.settle(answer);
    else if (answer instanceof Promise) this.wait(answer);
    else if (typeof (answer as { then?: unknown }).then === 'function') this.wait(Promise.resolve(answer));
    else this.settle(answer);
  }

  continue(status: StatusType): void {
    if (this.waiting !== 'continue') {
      throw new FilterError(
        'TSF_NOT_RUNNING',
        `continue(): no ${PHASE_WORD[this.direction]} hook has answered Running`,
        this.stream.phase,
      );
    }
    if (!(status >= StatusType.LocalReply && status <= StatusType.StopNoBuffer)) {
      throw new FilterError(
        'TSF_STATUS_INVALID',
        `continue(${String(status)}): not a status to continue with`,
        this.stream.phase,
      );
    }
    this.settle(status);
  }

  fail(phase: Phase, code: KnownErrorCode, message: string): void {
    this.stream.authorError(this, phase, new FilterError(code, message, phase));
  }

  protected wrongPhase(call: string, where: string): FilterError {
    const now = this.waiting === 'nothing' ? this.stream.phase : this.names[this.kind];
    return new FilterError('TSF_WRONG_PHASE', `${call}${now === undefined ? '' : ` in ${now}`}: ${where}`, now);
  }

  private wait(promise: Promise<unknown>): void {
    this.waiting = 'promise';
    promise.then(
      (status) => {
        this.settle(status);
      },
      (e: unknown) => {
        this.threw(e);
      },
    );
  }

  private threw(e: unknown): void {
    this.waiting = 'nothing';
    const phase = this.names[this.kind];
    if (this.dead) {
      this.stream.lateError(phase, e);
      this.stream.settledLate();
    } else this.stream.authorError(this, phase, e);
  }

  private settle(answer: unknown): void {
    if (this.dead) {
      this.waiting = 'nothing';
      this.stream.settledLate();
      return;
    }
    if (answer === StatusType.Running) {
      this.waiting = 'continue';
      return;
    }
    this.waiting = 'nothing';
    const status = answer ?? StatusType.Continue;
    const phase = this.names[this.kind];
    if (typeof status !== 'number' || !Number.isInteger(status) || status < 0 || status > StatusType.StopNoBuffer) {
      this.fail(
        phase,
        'TSF_STATUS_INVALID',
        `${phase} answered ${typeof status === 'object' ? 'an object' : String(status)}, which is no status`,
      );
    } else if (status === StatusType.LocalReply) {
      this.fail(phase, 'TSF_NO_REPLY', `${phase} answered LocalReply but made no reply`);
    } else this.settled(this.kind, status as StatusType);
  }
}
