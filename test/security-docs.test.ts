/** docs/security.md names, for each thing that it says cannot be done, a test that is there. */
import { expect, it } from 'vitest';
import { hasTest, references, tablesOf, testSource } from './support/proofs.js';

const rows = tablesOf('docs/security.md').flat();

it('each row names its tests, and they are there', () => {
  expect(rows.length).toBeGreaterThan(15);
  for (const [what, ...cells] of rows) {
    const named = references(cells.at(-1)!);
    expect([what, named.length > 0]).toEqual([what, true]);
    for (const { file, title } of named) {
      const source = testSource(file);
      expect(source, `${what}: there is no ${file}`).toBeDefined();
      // A fuzzer is one test.
      if (!file.endsWith('_fuzz.cc')) expect([what, file, title]).not.toEqual([what, file, undefined]);
      if (title !== undefined) expect([what, file, title, hasTest(source!, title)]).toEqual([what, file, title, true]);
    }
  }
});
