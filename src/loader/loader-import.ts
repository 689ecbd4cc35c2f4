/** Imports a bundle in the thread that runs it and picks the filters out of its modules. */
import { relative } from 'node:path';
import { HostError, messageOf, type HostErrorCode } from '../base/host-errors.js';
import { definitionOf } from '../api/filter.js';
import { authorFrame } from '../base/places.js';
import type { Filter } from '../api/types-definition.js';

interface BundleModule {
  readonly modules: readonly (readonly [file: string, module: Readonly<Record<string, unknown>>])[];
}

export interface Definition {
  readonly filter: Filter;
  /** Absolute path of its source. */
  readonly file: string;
}

export async function collectFilters(bundleUrl: string): Promise<Definition[]> {
  const { modules } = (await import(bundleUrl)) as BundleModule;
  const files = new Map<string, string>();
  const filters: Definition[] = [];
  for (const [file, module] of modules) {
    const found = filtersOf(module);
    if (found.length === 0) {
      throw new HostError(
        'TSF_FILTER_NONE',
        `${shown(file)}: exports no filter; export the result of defineFilter(...) as default`,
      );
    }
    for (const filter of found) {
      const other = files.get(filter.name);
      if (other !== undefined) {
        throw new HostError(
          'TSF_FILTER_DUPLICATE',
          `two filters are named "${filter.name}": in ${shown(other)} and in ${shown(file)}; rename one`,
        );
      }
      files.set(filter.name, file);
      filters.push({ filter, file });
    }
  }
  return filters;
}

/** A default export (one filter, a list, or a CommonJS module's exports around either) and named exports. */
function filtersOf(module: Readonly<Record<string, unknown>>): Filter[] {
  const found = new Set<Filter>();
  const visit = (value: unknown, depth: number): void => {
    if (isFilter(value)) found.add(value);
    else if (Array.isArray(value)) for (const item of value) visit(item, depth);
    else if (depth > 0 && typeof value === 'object' && value !== null) {
      for (const item of Object.values(value)) visit(item, depth - 1);
    }
  };
  // Namespace, `default` of CommonJS, and `default` in that.
  visit(module, 2);
  return [...found];
}

const isFilter = (value: unknown): value is Filter => definitionOf(value) !== undefined;

const shown = (file: string): string => relative(process.cwd(), file) || file;

/** One text for people: what failed, and where in the author's own source. */
export function loadFailure(error: unknown, otherwise: HostErrorCode = 'TSF_LOAD_FAILED'): string {
  if (error instanceof HostError) return `${error.code}: ${error.message}`;
  const code = (error as { code?: unknown } | null)?.code;
  const known = typeof code === 'string' && code.startsWith('TSF_') ? code : otherwise;
  const place = error instanceof Error ? firstPlace(error.stack ?? '') : undefined;
  const name = error instanceof Error ? `${error.name}: ` : '';
  return `${known}: ${place === undefined ? '' : `${place}: `}${name}${messageOf(error)}`;
}

/** Of the author's first frame, which Node has mapped to its source. */
function firstPlace(stack: string): string | undefined {
  const match = /(?:file:\/\/)?(\/[^():]+):(\d+):(\d+)/.exec(authorFrame(stack) ?? '');
  return match === null ? undefined : `${shown(decodeURIComponent(match[1] as string))}:${match[2]}:${match[3]}`;
}
