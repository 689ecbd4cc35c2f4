/** docs/failure.md names, for each cell of its table, a test that is there. */
import { expect, it } from 'vitest';
import { hasTest, references, tablesOf, testSource } from './support/proofs.js';

const [failures = [], ...others] = tablesOf('docs/failure.md');
const proofs = others.filter((rows) => rows.some((cells) => cells.some((cell) => /^`[\w-]+\.test\.ts`/.test(cell))));

it('every row has a proof of each cell', () => {
  expect(failures.length).toBeGreaterThan(20);
  const cells = new Map(proofs.flat().map(([row, ...rest]) => [row, rest]));
  for (const [row] of failures) {
    const proof = cells.get(row);
    expect(proof, `no tests are named for "${row}"`).toBeDefined();
    expect([row, references(proof![0]!).length > 0]).toEqual([row, true]);
    for (const cell of proof!) {
      if (cell === 'the same') continue;
      for (const { file, title } of references(cell)) expect([row, file, title]).not.toEqual([row, file, undefined]);
      expect([row, references(cell).length > 0]).toEqual([row, true]);
    }
  }
});

it('every test that is named is there', () => {
  for (const rows of proofs) {
    for (const [row, ...cells] of rows) {
      for (const { file, title } of cells.flatMap(references)) {
        const source = testSource(file);
        expect(source, `${row}: there is no ${file}`).toBeDefined();
        if (title !== undefined) expect([row, file, title, hasTest(source!, title)]).toEqual([row, file, title, true]);
      }
    }
  }
});
