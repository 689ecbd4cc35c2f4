/** JSON lines on stdout. Written synchronously: a worker may die of its next statement, and its last line matters most. */
import { pino } from 'pino';
import type { HostErrorCode } from './host-errors.js';
import { writeOut } from './output.js';

/** The code of an error that is not ours: Node's, or its author's. */
type ForeignCode = string & { readonly isForeign: true };

/** What a line says beside its words. A code is one that people can look up, or an error's own. */
export interface LogFields {
  readonly code?: HostErrorCode | ForeignCode;
  readonly [field: string]: unknown;
}

interface Write {
  (message: string): void;
  (fields: LogFields, message: string): void;
}

/** The part of pino that is used here. */
export interface Logger {
  readonly debug: Write;
  readonly info: Write;
  readonly warn: Write;
  readonly error: Write;
  child(fields: Readonly<Record<string, unknown>>): Logger;
}

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export function createLog(level: string, fields: Readonly<Record<string, unknown>> = {}): Logger {
  return pino({ level, base: { pid: process.pid, ...fields } }, { write: (line) => writeOut(1, line) });
}

/** An error as log fields: the code apart, because that is what people search for. */
export function errorFields(error: unknown): LogFields {
  if (!(error instanceof Error)) return { err: { message: String(error) } };
  const code = (error as { code?: unknown }).code;
  return { ...(typeof code === 'string' ? { code: code as ForeignCode } : {}), err: error };
}
