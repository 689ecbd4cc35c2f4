/** The README of filters/apisix says what is so. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import type { Plugin } from '../../filters/apisix/core/index.js';
import { plugins } from '../../filters/apisix/plugins/index.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const folder = join(root, 'filters', 'apisix');
const readme = readFileSync(join(folder, 'README.md'), 'utf8');

const keysOf = ({ schema, consumer_schema }: Plugin): string[] =>
  [schema, consumer_schema].flatMap((one) => Object.keys((one?.['properties'] ?? {}) as object));

it.each(plugins.map((plugin) => [plugin.name, plugin] as const))(
  'has a row for %s with each of its keys',
  (name, plugin) => {
    const row = readme.split('\n').find((line) => line.startsWith(`| ${name} (${String(plugin.priority)}) |`));
    expect(row).toBeDefined();
    expect(keysOf(plugin).filter((key) => !row!.includes(key))).toEqual([]);
  },
);

it('shows a plugin that runs', async () => {
  const source = /^```ts\n(.*?)^```/ms.exec(readme)![1]!;
  mkdirSync(join(root, 'build'), { recursive: true });
  const place = mkdtempSync(join(root, 'build', 'apisix-readme-'));
  try {
    const file = join(place, 'index.ts');
    writeFileSync(file, source.replaceAll("'../apisix/", `'${folder}/`));
    const made = (await import(/* @vite-ignore */ pathToFileURL(file).href)) as { default: { name: string } };
    expect(made.default.name).toBe('my-gateway');
  } finally {
    rmSync(place, { recursive: true });
  }
});
