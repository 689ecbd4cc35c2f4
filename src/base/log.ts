/** JSON lines on stdout. Written synchronously: a worker may die of its next statement, and its last line matters most. */
import { pino, type Logger } from 'pino';

export type { Logger };

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export function createLog(level: string, fields: Readonly<Record<string, unknown>> = {}): Logger {
  const destination = pino.destination({ fd: 1, sync: true });
  destination.on('error', (error: NodeJS.ErrnoException) => {
    // Its terminal is gone: nobody reads it, and there may be streams to end.
    if (error.code !== 'EIO') throw error;
  });
  return pino({ level, base: { pid: process.pid, ...fields } }, destination);
}

/** An error as log fields: the code apart, because that is what people search for. */
export function errorFields(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { err: { message: String(error) } };
  const code = (error as { code?: unknown }).code;
  return { ...(typeof code === 'string' ? { code } : {}), err: error };
}
