import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { ERROR_CODES } from '../api/errors.js';
import { HOST_ERROR_CODES } from './host-errors.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const TABLES = ['src/api/errors.ts', 'src/base/host-errors.ts'];

const filesIn = (folder: string, ending: RegExp): string[] =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((name) => ending.test(name) && !/\.test\.ts$|\/generated\/|node_modules/.test(name));

/** Code → the first file that names it. */
function named(files: readonly string[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const file of files)
    for (const [code] of readFileSync(join(ROOT, file), 'utf8').matchAll(/\bTSF_[A-Z]+(?:_[A-Z]+)*\b/g))
      if (!found.has(code)) found.set(code, file);
  return found;
}

const SOURCES = filesIn('src', /\.ts$/).filter((file) => !TABLES.includes(file));
/** The host's own part in C++. */
const ADDON = filesIn('cpp/addon', /\.(cc|h)$/);
const OF_MODULE = named(filesIn('cpp/core', /\.(cc|h)$/));
const known = [...Object.keys(HOST_ERROR_CODES), ...Object.keys(ERROR_CODES), ...OF_MODULE.keys()];

describe('the codes of the host', () => {
  test.each([
    ['src', SOURCES],
    ['docs', ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...filesIn('docs', /\.md$/)]],
  ])('%s names none that is in no table', (_what, files) => {
    expect([...named(files)].filter(([code]) => !known.includes(code))).toEqual([]);
  });

  test('each is said somewhere', () => {
    const said = named([...SOURCES, ...ADDON]);
    expect(Object.keys(HOST_ERROR_CODES).filter((code) => !said.has(code) && !OF_MODULE.has(code))).toEqual([]);
  });
});
