/** What the pages say of the project's files and packages is so. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { markdownExamples } from './support/examples.js';
import { root } from './fixture/paths.js';
import { typecheck } from './types/compile.js';

const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const manifestOf = (path: string) =>
  JSON.parse(read(path)) as { license?: string; dependencies: object; peerDependencies: object };

/** Heading → its anchor, as GitHub makes it. */
const anchorsOf = (markdown: string): string[] =>
  [...markdown.matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
    title!
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );

it.each(['llms.txt', 'README.md'])('the links of %s lead somewhere', (page) => {
  const links = [...read(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link!);
  const lost = links.filter((link) => {
    if (/^https?:/.test(link)) return false;
    const [path, anchor] = link.split('#') as [string, string?];
    const file = path === '' ? page : join(dirname(page), path);
    if (!existsSync(join(root, file))) return true;
    return anchor !== undefined && !anchorsOf(read(file)).includes(anchor);
  });
  expect(links.length).toBeGreaterThan(0);
  expect(lost).toEqual([]);
});

it("the filter in llms.txt is one, to both compilers' mind", async () => {
  const [example, ...more] = markdownExamples('llms.txt', read('llms.txt'));
  expect(more).toEqual([]);
  const found = await typecheck(example!.files);
  expect(Object.fromEntries(found)).toEqual({ typescript: [], 'typescript-7': [] });
}, 60_000);

describe('docs/dependencies.md', () => {
  const page = read('docs/dependencies.md');
  const { dependencies, peerDependencies } = manifestOf('package.json');
  const rows = [...page.matchAll(/^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \|$/gm)].map(
    ([, name, licence, why]) => [name!, licence!.trim(), why!.trim()] as const,
  );
  const listed = rows.filter(([name]) => !name.includes('packages/'));

  it('has a row for each dependency, and for nothing else', () => {
    expect(listed.map(([name]) => name).sort()).toEqual(Object.keys(dependencies).sort());
  });

  it.each(listed)('%s has the licence %s, and a reason', (name, licence, why) => {
    expect(manifestOf(`node_modules/${name}/package.json`).license).toBe(licence);
    expect(why).not.toBe('');
  });

  it.each(Object.keys(peerDependencies))('names the peer %s with its licence', (name) => {
    const { license } = manifestOf(`node_modules/${name}/package.json`);
    expect(page).toContain(`\`${name}\` (${license!};`);
  });
});
