/** defineFilter, and the checks that TypeScript makes at compile time made again at load, for filters in JavaScript. */
import { type Attribute, attributeNames } from './attributes.js';
import { ConfigError, FilterError } from './errors.js';
import { transformKind } from './transform.js';
import type { Phase, StreamFilter } from './types.js';
import type { Filter, FilterDefinition, OneConfigStyle } from './types-definition.js';
import { PhaseBit } from '../base/wire.js';

// By Symbol.for, so that a filter bundled with its own copy of this package is understood.
const DEFINITION: unique symbol = Symbol.for('envoy-ts-filter.definition') as never;

/** A definition with its types rubbed off, as the registry uses it. */
export type AnyDefinition = FilterDefinition<unknown, unknown, Attribute, Phase, StreamFilter>;

/** Every member that `create` may return. */
const MEMBERS = Object.keys(PhaseBit) as (keyof StreamFilter)[];
const KEYS = [
  'name',
  'schema',
  'parseConfig',
  'parseRouteConfig',
  'mergeConfig',
  'destroyConfig',
  'attributes',
  'phases',
  'stateless',
  'create',
];
const FUNCTIONS = ['parseConfig', 'parseRouteConfig', 'mergeConfig', 'destroyConfig'] as const;

/**
 * Defines a filter. Throws ConfigError when the definition is wrong, so that a mistake shows when the file is loaded.
 *
 * @example
 * export default defineFilter({
 *   name: 'hello',
 *   create: () => ({ encodeHeaders(headers) { headers.set('x-hello', 'world'); } }),
 * });
 */
export function defineFilter<
  C = import('./types-data.js').Json | undefined,
  R = C,
  const A extends Attribute = never,
  const P extends Phase = Phase,
  F extends StreamFilter = StreamFilter,
>(definition: FilterDefinition<C, R, A, P, F> & OneConfigStyle): Filter<C> {
  try {
    checkDefinition(definition);
  } catch (error) {
    // The first place of the stack is shown: the author's call, not ours.
    if (error instanceof Error) Error.captureStackTrace(error, defineFilter);
    throw error;
  }
  return Object.freeze({ name: definition.name, [DEFINITION]: definition });
}

/** The definition inside a filter, undefined when the value is none. */
export function definitionOf(value: unknown): AnyDefinition | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  return (value as { [DEFINITION]?: AnyDefinition })[DEFINITION];
}

function checkDefinition(definition: unknown): void {
  if (typeof definition !== 'object' || definition === null) {
    throw new ConfigError('', 'defineFilter takes one object: { name, create, … }');
  }
  const given = definition as { [key: string]: unknown };
  const { name } = given;
  if (typeof name !== 'string' || name === '') throw new ConfigError('name', 'must be a string that is not empty');
  const where = (key: string): string => `${name}.${key}`;
  for (const key of Object.keys(given)) {
    if (!KEYS.includes(key)) {
      const hook = MEMBERS.includes(key as keyof StreamFilter) ? '; hooks belong into what create() returns' : '';
      throw new ConfigError(where(key), `is not part of a definition${hook}${suggest(key, KEYS)}`);
    }
  }
  for (const key of FUNCTIONS) {
    if (given[key] !== undefined && typeof given[key] !== 'function')
      throw new ConfigError(where(key), 'must be a function');
  }
  if (given['stateless'] !== undefined && typeof given['stateless'] !== 'boolean') {
    throw new ConfigError(where('stateless'), 'must be true or false');
  }
  if (typeof given['create'] !== 'function') throw new ConfigError(where('create'), 'must be a function');
  const { schema } = given;
  if (schema !== undefined) {
    if (given['parseConfig'] !== undefined) throw new ConfigError(where('schema'), 'schema or parseConfig, not both');
    const standard = (schema as { '~standard'?: { validate?: unknown } } | null)?.['~standard'];
    if (typeof standard?.validate !== 'function') {
      throw new ConfigError(where('schema'), "must be a Standard Schema (it has no '~standard'.validate)");
    }
  }
  checkNames(where('attributes'), given['attributes'], 'an attribute of Envoy', attributeNames());
  const phases = MEMBERS.filter((member) => member !== 'onDestroy');
  checkNames(where('phases'), given['phases'], 'a phase', phases);
}

function checkNames(path: string, list: unknown, what: string, all: readonly string[]): void {
  if (list === undefined) return;
  if (!Array.isArray(list)) throw new ConfigError(path, 'must be an array of names');
  list.forEach((one: unknown, i) => {
    if (typeof one !== 'string' || !all.includes(one)) {
      const needless = one === 'onDestroy' ? '; onDestroy needs no declaration' : undefined;
      const hint = needless ?? (typeof one === 'string' ? suggest(one, all) : '');
      throw new ConfigError(`${path}[${String(i)}]`, `${JSON.stringify(one) ?? 'undefined'} is not ${what}${hint}`);
    }
  });
}

