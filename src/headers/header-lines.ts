/** Header lines from what an author gives. */
import type { HeaderInit } from '../api/types-data.js';

/** The lines of a HeaderInit, in order. Lines with an empty value are left out: Envoy cannot write them. */
export function headerLines(init: HeaderInit | undefined): [string, string][] {
  const lines: [string, string][] = [];
  if (init === undefined) return lines;
  const take = (name: string, value: string): void => {
    if (value !== '') lines.push([name, value]);
  };
  if (Symbol.iterator in init) {
    for (const [name, value] of init as Iterable<readonly [string, string]>) take(name, value);
  } else {
    for (const [name, value] of Object.entries(init as { readonly [name: string]: string | readonly string[] })) {
      if (typeof value === 'object') for (const one of value) take(name, one);
      else take(name, value);
    }
  }
  return lines;
}
