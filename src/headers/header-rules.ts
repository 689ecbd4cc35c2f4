/**
 * What a filter may write into headers: HTTP's grammar, the pseudo-headers, and the operator's allow and deny lists.
 * The module checks the same again, for it trusts no host; here a mistake throws where it was made.
 */
import { FilterError } from '../api/errors.js';
import { HeaderType } from '../base/wire.js';

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

const BAD_VALUE = /[\0\r\n\u0100-\uffff]/;
/** Names that were found good, at most so many: filters write a handful of constant names. */
const REMEMBERED = 256;

const NO_PSEUDO: readonly string[] = [];
/** By HeaderType. */
const SETTABLE: readonly (readonly string[])[] = [
  [':path', ':method', ':scheme', ':authority'],
  NO_PSEUDO,
  [':status'],
  NO_PSEUDO,
];

export type HeaderWrite = 'set' | 'add' | 'delete';

/** The rules of one config. */
export class HeaderRules {
  private readonly allow: ReadonlySet<string> | undefined;
  private readonly deny: ReadonlySet<string>;
  private readonly known = new Map<string, string>();

  constructor(allow: readonly string[], deny: readonly string[]) {
    this.allow = allow.length === 0 ? undefined : new Set(allow.map((name) => name.toLowerCase()));
    this.deny = new Set(deny.map((name) => name.toLowerCase()));
  }

  /** The name as Envoy wants it, in lower case; throws when that write is not allowed. */
  name(type: HeaderType, write: HeaderWrite, name: string): string {
    const known = this.known.get(name);
    if (known !== undefined) return known;
    return this.judge(type, write, name);
  }

  private judge(type: HeaderType, write: HeaderWrite, name: string): string {
    if (typeof name !== 'string')
      throw new FilterError('TSF_HEADER_INVALID', `header names are strings, not ${typeof name}`);
    let lower = name.toLowerCase();
    // Envoy keeps the request's Host header as `:authority`.
    if (lower === 'host' && type === HeaderType.Request) lower = ':authority';
    const pseudo = lower.startsWith(':');
    if (!pseudo && !TOKEN.test(lower)) {
      throw new FilterError('TSF_HEADER_INVALID', `${JSON.stringify(name)} is not a header name`);
    }
    this.permit(lower, name);
    if (pseudo) {
      if (write !== 'set' || SETTABLE[type]?.includes(lower) !== true) {
        throw new FilterError('TSF_HEADER_PSEUDO', `cannot ${write} ${lower} in ${TYPE_NAMES[type] ?? ''}`);
      }
      return lower; // what is allowed depends on the map: not remembered
    }
    if (lower !== 'host' && this.known.size < REMEMBERED) this.known.set(name, lower);
    return lower;
  }

  private permit(lower: string, name: string): void {
    const also = lower === ':authority' ? 'host' : lower;
    if (this.deny.has(lower) || this.deny.has(also)) {
      throw new FilterError('TSF_HEADER_REFUSED', `the operator's headers.deny forbids writing ${name}`);
    }
    if (this.allow !== undefined && !this.allow.has(lower) && !this.allow.has(also)) {
      throw new FilterError('TSF_HEADER_REFUSED', `the operator's headers.allow does not have ${name}`);
    }
  }
}

export const TYPE_NAMES: readonly string[] = [
  'request headers',
  'request trailers',
  'response headers',
  'response trailers',
];

/** They belong to a connection, and Envoy makes its own. */
export const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
  'te',
]);

/** Free of what ends a line: for text that goes where header values go. */
export function isLine(text: string): boolean {
  return !BAD_VALUE.test(text);
}

/** Throws when the value cannot be written. */
export function checkValue(name: string, value: string): void {
  if (typeof value !== 'string') {
    throw new FilterError(
      'TSF_HEADER_INVALID',
      `the value of ${name} is ${value === null ? 'null' : typeof value}, not a string`,
    );
  }
  if (value === '') throw new FilterError('TSF_HEADER_EMPTY', `the value of ${name} is empty; Envoy cannot write that`);
  if (BAD_VALUE.test(value)) {
    throw new FilterError('TSF_HEADER_INVALID', `the value of ${name} has CR, LF, NUL or a character above U+00FF`);
  }
  if (name === ':status') statusOf(value);
  if (name === 'content-length' && !/^\d{1,15}$/.test(value))
    throw new FilterError(
      'TSF_HEADER_INVALID',
      `${JSON.stringify(value)} is no content-length: it is a number of bytes`,
    );
}

/** A status that a response may have: 200 to 599. */
export function statusOf(value: number | string): number {
  if (!/^[2-5]\d\d$/.test(String(value))) {
    throw new FilterError('TSF_HEADER_INVALID', `${String(value)} is not a response status (200 to 599)`);
  }
  return Number(value);
}
