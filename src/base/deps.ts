/** What the process lends to its streams. Tests lend a fake clock and a recording logger. */
import { Turns } from './turns.js';

/** The part of pino that is used here. */
export interface HostLogger {
  debug(fields: object, message?: string): void;
  info(fields: object, message?: string): void;
  warn(fields: object, message?: string): void;
  error(fields: object, message?: string): void;
  child(bindings: Record<string, unknown>): HostLogger;
}

export interface StreamDeps {
  readonly logger: HostLogger;
  /** Index of this host thread, for the logs. Default 0. */
  readonly thread?: number;
  /** Milliseconds, monotonic. Default performance.now. */
  now?(): number;
  setTimeout?(callback: () => void, milliseconds: number): unknown;
  clearTimeout?(handle: unknown): void;
}

/** StreamDeps with every default filled in. */
export interface FilledDeps {
  readonly logger: HostLogger;
  readonly thread: number;
  now(): number;
  setTimeout(callback: () => void, milliseconds: number): unknown;
  clearTimeout(handle: unknown): void;
  readonly turns: Turns;
}

export function fillDeps(deps: StreamDeps): FilledDeps {
  return {
    logger: deps.logger,
    thread: deps.thread ?? 0,
    now: deps.now ?? (() => performance.now()),
    // Read at the call, so that fake timers installed later are seen.
    setTimeout: deps.setTimeout ?? ((callback, milliseconds) => setTimeout(callback, milliseconds)),
    clearTimeout:
      deps.clearTimeout ??
      ((handle) => {
        clearTimeout(handle as NodeJS.Timeout);
      }),
    turns: new Turns(),
  };
}
