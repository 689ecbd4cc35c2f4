/** The author's hooks of one direction: one at a time, synchronous, by promise, or by Running and continue(). */
import { FilterError, type KnownErrorCode } from '../api/errors.js';
import { type Phase, StatusType } from '../api/types.js';
import type { Direction, HeaderType } from '../base/wire.js';
import {
  type FlowStream,
  type Hook,
  type HookCaller,
  type HookKind,
  type HookRunner,
  type PhaseNames,
  phasesOfDirection,
} from '../body/ports.js';

/** What is waited for from the author. */
type Waiting = 'nothing' | 'call' | 'promise' | 'continue';

const PHASE_WORD = ['decode', 'encode'] as const;

/** The flow that hooks belong to. */
interface HookedFlow {
  readonly stream: FlowStream;
  readonly direction: Direction;
  /** How a failure here is addressed. */
  readonly failType: HeaderType;
  readonly dead: boolean;
}

export class Hooks implements HookRunner {
  readonly names: PhaseNames;
  /** The hook that runs or ran last. */
  kind: HookKind = 'headers';
  private readonly flow: HookedFlow;
  private caller: HookCaller | undefined;
  private waiting: Waiting = 'nothing';

  constructor(flow: HookedFlow) {
    this.flow = flow;
    this.names = phasesOfDirection(flow.direction);
  }

  /** One is being called or waited for. */
  get running(): boolean {
    return this.waiting !== 'nothing';
  }

  /** Its promise has not settled. */
  get busy(): boolean {
    return this.waiting === 'promise';
  }

  /** It has returned, and will settle later. */
  get returned(): boolean {
    return this.waiting === 'promise' || this.waiting === 'continue';
  }

  get pendingPhase(): Phase | undefined {
    return this.running ? this.names[this.kind] : undefined;
  }

  call(kind: HookKind, caller: HookCaller, hook: Hook, a: unknown, b?: unknown): void {
    this.kind = kind;
    this.caller = caller;
    this.waiting = 'call';
    const { author } = this.flow.stream;
    let answer: unknown;
    try {
      answer = author.run(this.names[kind], hook as never, author.filter, a, b);
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
      throw this.mistake(
        'TSF_NOT_RUNNING',
        `continue(): no ${PHASE_WORD[this.flow.direction]} hook has answered Running`,
      );
    }
    if (!(status >= StatusType.LocalReply && status <= StatusType.StopNoBuffer))
      throw this.mistake('TSF_STATUS_INVALID', `continue(${String(status)}): not a status to continue with`);
    this.settle(status);
  }

  /** Fails the stream. */
  fault(phase: Phase, code: KnownErrorCode, message: string): void {
    const { stream, failType } = this.flow;
    stream.authorError(failType, phase, new FilterError(code, message, phase));
  }

  /** For a call where it does not belong. */
  wrongPhase(call: string, where: string): FilterError {
    const now = this.pendingPhase ?? this.flow.stream.author.phase;
    return new FilterError('TSF_WRONG_PHASE', `${call}${now === undefined ? '' : ` in ${now}`}: ${where}`, now);
  }

  // ---- inside ----

  private mistake(code: KnownErrorCode, message: string): FilterError {
    return new FilterError(code, message, this.flow.stream.author.phase);
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
    const { stream, failType, dead } = this.flow;
    const phase = this.names[this.kind];
    if (dead) {
      stream.author.lateError(phase, e);
      stream.settledLate();
    } else stream.authorError(failType, phase, e);
  }

  private settle(answer: unknown): void {
    if (this.flow.dead) {
      this.waiting = 'nothing';
      this.flow.stream.settledLate();
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
      const what = typeof status === 'object' ? 'an object' : String(status);
      this.fault(phase, 'TSF_STATUS_INVALID', `${phase} answered ${what}, which is no status`);
    } else if (status === StatusType.LocalReply) {
      this.fault(phase, 'TSF_NO_REPLY', `${phase} answered LocalReply but made no reply`);
    } else this.caller!.hookSettled(this.kind, status as StatusType);
  }
}
