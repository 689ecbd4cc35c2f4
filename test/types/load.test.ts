/** The mistakes that TypeScript refuses, in plain JavaScript: refused when the host loads the file, before any stream. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundleFilters } from '../../src/loader.js';
import { collectFilters, loadFailure } from '../../src/loader-import.js';
import { hostScript, nodeBinary } from '../fixture/paths.js';
import { JS_HEADING, MISTAKES, moduleOf } from './mistakes.js';

// Inside the package, where the filters' own imports (zod) are found.
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(fileURLToPath(new URL('../../build', import.meta.url)), 'mistakes-'));
  process.setSourceMapsEnabled(true);
});
afterAll(() => rm(folder, { recursive: true }));

async function refusal(file: string): Promise<string> {
  try {
    await collectFilters((await bundleFilters([file])).url);
  } catch (error) {
    return loadFailure(error);
  }
  return 'it loads';
}

describe('a .js filter is refused when it is loaded, for', () => {
  it.each(MISTAKES.map((one, i) => [one.title, one, i] as const))('%s', async (_title, mistake, i) => {
    const file = join(folder, `mistake-${i}.js`);
    await writeFile(file, moduleOf(mistake, JS_HEADING));
    const message = await refusal(file);
    expect(message).toMatch(mistake.load);
    expect(message).toMatch(new RegExp(`^TSF_(FILTER|CONFIG)_INVALID: \\S*mistake-${i}\\.js:\\d+:\\d+: `));
  });
});

describe('the place of a mistake', () => {
  it.each([
    ['.ts', `import { defineFilter, type Filter } from 'envoy-ts-filter';\nconst x: number = 1;\n`],
    ['.mjs', `import * as tsf from 'envoy-ts-filter';\nconst { defineFilter } = tsf;\n`],
    ['.cjs', `const { defineFilter } = require('envoy-ts-filter');\n\n`],
  ])('is that of the source, in a %s file', async (extension, heading) => {
    const file = join(folder, `place${extension}`);
    const exported = extension === '.cjs' ? 'module.exports =' : 'export default';
    await writeFile(
      file,
      `${heading}${exported} defineFilter({\n  name: 'p',\n  create: () => ({\n    onLogg() {} }) });\n`,
    );
    expect(await refusal(file)).toMatch(
      /^TSF_FILTER_INVALID: \S*place\.[cm]?[jt]s:6:5: filter "p": .*did you mean "onLog"\?$/,
    );
  });
});

it('the host ends with the message and exit code 1, and serves nothing', async () => {
  const file = join(folder, 'host.js');
  await writeFile(
    file,
    moduleOf({ properties: ['create: () => ({ onLogg() {}, decodeHeaders: () => 7 }),'] }, JS_HEADING),
  );
  const { status, stderr } = spawnSync(nodeBinary, [hostScript, file, '--socket', join(folder, 's')], {
    encoding: 'utf8',
  });
  expect(stderr).toMatch(
    /TSF_FILTER_INVALID: .*host\.js:\d+:\d+: filter "a": .*onLogg.*\n.*host\.js:\d+:\d+: filter "a": decodeHeaders answers 7/,
  );
  expect(status).toBe(1);
});
