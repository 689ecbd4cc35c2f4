/** A test of one case of cases.ts. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { envoyVersion, root } from '../../fixture/index.js';
import { type BothCase, CASES, type GoCase } from './cases.js';
import { readImpossible } from './compat.js';

const impossible = readImpossible(readFileSync(join(root, 'docs', 'go-compat.md'), 'utf8'));
export { impossible };

/**
 * The test of that case. Where docs/go-compat.md lists it as impossible on this Envoy, `instead` runs: what an author
 * meets there, a clear error or the documented difference.
 */
export function goCase(id: GoCase, run: () => Promise<void> | void, instead?: () => Promise<void> | void): void {
  expect(CASES).toContain(id);
  if (impossible.get(id)?.versions.includes(envoyVersion) !== true) it(id, run);
  else
    it(
      `${id} (impossible here)`,
      instead ??
        (() => {
          throw new Error(`${id} is listed as impossible, and nothing tests what an author meets instead`);
        }),
    );
}

export type Protocol = 'http1' | 'http2';

/** The case over both protocols; `/h2` is over HTTP/2 downstream. */
export function goCaseBoth(
  id: BothCase,
  run: (protocol: Protocol) => Promise<void>,
  instead?: (protocol: Protocol) => Promise<void>,
): void {
  goCase(id, () => run('http1'), instead && (() => instead('http1')));
  goCase(`${id}/h2`, () => run('http2'), instead && (() => instead('http2')));
}
