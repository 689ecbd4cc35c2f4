/** Header lines of a test: from what it gives, and as views to look at. */
import type { HeaderInit, HeaderView } from '../api/types-data.js';
import { HeaderLines, packHeaders } from '../base/header-block.js';
import { HeaderType } from '../base/wire.js';
import { HeaderRules } from '../headers/header-rules.js';
import { HeaderViewImpl, RequestViewImpl } from '../headers/header-views.js';
import { type HeaderOwner, HeaderMapImpl } from '../headers/headers.js';

const NOBODY: HeaderOwner = { phase: undefined, rules: new HeaderRules([], []) };

/** Empty values are kept: a peer may send them. */
export function given(init: HeaderInit | undefined): HeaderLines {
  return init === undefined ? new HeaderLines() : HeaderLines.from(lower(allLines(init)));
}

function* lower(lines: Iterable<readonly [string, string]>): Iterable<[string, string]> {
  for (const [name, value] of lines) yield [name.toLowerCase(), value];
}

function* allLines(init: HeaderInit): Iterable<readonly [string, string]> {
  if (Symbol.iterator in init) yield* init as Iterable<readonly [string, string]>;
  else
    for (const [name, value] of Object.entries(init as Record<string, string | readonly string[]>))
      for (const one of [value].flat()) yield [name, one];
}

const mapOf = (type: HeaderType, lines: HeaderLines): HeaderMapImpl =>
  new HeaderMapImpl(NOBODY, type, packHeaders(lines.flat()), false);

export function requestView(lines: HeaderLines): RequestViewImpl {
  return new RequestViewImpl(mapOf(HeaderType.Request, lines));
}

/** Without pseudo-headers. */
export function plainView(lines: HeaderLines): HeaderView {
  const plain = HeaderLines.from([...lines].filter(([name]) => !name.startsWith(':')));
  return new HeaderViewImpl(mapOf(HeaderType.Response, plain));
}

export function trailersView(lines: HeaderLines | undefined): HeaderView | undefined {
  return lines === undefined ? undefined : plainView(lines);
}
