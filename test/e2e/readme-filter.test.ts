/** The README's first filter, as somebody copies it. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { envoyVersion, get, root, type Seen } from '../fixture/index.js';
import { stage } from './support.js';

mkdirSync(join(root, 'build'), { recursive: true });
const folder = mkdtempSync(join(root, 'build', 'readme-'));
afterAll(() => rmSync(folder, { recursive: true }));
const [, source = ''] =
  /^```ts\n(\/\/ my-filters\/x-user\/index\.ts\n[^]*?)^```$/m.exec(readFileSync(join(root, 'README.md'), 'utf8')) ?? [];
writeFileSync(join(folder, 'x-user.ts'), source);

// Nothing of it depends on Envoy's version.
describe.runIf(envoyVersion === '1.40')("the README's first filter", () => {
  const at = stage({ filters: [{ name: 'x-user' }], hostPaths: [folder] });

  it.each([
    [[], 'nobody'],
    [[['cookie', '']], 'nobody'],
    [[['cookie', 'ada']], 'ada'],
  ] as const)('with %j finds %s', async (headers, user) => {
    const answer = await get(at.port, '/sink', headers);
    expect(answer.status).toBe(200);
    const { headers: seen } = JSON.parse(answer.text) as Seen;
    expect(seen.filter(([name]) => name.toLowerCase() === 'x-user')).toEqual([['x-user', user]]);
  });
});
