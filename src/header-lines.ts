/** Headers as lines: from what an author gives, and into a block as Envoy would send it. */
import type { HeaderInit } from './types-data.js';
import type { HeaderBlock } from './wire.js';

/** A block from lines, for maps that did not come from Envoy. */
export function packHeaders(lines: readonly (readonly [string, string])[]): HeaderBlock {
  let size = 0;
  for (const [name, value] of lines) size += 8 + name.length + value.length;
  const bytes = Buffer.allocUnsafeSlow(size);
  let at = 0;
  for (const [name, value] of lines) {
    at = bytes.writeUInt32LE(name.length, at);
    at = bytes.writeUInt32LE(value.length, at);
    at += bytes.write(name, at, 'latin1');
    at += bytes.write(value, at, 'latin1');
  }
  return { bytes, count: lines.length };
}

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
