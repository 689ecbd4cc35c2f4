/** Reads the list of impossible cases in docs/go-compat.md. Also for scripts/go-matrix.mjs: no imports. */

export interface Impossible {
  /** `1.38` … */
  readonly versions: readonly string[];
  /** The number of the reason below the list. */
  readonly reason: string;
}

export const HEADING = '## Cases that a stock Envoy cannot do';

/** The list by case. Throws when a line names no reason that is given below it. */
export function readImpossible(markdown: string): Map<string, Impossible> {
  const start = markdown.indexOf(`${HEADING}\n`);
  if (start < 0) throw new Error(`docs/go-compat.md has no "${HEADING}"`);
  const rest = markdown.slice(start + HEADING.length);
  const next = rest.indexOf('\n## ');
  const section = next < 0 ? rest : rest.slice(0, next);
  const reasons = new Set([...section.matchAll(/^(\d+)\. /gm)].map(([, number]) => number));
  const list = new Map<string, Impossible>();
  for (const [, id, versions, reason] of section.matchAll(/^\| `(go\/[^`]+)` +\| ([0-9., ]+?) +\| (\d+) +\|/gm)) {
    if (!reasons.has(reason)) throw new Error(`docs/go-compat.md: ${id} names reason ${reason}, which is not there`);
    list.set(id!, { versions: versions!.split(/, */), reason: reason! });
  }
  return list;
}