/** `; did you mean "x"?` when a known name is near. */
export function suggest(wrong: string, known: readonly string[]): string {
  let best: string | undefined;
  let least = Math.max(2, Math.floor(wrong.length / 3)) + 1;
  for (const name of known) {
    const d = distance(wrong.toLowerCase(), name.toLowerCase());
    if (d < least) [best, least] = [name, d];
  }
  return best === undefined ? '' : `; did you mean "${best}"?`;
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}

/** Phase bits of a declared list; all ones when there is none. */
export function declaredPhases(phases: readonly Phase[] | undefined): number {
  if (phases === undefined) return 0xffffffff;
  let bits = 0;
  for (const phase of phases) bits |= PhaseBit[phase];
  return bits;
}

/** Which members a filter has. On every stream's path, so each is read by its name. */
export function phasesOf(filter: StreamFilter): number {
  let bits = 0;
  if (filter.decodeHeaders !== undefined) bits |= PhaseBit.decodeHeaders;
  if (filter.decodeData !== undefined) bits |= PhaseBit.decodeData;
  if (filter.decodeTrailers !== undefined) bits |= PhaseBit.decodeTrailers;
  if (filter.encodeHeaders !== undefined) bits |= PhaseBit.encodeHeaders;
  if (filter.encodeData !== undefined) bits |= PhaseBit.encodeData;
  if (filter.encodeTrailers !== undefined) bits |= PhaseBit.encodeTrailers;
  if (filter.transformRequest !== undefined) bits |= PhaseBit.transformRequest;
  if (filter.transformResponse !== undefined) bits |= PhaseBit.transformResponse;
  if (filter.onLogDownstreamStart !== undefined) bits |= PhaseBit.onLogDownstreamStart;
  if (filter.onLogDownstreamPeriodic !== undefined) bits |= PhaseBit.onLogDownstreamPeriodic;
  if (filter.onLog !== undefined) bits |= PhaseBit.onLog;
  if (filter.onStreamComplete !== undefined) bits |= PhaseBit.onStreamComplete;
  if (filter.onDestroy !== undefined) bits |= PhaseBit.onDestroy;
  return bits;
}

const MADE = 'the filter that create() returned';
const BOTH_REQUEST = PhaseBit.decodeData | PhaseBit.transformRequest;
const BOTH_RESPONSE = PhaseBit.encodeData | PhaseBit.transformResponse;
const LIKE_A_HOOK = /^(decode|encode|transform|on)/;

/** Two body styles in one direction, or a hook outside the declared phases. Cheap enough for every stream. */
export function checkPhases(bits: number, declared: number): void {
  if ((bits & BOTH_REQUEST) === BOTH_REQUEST) throw invalid('has decodeData and transformRequest: one or the other');
  if ((bits & BOTH_RESPONSE) === BOTH_RESPONSE) throw invalid('has encodeData and transformResponse: one or the other');
  const outside = bits & ~declared & ~PhaseBit.onDestroy;
  if (outside === 0) return;
  const names = MEMBERS.filter((member) => (PhaseBit[member] & outside) !== 0);
  throw invalid(`has ${names.join(', ')}, which its phases do not declare; add it to phases`);
}

/** A name that looks like a hook's and is none. */
export function nameFault(name: string): string | undefined {
  if (!LIKE_A_HOOK.test(name) || MEMBERS.includes(name as keyof StreamFilter)) return undefined;
  return `has ${name}, which is no hook${suggest(name, MEMBERS)}`;
}

/** A filter that is none at all, by its `typeof`. */
const notAnObject = (type: string): string => `is ${type}, not an object`;
export const IS_PROMISE = 'is a promise: create() cannot be async';

/** A member of the wrong kind. */
function kindFault(member: keyof StreamFilter): string {
  return member === 'transformRequest' || member === 'transformResponse'
    ? `has a ${member} that is neither a function, nor perChunk(fn), nor a TransformStream`
    : `has a ${member} that is no function`;
}

/** The rest of what a first instance is looked over for: misspelt names and values of the wrong kind. */
export function checkInstance(filter: unknown): asserts filter is StreamFilter {
  if (typeof filter !== 'object' || filter === null) {
    throw invalid(notAnObject(filter === null ? 'null' : typeof filter));
  }
  if (typeof (filter as { then?: unknown }).then === 'function') throw invalid(IS_PROMISE);
  for (
    let level: object | null = filter;
    level !== null && level !== Object.prototype;
    level = Object.getPrototypeOf(level) as object | null
  ) {
    for (const key of Object.getOwnPropertyNames(level)) {
      const fault = nameFault(key);
      if (fault !== undefined) throw invalid(fault);
    }
  }
  for (const member of MEMBERS) {
    const value: unknown = (filter as StreamFilter)[member];
    if (value === undefined) continue;
    const transform = member === 'transformRequest' || member === 'transformResponse';
    if (transform ? transformKind(value) === undefined : typeof value !== 'function') throw invalid(kindFault(member));
  }
}

function invalid(what: string): FilterError {
  return new FilterError('TSF_FILTER_INVALID', `${MADE} ${what}`);
}
