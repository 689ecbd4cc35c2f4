/** docs/failure.md names, for each cell of its table, a test that is there. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const FOLDERS = [
  '.',
  'src/observe',
  'cpp/test/shm',
  'test/e2e',
  'test/e2e/exact',
  'src/host',
  'src/cli',
  'src/loader',
  'cpp/test/core',
  'cpp/test/stock',
];

/** Tables, as lists of rows of cells; without their heads. */
function tables(markdown: string): string[][][] {
  const all: string[][][] = [];
  let table: string[][] | undefined;
  for (const line of markdown.split('\n')) {
    if (!line.startsWith('|')) {
      table = undefined;
      continue;
    }
    const cells = line.split('|').slice(1, -1);
    if (table === undefined) all.push((table = []));
    table.push(cells.map((cell) => cell.trim()));
  }
  return all.map((rows) => rows.slice(2));
}

const [failures = [], ...others] = tables(readFileSync(`${root}docs/failure.md`, 'utf8'));
const proofs = others.filter((rows) => rows.some((cells) => cells.some((cell) => /^`[\w-]+\.test\.ts`/.test(cell))));

/** What a cell names: `file`, "title"; the file of the reference before it counts on. */
function references(cell: string): { file: string; title: string | undefined }[] {
  const found: { file: string; title: string | undefined }[] = [];
  let file: string | undefined;
  for (const [, name, title] of cell.matchAll(/`([\w./-]+\.(?:test\.ts|cc))`|"([^"]+)"/g)) {
    if (name !== undefined) {
      file = name;
      found.push({ file, title: undefined });
    } else if (file !== undefined) {
      if (found.at(-1)?.title === undefined) found.pop();
      found.push({ file, title });
    }
  }
  return found;
}

const sourceOf = (file: string): string | undefined => {
  const path = FOLDERS.map((folder) => `${root}${folder}/${file}`).find((one) => existsSync(one));
  return path === undefined ? undefined : readFileSync(path, 'utf8');
};

/** The first argument of a call, as of `it` and `describe` and their `each`; or the name of a test in C++. */
function hasTest(source: string, title: string): boolean {
  const text = title.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`\\(\\s*['"\`]${text}|TEST(_[FP])?\\(\\w+, ${text}\\)`).test(source);
}

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
        const source = sourceOf(file);
        expect(source, `${row}: there is no ${file}`).toBeDefined();
        if (title !== undefined) expect([row, file, title, hasTest(source!, title)]).toEqual([row, file, title, true]);
      }
    }
  }
});
