/** Imports a bundle in the thread that runs it and picks the filters out of its modules. */
import { relative } from 'node:path';
import { HostError, messageOf, type HostErrorCode } from '../base/host-errors.js';
import { definitionOf } from '../api/filter.js';
import { authorFrame } from '../base/places.js';
import type { Filter } from '../api/types-definition.js';

/** A source of filters in the bundle. */
export interface BundledFile {
  /** Absolute path. */
  readonly file: string;
  /** Runs it, and what it imports, where that has not run yet; again where that has thrown. */
  load(): Promise<Readonly<Record<string, unknown>>>;
}

export interface Definition {
  readonly filter: Filter;
  /** Absolute path of its source. */
  readonly file: string;
}

/** Runs the packages that the filters import; not yet the filters. */
export async function importBundle(url: string): Promise<BundledFile[]> {
  const { modules } = (await import(url)) as { modules: readonly (readonly [string, BundledFile['load']])[] };
  return modules.map(([file, load]) => ({ file, load }));
}

export function filtersIn(file: string, module: Readonly<Record<string, unknown>>): Definition[] {
  const filters = filtersOf(module['default']);
  if (filters.length > 0) return filters.map((filter) => ({ filter, file }));
  const named = Object.entries(module).find(([, value]) => isFilter(value));
  const mend =
    named === undefined
      ? 'exports no filter; export the result of defineFilter(...) as default'
      : `exports the filter as "${named[0]}" and nothing as default, which alone is served; write export default defineFilter(...), or several as export default [a, b]`;
  throw new HostError('TSF_FILTER_NONE', `${shown(file)}: ${mend}`);
}

/** Of a default export: one filter, a list, or a CommonJS module's exports around either. */
function filtersOf(exported: unknown): Filter[] {
  const found = new Set<Filter>();
  const visit = (value: unknown, depth: number): void => {
    if (isFilter(value)) found.add(value);
    else if (Array.isArray(value)) for (const item of value) visit(item, depth);
    else if (depth > 0 && typeof value === 'object' && value !== null) {
      for (const item of Object.values(value)) visit(item, depth - 1);
    }
  };
  // What CommonJS exports, and `default` in that.
  visit(exported, 1);
  return [...found];
}

const isFilter = (value: unknown): value is Filter => definitionOf(value) !== undefined;

export const shown = (file: string): string => relative(process.cwd(), file) || file;

/** One text for people: what failed, and where in the author's own source; `file` where the error does not know. */
export function loadFailure(error: unknown, otherwise: HostErrorCode = 'TSF_LOAD_FAILED', file?: string): string {
  if (error instanceof HostError) return `${error.code}: ${error.message}`;
  const code = (error as { code?: unknown } | null)?.code;
  const known = typeof code === 'string' && code.startsWith('TSF_') ? code : otherwise;
  const found = placeOf(error);
  const place = found ?? (file === undefined ? undefined : shown(file));
  const name = error instanceof Error ? `${error.name}: ` : '';
  return `${known}: ${place === undefined ? '' : `${place}: `}${name}${messageOf(error)}`;
}

/** Where an error was made, in the author's files. */
export const placeOf = (error: unknown): string | undefined =>
  error instanceof Error ? firstPlace(error.stack ?? '') : undefined;

/** Of the author's first frame, which Node has mapped to its source. */
function firstPlace(stack: string): string | undefined {
  const match = /(?:file:\/\/)?(\/[^():]+):(\d+):(\d+)/.exec(authorFrame(stack) ?? '');
  return match === null ? undefined : `${shown(decodeURIComponent(match[1] as string))}:${match[2]}:${match[3]}`;
}
