/** Mistakes in a definition itself: refused when the host loads the file, before any stream. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundleFilters } from '../../src/loader/loader.js';
import { FilterFiles } from '../../src/loader/filter-files.js';
import { importBundle, loadFailure } from '../../src/loader/loader-import.js';
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
    const { url } = await bundleFilters([file]);
    const never = (): void => expect.unreachable();
    await new FilterFiles(await importBundle(url), { failed: never, slow: never, loaded: never }).start();
  } catch (error) {
    return loadFailure(error);
  }
  return 'it loads';
}

describe('a .js filter is refused when it is loaded, for', () => {
  it.each(
    MISTAKES.flatMap(({ title, load, ...one }, i) => (load === undefined ? [] : [[title, one, load, i] as const])),
  )('%s', async (_title, mistake, load, i) => {
    const file = join(folder, `mistake-${i}.js`);
    await writeFile(file, moduleOf(mistake, JS_HEADING));
    const message = await refusal(file);
    expect(message).toMatch(load);
    expect(message).toMatch(new RegExp(`^TSF_CONFIG_INVALID: \\S*mistake-${i}\\.js:\\d+:\\d+: `));
  });
});

it('the host ends with the message and exit code 1, and serves nothing', async () => {
  const file = join(folder, 'host.js');
  await writeFile(file, moduleOf({ properties: ['creat: () => ({}),'] }, JS_HEADING));
  const { status, stderr } = spawnSync(nodeBinary, [hostScript, file, '--socket', join(folder, 's')], {
    encoding: 'utf8',
  });
  expect(stderr).toMatch(/TSF_CONFIG_INVALID: .*host\.js:\d+:\d+: .*a\.creat: .*did you mean "create"\?/);
  expect(status).toBe(1);
});
