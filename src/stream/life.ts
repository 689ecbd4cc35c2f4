/** How far a stream has come: whether anything can still be said or asked, and what those hear who try too late. */
import { type AbortedBy, FilterError, StreamAbortedError } from '../api/errors.js';
import { Capability, EndReason, type StreamStart } from '../base/wire.js';
import type { Scope } from './scope.js';

/** In the order of EndReason. */
const BY: readonly AbortedBy[] = ['complete', 'downstream', 'upstream', 'timeout', 'local_reply', 'host_drain'];

/** For writes that whoever looks at the stream later is to find. */
export const WRITE_EARLIER =
  '; write it before the yield or the await behind which its client, or its upstream, may have gone';

type State =
  | 'open'
  /** Nothing is said to Envoy any more. */
  | 'failed'
  /** onLog runs: Envoy's stream is gone, but for metrics. */
  | 'last log'
  | 'gone';

export class Life {
  /** Why, once it has. */
  ended: EndReason | undefined;
  /** Not open any more: nothing is said to Envoy. Asked for with every frame. */
  over = false;
  private readonly scope: Scope;
  private readonly start: Pick<StreamStart, 'upstream'>;
  /** Bits of Capability. */
  private readonly capabilities: number;
  private state: State = 'open';
  private failed = false;
  private by: AbortedBy = 'complete';
  private controller: AbortController | undefined;
  /** What the author's code hears of the end. */
  private aborted: StreamAbortedError | undefined;

  constructor(scope: Scope, start: Pick<StreamStart, 'upstream'>, capabilities: number) {
    this.scope = scope;
    this.start = start;
    this.capabilities = capabilities;
  }

  /** Envoy's stream is over; nothing more can be asked of it. */
  get gone(): boolean {
    return this.state === 'last log' || this.state === 'gone';
  }

  get hasFailed(): boolean {
    return this.failed;
  }

  /** Aborts when the stream ends before its time. */
  get signal(): AbortSignal {
    if (this.controller === undefined) {
      this.controller = new AbortController();
      if (this.aborted !== undefined) this.controller.abort(this.aborted);
    }
    return this.controller.signal;
  }

  // ---- transitions ----

  fail(): void {
    this.move('failed');
    this.failed = true;
  }

  /** The last log event has come. */
  leave(): void {
    this.move('gone');
  }

  /** Runs the hook of that event. */
  lastLog(run: () => void): void {
    this.move('last log');
    run();
    this.move('gone');
  }

  /** `replied`: our own reply is how this stream was meant to end. `busy`: some hook still works. */
  end(reason: EndReason, { replied, busy }: { replied: boolean; busy: boolean }): 'complete' | 'reset' | 'host_drain' {
    this.ended = reason;
    this.move('gone');
    this.by = this.failed ? 'local_reply' : BY[reason]!;
    const meant = reason === EndReason.Complete || (reason === EndReason.LocalReply && replied);
    const normal = !this.failed && meant;
    // A hook that still works at a normal end, say on a request that the upstream did not read to its end, is told too.
    if (!normal || busy) {
      const error = this.abortedError();
      this.controller?.abort(error);
    }
    if (normal) return 'complete';
    return reason === EndReason.HostDrain ? 'host_drain' : 'reset';
  }

  private move(state: Exclude<State, 'open'>): void {
    this.state = state;
    this.over = true;
  }

  /** What code that waits for the stream is told; the same for all of it. */
  readonly abortedError = (): StreamAbortedError => (this.aborted ??= new StreamAbortedError(this.by));

  /** Whether that is what the end of the stream threw into the author's code. */
  isOwn(error: unknown): boolean {
    return this.aborted !== undefined && error === this.aborted;
  }

  // ---- refusals ----

  /** Throws once the stream has ended; `call` is how the author knows it, `mend` what to do about it. */
  assertAlive(call: string, mend = ''): void {
    if (!this.over) return;
    const { phase } = this.scope;
    const why = this.gone ? 'has ended' : 'has failed';
    throw new FilterError(
      'TSF_STREAM_ENDED',
      `${call}${phase === undefined ? '' : ` in ${phase}`}: the stream ${why}${mend}`,
      phase,
    );
  }

  /** As assertAlive, but Envoy from 1.39 on takes metrics from the last log hook, too. */
  assertRecordable(call: string): void {
    const late = this.state === 'last log' && (this.capabilities & Capability.LateMetrics) !== 0;
    if (!late) this.assertAlive(call, `${WRITE_EARLIER}, or in onLog with Envoy 1.39 or later`);
  }

  /** What a stream that is one try of a request, behind Envoy's router, cannot do. */
  assertDownstream(call: string): void {
    if (this.start.upstream)
      throw new FilterError('TSF_UPSTREAM', `${call}: not in an upstream HTTP filter`, this.phase);
  }

  /** For messages. */
  get phase(): FilterError['phase'] {
    return this.scope.phase;
  }
}
