/** Tables of docs pages whose cells name tests: `file`, "title"; the file of the reference before it counts on. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const FOLDERS = [
  '.',
  'src/observe',
  'cpp/test/shm',
  'test/addon',
  'test/e2e',
  'test/e2e/exact',
  'test/stress',
  'src/channel/codec',
  'src/host',
  'src/cli',
  'src/loader',
  'cpp/test/core',
  'cpp/test/stock',
];

/** Tables of a page, as lists of rows of cells; without their heads. */
export function tablesOf(page: string): string[][][] {
  const all: string[][][] = [];
  let table: string[][] | undefined;
  for (const line of readFileSync(`${root}${page}`, 'utf8').split('\n')) {
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

export interface Reference {
  readonly file: string;
  readonly title: string | undefined;
}

export function references(cell: string): Reference[] {
  const found: Reference[] = [];
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

/** Undefined: there is no such file. */
export function testSource(file: string): string | undefined {
  const path = FOLDERS.map((folder) => `${root}${folder}/${file}`).find((one) => existsSync(one));
  return path === undefined ? undefined : readFileSync(path, 'utf8');
}

/** The first argument of a call, as of `it` and `describe` and their `each`; or the name of a test in C++. */
export function hasTest(source: string, title: string): boolean {
  const text = title.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`\\(\\s*['"\`]${text}|TEST(_[FP])?\\(\\w+, ${text}\\)`).test(source);
}
