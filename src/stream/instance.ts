/** The author's filter in one stream: how it is made, what it is subscribed to, its hooks at the end, its late errors. */
import { checkInstance, checkPhases, phasesOf } from '../api/filter.js';
import type { LogEntry, Phase, StreamFilter } from '../api/types.js';
import type { Attribute } from '../api/attributes.js';
import type { FilterCallbacks } from '../api/types-callbacks.js';
import { PhaseBit, PHASES_UNCHANGED } from '../base/wire.js';
import type { Author } from '../body/ports.js';
import type { HeaderRules } from '../headers/header-rules.js';
import type { StreamConfig } from './config.js';
import type { Journal } from './journal.js';
import type { Life } from './life.js';
import type { Scope } from './scope.js';

export type LogHook = 'onLogDownstreamStart' | 'onLogDownstreamPeriodic' | 'onLog';
/** Bits of the hooks that run at the end. */
const AT_END = PhaseBit.onLog | PhaseBit.onStreamComplete | PhaseBit.onDestroy;

/** Makes the entry of a log hook, for those that have one. */
export type EntryMaker = () => LogEntry;

export class Instance implements Author {
  private readonly config: StreamConfig;
  private readonly scope: Scope;
  private readonly life: Life;
  private readonly journal: Journal;
  private made: StreamFilter | undefined;
  /** Bits of the hooks that it has. */
  private bits = 0;
  private phasesTold = false;
  /** It could not be made for a log event: that is not tried again. */
  private madeInVain = false;
  private logged = false;

  constructor(config: StreamConfig, scope: Scope, life: Life, journal: Journal) {
    this.config = config;
    this.scope = scope;
    this.life = life;
    this.journal = journal;
  }

  // ---- Author ----

  /** Only once it is made. */
  get filter(): StreamFilter {
    return this.made!;
  }

  get rules(): HeaderRules {
    return this.config.rules;
  }

  get phase(): Phase | undefined {
    return this.scope.phase;
  }

  get signal(): AbortSignal {
    return this.life.signal;
  }

  run<R>(phase: Phase | undefined, fn: (...args: never[]) => R, self: unknown, a?: unknown, b?: unknown): R {
    return this.scope.run(phase, fn, self, a, b);
  }

  lateError(phase: Phase, error: unknown): void {
    // What the end of the stream itself threw into the author's code is no news.
    if (this.life.isOwn(error)) return;
    this.journal.error(phase, error, this.life.gone ? 'after its stream had ended' : 'after it had replied or failed');
  }

  // ---- its making ----

  get exists(): boolean {
    return this.made !== undefined;
  }

  /** Throws what the author's `create` throws, and for what is no filter. */
  create(callbacks: FilterCallbacks<Attribute>): void {
    const { config } = this;
    const { definition, value } = config;
    const filter: unknown = this.run(undefined, definition.create as () => unknown, definition, value, callbacks);
    if (!config.checked) {
      checkInstance(filter);
      config.checked = true;
    }
    const bits = phasesOf(filter as StreamFilter);
    checkPhases(bits, config.declared);
    this.bits = bits;
    this.made = filter as StreamFilter;
  }

  /** For a filter that has seen nothing but log events. No log event fails a stream; headers that come will try again. */
  createForLog(phase: LogHook, callbacks: () => FilterCallbacks<Attribute>): void {
    if (this.exists || this.life.hasFailed || this.madeInVain) return;
    try {
      this.create(callbacks());
    } catch (e) {
      this.madeInVain = true;
      this.journal.error(undefined, e, `for ${phase}`);
    }
  }

  /** What the module is to send, told with the first answer. */
  phasesToTell(): number {
    if (this.phasesTold) return PHASES_UNCHANGED;
    this.phasesTold = true;
    return this.bits;
  }

  // ---- its end ----

  logHook(phase: LogHook, entry: EntryMaker): void {
    const hook = this.made?.[phase];
    if (hook !== undefined) this.unawaited(phase, hook as () => unknown, entry());
  }

  /** Once. */
  onLog(entry: EntryMaker): void {
    if (this.logged) return;
    this.logged = true;
    this.logHook('onLog', entry);
  }

  /** The hooks of the end; `entry` for an onLog whose event was lost. */
  end(reason: 'complete' | 'reset' | 'host_drain', entry: EntryMaker): void {
    const { made } = this;
    if (made === undefined || (this.bits & AT_END) === 0) return;
    this.onLog(entry);
    if (made.onStreamComplete !== undefined) this.unawaited('onStreamComplete', made.onStreamComplete, undefined);
    if (made.onDestroy !== undefined) this.unawaited('onDestroy', made.onDestroy as () => unknown, reason);
  }

  private unawaited(phase: Phase | 'onDestroy', hook: () => unknown, argument: unknown): void {
    const threw = (e: unknown): void => {
      if (this.life.gone) this.lateError(phase as Phase, e);
      else this.journal.error(phase as Phase, e);
    };
    try {
      const result = this.run(phase as Phase, hook, this.made, argument);
      if (result instanceof Promise) result.catch(threw);
    } catch (e) {
      threw(e);
    }
  }
}
