/** What `load` is given, checked, as plain data that can cross threads. */
import { fileURLToPath } from 'node:url';
import { CallsError } from './errors.js';
import { fits, MAX_NAME_BYTES, type Payload } from './frames.js';
import { toPayload } from './payload.js';

/** Where a runtime comes from: a command, or a module for a worker thread. */
export type Program =
  | {
      /** The program and its arguments. It finds its socket in `TS_FILTER_CALLS`; its output goes to the host's log. */
      readonly command: readonly [string, ...string[]];
      /** Its folder; default the host's. */
      readonly cwd?: string | URL;
      /** Added to the host's environment. */
      readonly env?: Readonly<Record<string, string>>;
      readonly module?: never;
    }
  | {
      /** A module, in TypeScript or JavaScript, that runs on a worker thread of its own. */
      readonly module: URL;
      readonly command?: never;
      readonly cwd?: never;
      readonly env?: never;
    };

export type LoadOptions = Program & {
  /** One instance for all filter threads of the host; default: each filter thread has its own. */
  readonly isGlobal?: boolean;
  /** How long a call may take, when it does not say itself. Default 5000. */
  readonly timeoutMs?: number;
  /** From the start until it has loaded. Default 10000. */
  readonly startTimeoutMs?: number;
  /** How long it may go on when it is to end. Default 2000. */
  readonly graceMs?: number;
  /** When it has as many cancelled calls as it takes and answers none of them for so long, it is ended. Default 10000. */
  readonly stuckMs?: number;
  /** Calls of this thread that may be unanswered at once; over it `CALLS_BUSY`. Default 16384. */
  readonly maxCalls?: number;
  /** Bytes of their payloads. Default 64 MiB. */
  readonly maxBytes?: number;
};

export interface RuntimeSpec {
  readonly name: string;
  readonly init: Payload;
  readonly program:
    | {
        readonly kind: 'command';
        readonly command: readonly string[];
        readonly cwd?: string;
        readonly env: Record<string, string>;
      }
    | { readonly kind: 'worker'; readonly module: string };
  readonly startTimeoutMs: number;
  readonly graceMs: number;
  readonly stuckMs: number;
}

export interface CallLimits {
  readonly timeoutMs: number;
  readonly maxCalls: number;
  readonly maxBytes: number;
}

export const invalid = (message: string): CallsError => new CallsError({ code: 'CALLS_ARGUMENT', message });

const LONGEST_MS = 0x7fffffff;

export function milliseconds(what: string, value: unknown, otherwise: number): number {
  return wholeNumber(what, value, otherwise, LONGEST_MS);
}

function wholeNumber(what: string, value: unknown, otherwise: number, most: number): number {
  if (value === undefined) return otherwise;
  if (typeof value === 'number' && Number.isInteger(value) && value > 0 && value <= most) return value;
  throw invalid(`${what} must be a whole number from 1 to ${String(most)}`);
}

export function checkName(what: string, name: string): void {
  const bytes = Buffer.byteLength(name);
  if (bytes < 1 || bytes > MAX_NAME_BYTES) throw invalid(`${what} must have 1 to ${String(MAX_NAME_BYTES)} bytes`);
}

function program(options: LoadOptions): RuntimeSpec['program'] {
  const { command, module, cwd, env = {} } = options;
  if ((command === undefined) === (module === undefined)) throw invalid('either command or module must be given');
  if (module !== undefined) {
    if (!(module instanceof URL)) throw invalid("module must be a URL: new URL('./file.ts', import.meta.url)");
    return { kind: 'worker', module: module.href };
  }
  if (!Array.isArray(command) || command.length === 0 || !command.every((one) => typeof one === 'string'))
    throw invalid('command must be a list of strings');
  const folder = cwd instanceof URL ? fileURLToPath(cwd) : cwd;
  return { kind: 'command', command, env: { ...env }, ...(folder === undefined ? {} : { cwd: folder }) };
}

/** Throws CALLS_ARGUMENT. */
export function specOf(name: string, init: unknown, options: LoadOptions): { spec: RuntimeSpec; limits: CallLimits } {
  checkName('the name', name);
  let payload: Payload;
  try {
    payload = toPayload(init);
  } catch (e) {
    throw invalid(`init: ${(e as Error).message}`);
  }
  if (!fits(payload, name)) throw invalid('init is too large');
  return {
    spec: {
      name,
      init: payload,
      program: program(options),
      startTimeoutMs: milliseconds('startTimeoutMs', options.startTimeoutMs, 10_000),
      graceMs: milliseconds('graceMs', options.graceMs, 2000),
      stuckMs: milliseconds('stuckMs', options.stuckMs, 10_000),
    },
    limits: {
      timeoutMs: milliseconds('timeoutMs', options.timeoutMs, 5000),
      maxCalls: wholeNumber('maxCalls', options.maxCalls, 16_384, 1 << 24),
      maxBytes: wholeNumber('maxBytes', options.maxBytes, 64 << 20, Number.MAX_SAFE_INTEGER),
    },
  };
}
