/** The host's log for people who read along: a line each, and of an error the author's own place first. */
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { authorFrame } from '../base/places.js';

export interface LogRecord {
  readonly level?: number;
  readonly time?: number;
  readonly msg?: string;
  readonly filter?: string;
  readonly err?: { readonly type?: string; readonly message?: string; readonly stack?: string };
  readonly [field: string]: unknown;
}

const NAMES: Readonly<Record<number, string>> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'warn',
  50: 'error',
  60: 'fatal',
};
const COLOURS: Readonly<Record<string, string>> = { debug: '2', trace: '2', warn: '33', error: '31', fatal: '31' };
/** What stands elsewhere in the line, or helps nobody who reads along. */
const LEFT_OUT = new Set(['level', 'time', 'pid', 'msg', 'filter', 'err', 'worker', 'stack', 'at']);
const LONGEST_VALUE = 300;

export function recordOf(line: string): LogRecord | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    return JSON.parse(line) as LogRecord;
  } catch {
    return undefined;
  }
}

export class Pretty {
  readonly #hasColours: boolean;

  constructor(hasColours: boolean) {
    this.#hasColours = hasColours;
  }

  line(record: LogRecord): string {
    const { level = 30, time, msg = '', filter, err } = record;
    const name = NAMES[level] ?? String(level);
    const clock = time === undefined ? '' : new Date(time).toTimeString().slice(0, 8);
    const stack = err?.stack ?? (typeof record['stack'] === 'string' ? record['stack'] : undefined);
    const fields = Object.entries(record).flatMap(([key, value]) =>
      LEFT_OUT.has(key) ? [] : [`${key}=${shown(value)}`],
    );
    const head = [
      this.#in('2', clock),
      this.#in(COLOURS[name] ?? '36', name.padEnd(5)),
      filter ?? 'host',
      msg.replace(/ \(at [^()]*(?:\([^()]*\))?\)$/, ''),
    ];
    const isSaid = err?.message === undefined || msg.includes(err.message);
    const what = isSaid ? '' : ` ${err.type ?? 'Error'}: ${err.message}`;
    return `${head.join(' ')}${what}${fields.length > 0 ? ` ${this.#in('2', fields.join(' '))}` : ''}${this.#places(stack)}`;
  }

  /** The author's line, with its source, then the rest of the stack. */
  #places(stack: string | undefined): string {
    if (stack === undefined) return '';
    const frame = authorFrame(stack);
    const all = stack.split('\n').filter((line) => /^\s+at /.test(line));
    const rest = all
      .filter((line) => frame === undefined || !line.includes(frame))
      .map((line) => this.#in('2', `    ${line.trim()}`));
    const own = frame === undefined ? [] : [`  at ${local(frame)}`, ...this.#source(frame)];
    return ['', ...own, ...rest].join('\n');
  }

  #source(frame: string): string[] {
    const match = /((?:file:\/\/)?\/[^():]+):(\d+):(\d+)/.exec(frame);
    if (match === null) return [];
    const [, file = '', line = '', column = ''] = match;
    const text = lineOf(file, Number(line));
    if (text === undefined) return [];
    return [
      `  ${line} | ${text}`,
      `  ${' '.repeat(line.length)} | ${' '.repeat(Number(column) - 1)}${this.#in('31', '^')}`,
    ];
  }

  #in(colour: string, text: string): string {
    return this.#hasColours && text !== '' ? `\x1b[${colour}m${text}\x1b[0m` : text;
  }
}

const pathOf = (file: string): string => (file.startsWith('file:') ? fileURLToPath(file) : file);

/** From where the author stands. */
function local(frame: string): string {
  return frame.replace(/(?:file:\/\/)?\/[^():]+(?=:\d+:\d+)/, (file) => relative(process.cwd(), pathOf(file)));
}

function lineOf(file: string, line: number): string | undefined {
  try {
    return readFileSync(pathOf(file), 'utf8').split('\n')[line - 1];
  } catch {
    return undefined;
  }
}

function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE)}...` : text;
}
