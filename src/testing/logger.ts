/** The host's log, kept line by line. */
import type { HostLogger } from '../base/deps.js';
import type { LogLine } from './types.js';

export class KeptLog implements HostLogger {
  readonly lines: LogLine[];
  private readonly bindings: Readonly<Record<string, unknown>>;

  constructor(lines: LogLine[] = [], bindings: Readonly<Record<string, unknown>> = {}) {
    this.lines = lines;
    this.bindings = bindings;
  }

  debug(fields: object, message = ''): void {
    this.keep('debug', fields, message);
  }
  info(fields: object, message = ''): void {
    this.keep('info', fields, message);
  }
  warn(fields: object, message = ''): void {
    this.keep('warn', fields, message);
  }
  error(fields: object, message = ''): void {
    this.keep('error', fields, message);
  }

  child(bindings: Record<string, unknown>): KeptLog {
    return new KeptLog(this.lines, { ...this.bindings, ...bindings });
  }

  private keep(level: LogLine['level'], fields: object, message: string): void {
    this.lines.push({ level, message, fields: { ...this.bindings, ...fields } });
  }
}
