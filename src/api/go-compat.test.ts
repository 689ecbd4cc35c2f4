/** docs/go-compat.md speaks of all that an author can call, and of all that Envoy can call in a filter. */
import { readFileSync } from 'node:fs';
import ts from 'typescript';
import { expect, test } from 'vitest';

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8');
const [, api = ''] = read('../../docs/go-compat.md').split(/^## /m);

function membersOf(file: string, name: string): string[] {
  const source = ts.createSourceFile(file, read(file), ts.ScriptTarget.Latest);
  const found = source.statements.filter(ts.isInterfaceDeclaration).find((one) => one.name.text === name);
  return found?.members.map((member) => member.name?.getText(source) ?? '') ?? [];
}

test.each([
  ['types-callbacks.ts', 'FilterCallbacks'],
  ['types-callbacks.ts', 'DirectionCallbacks'],
  ['types-callbacks.ts', 'DecoderCallbacks'],
  ['types-callbacks.ts', 'StreamInfo'],
  ['types-callbacks.ts', 'Metrics'],
  ['types-callbacks.ts', 'SecretManager'],
  ['types.ts', 'StreamFilter'],
  ['types-data.ts', 'BodyBuffer'],
])('%s: each member of %s', (file, name) => {
  const members = membersOf(file, name);
  expect(members).not.toEqual([]);
  // Go's names begin with a capital.
  const code = [...api.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text).join(' ');
  expect(members.filter((member) => !new RegExp(`\\b${member}\\b`, 'i').test(code))).toEqual([]);
});
