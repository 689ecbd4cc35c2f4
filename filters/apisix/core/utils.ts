/** Helpers that plugins of APISIX know from `core.utils`. */
import { hostname } from 'node:os';
import type { HeaderMap } from 'envoy-ts-filter';

/** Anything that knows variables by name. */
export type VarSource = { readonly [name: string]: string | number | undefined };

const VARIABLE = /(\\?)\$(?:\{\s*(\w+)\s*(?:\?\?\s*([^}]*?)\s*)?\}|(\w+))/g;

/** Puts the values of `$name` and `${name}` into a text; `${name ?? text}` gives a text for a variable without value, and
 *  `\$name` stays as it is. The result is bytes, one code unit each, as headers are. */
export function resolve_var(template: string, vars: VarSource): string {
  return resolveVars(template, vars).text;
}

/** Also says how many of the variables had a value, which go through `change` on their way. */
export function resolveVars(
  template: string,
  vars: VarSource,
  change: (value: string, name: string) => string = (value) => value,
): { readonly text: string; readonly resolved: number } {
  if (!template.includes('$')) return { text: latin1(template), resolved: 0 };
  let resolved = 0;
  const text = latin1(template).replace(
    VARIABLE,
    (found: string, escaped: string, braced: string | undefined, otherwise: string | undefined, plain?: string) => {
      if (escaped !== '') return found;
      const name = braced ?? plain ?? '';
      const value = vars[name] ?? otherwise;
      if (value === undefined || value === '') return '';
      resolved++;
      return change(String(value), name);
    },
  );
  return { text, resolved };
}

/** A text of the configuration as the bytes of its UTF-8. */
export const latin1 = (text: string): string =>
  /[^\x00-\x7f]/.test(text) ? Buffer.from(text, 'utf8').toString('latin1') : text; // eslint-disable-line no-control-regex

const hex = (code: number): string => `%${code.toString(16).toUpperCase().padStart(2, '0')}`;

/** Percent-encodes the bytes that may not stand in a path. `/` and `%` of an encoding are not kept apart: the text is a
 *  decoded one. */
export function uri_safe_encode(path: string): string {
  return path.replace(/[^A-Za-z0-9\-._~!$&'()*+,;=:@/]/g, (char) => hex(char.charCodeAt(0)));
}

/** Percent-encodes a part of a query. */
export const escapeArg = (text: string): string =>
  text.replace(/[^A-Za-z0-9\-._~!'()*]/g, (char) => hex(char.charCodeAt(0)));

/** What would end a header line goes percent-encoded, as in OpenResty. */
export const headerSafe = (value: string): string =>
  // eslint-disable-next-line no-control-regex
  value.replace(/[\x00-\x08\x0a-\x1f\x7f]/g, (char) => hex(char.charCodeAt(0)));

/** Decodes `%xx` into bytes; what is no encoding stays. */
export const unescapeUri = (text: string): string =>
  text.includes('%')
    ? text.replace(/%([0-9a-fA-F]{2})/g, (_found, digits: string) => String.fromCharCode(parseInt(digits, 16)))
    : text;

/** nginx's `$uri`: decoded, without dot segments and empty segments. */
export function normalizePath(raw: string): string {
  const path = unescapeUri(raw);
  if (!path.includes('//') && !path.includes('/.')) return path;
  const out: string[] = [];
  for (const segment of path.split('/').slice(1)) {
    if (segment === '..') out.pop();
    else if (segment !== '.' && segment !== '') out.push(segment);
  }
  const isFolder = /\/\.{0,2}$/.test(path) && out.length > 0;
  return `/${out.join('/')}${isFolder ? '/' : ''}`;
}

export const gethostname = (): string => hostname();

export type HeaderValue = string | number | readonly (string | number)[] | undefined;

/** The lines that a value stands for; empty ones are none. */
export function headerLines(value: HeaderValue): readonly string[] {
  if (value === undefined || value === '') return [];
  if (typeof value === 'object') return value.map(String).filter((line) => line !== '');
  return [String(value)];
}

/** These lines in the place of those of that name. */
export function replaceHeader(headers: HeaderMap, name: string, value: HeaderValue): void {
  const lines = headerLines(value);
  if (lines.length > 0) headers.set(name, lines[0]!);
  else if (headers.has(name)) headers.delete(name);
  for (let i = 1; i < lines.length; i++) headers.add(name, lines[i]!);
}

/** What is wrong with a header's name or value, in APISIX's words. */
export function validate_header_field(name: string): string | undefined {
  if (name === '') return 'invalid field length in header';
  return /^[\w!#$%&'*+.^`|~-]+$/.test(name) ? undefined : 'invalid field character in header';
}
export function validate_header_value(value: unknown): string | undefined {
  if (typeof value === 'number') return undefined;
  if (typeof value !== 'string') return 'invalid type as header value';
  // eslint-disable-next-line no-control-regex
  return /[\x00-\x08\x0a-\x1f\x7f]/.test(value) ? 'invalid value character in header' : undefined;
}
