/** The header lines of a reply, from what an author gives. */
import { headerLines } from './header-lines.js';
import { checkValue, HOP_BY_HOP, type HeaderRules } from './header-rules.js';
import type { HeaderInit } from '../api/types-data.js';
import { HeaderType } from '../base/wire.js';
import { LENGTH } from './framing.js';

/** Bodies, and their headers, that are as they came over the wire. `fetch` decodes what it is given. */
const asTheyCame = new WeakSet<object>();

/** A body that httpCall gives, which has not been decoded. */
export function markAsItCame(response: Response): void {
  asTheyCame.add(response.headers);
  if (response.body !== null) asTheyCame.add(response.body);
}

/**
 * name, value, name, value … The web's Headers, given together with a body, are taken for those of a `fetch`, whose body
 * is decoded by then: they lose the encoding and the length that it had, and what was about its connection.
 * `bodiless`: an answer that has no body, whose length is that of the body which a GET would get.
 */
export function replyLines(
  rules: HeaderRules,
  init: HeaderInit | undefined,
  body: unknown,
  bodiless: boolean,
): string[] {
  const drop = new Set(['transfer-encoding']);
  const given = body !== undefined && body !== null;
  if (isWebHeaders(init)) {
    for (const name of HOP_BY_HOP) drop.add(name);
    drop.add('trailer');
    const bodyCame = typeof body === 'object' && given && asTheyCame.has(body);
    if (!bodyCame && (given || !bodiless)) drop.add(LENGTH);
    if (!bodyCame && given && !asTheyCame.has(init)) drop.add('content-encoding');
  }
  return headerLines(init).flatMap(([name, value]) => {
    const lower = rules.name(HeaderType.Response, 'add', name);
    checkValue(lower, value);
    return drop.has(lower) ? [] : [lower, value];
  });
}

/** Also of another copy of `fetch`. */
function isWebHeaders(init: HeaderInit | undefined): init is Headers {
  return Object.prototype.toString.call(init) === '[object Headers]';
}
