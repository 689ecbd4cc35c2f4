/** The `headers` of response-rewrite and proxy-rewrite: `{add, set, remove}`, or the old form `{name: value}`. */
import { core } from '../core/index.js';

type Value = string | number | readonly (string | number)[];

export interface HeaderActions {
  readonly add: readonly (readonly [name: string, values: readonly string[]])[];
  readonly set: readonly (readonly [name: string, values: readonly string[]])[];
  readonly remove: readonly string[];
}
export type HeadersConf = Readonly<Record<string, unknown>>;

const VERBS = ['add', 'set', 'remove'];
/** An object with other names than verbs, or with a verb that is no list and no object, is of the old form. */
const isOldForm = (headers: HeadersConf): boolean =>
  !Object.entries(headers).every(([name, value]) => VERBS.includes(name) && typeof value === 'object');

/** `add` is a list of `name: value`, or an object. */
export function readHeaders(headers: HeadersConf | undefined): HeaderActions {
  if (headers === undefined) return { add: [], set: [], remove: [] };
  if (isOldForm(headers)) return { add: [], set: pairsOf(headers), remove: [] };
  const {
    add = [],
    set = {},
    remove = [],
  } = headers as {
    add?: readonly string[] | HeadersConf;
    set?: HeadersConf;
    remove?: readonly string[];
  };
  return {
    add: Array.isArray(add) ? (add as readonly string[]).map(splitLine) : pairsOf(add as HeadersConf),
    set: pairsOf(set),
    remove,
  };
}

const pairsOf = (headers: HeadersConf): (readonly [string, readonly string[]])[] =>
  Object.entries(headers).map(([name, value]) => [name, [value as Value].flat().map(String)]);

function splitLine(line: string): readonly [string, readonly string[]] {
  const colon = line.indexOf(':');
  return colon < 0 ? [line.trim(), ['']] : [line.slice(0, colon).trim(), [line.slice(colon + 1).trim()]];
}

export function checkHeaders(headers: HeadersConf | undefined): string | undefined {
  if (headers === undefined) return undefined;
  if (isOldForm(headers)) {
    for (const value of Object.values(headers)) {
      const wrong = core.utils.validate_header_value(value);
      if (wrong !== undefined) return wrong;
    }
  }
  const { add, set, remove } = readHeaders(headers);
  const pairs = [...add, ...set];
  for (const name of [...pairs.map(([field]) => field), ...remove]) {
    const wrong = core.utils.validate_header_field(name);
    if (wrong !== undefined) return wrong;
  }
  for (const value of pairs.flatMap(([, values]) => values)) {
    const wrong = core.utils.validate_header_value(value);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}
