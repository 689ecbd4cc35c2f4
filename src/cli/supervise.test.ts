/** The host's parent, in a process of its own, with scripts in the host's place. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Child } from '../testing/envoy/child.js';
import { nodeBinary } from '../../test/fixture/paths.js';
import { eventually, sleep } from '../testing/envoy/wait.js';

/** The built one: it runs without vitest. */
const SUPERVISE = JSON.stringify(new URL('../../dist/src/cli/supervise.js', import.meta.url).href);

let dir: string;
let parents: Child[];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tsf-supervise-'));
  parents = [];
});
afterEach(async () => {
  for (const parent of parents) await parent.kill();
  const pids = said().flatMap((line) => (line.startsWith('born ') ? [Number(line.split(' ')[1])] : []));
  for (const pid of pids) if (existsSync(`/proc/${pid}`)) process.kill(pid, 'SIGKILL');
  rmSync(dir, { recursive: true });
});

/** What hosts have written down, a line each. */
function said(): string[] {
  const file = join(dir, 'said');
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
}
const births = () => said().filter((line) => line.startsWith('born '));
const lastBorn = () => Number(births().at(-1)!.split(' ')[1]);

/** A parent whose hosts run `script`; `say(line)`, `listening()` and `leaving()` are theirs, and the parent's orders come to `obey`. */
function supervised(script: string): Child {
  writeFileSync(
    join(dir, 'host.mjs'),
    `import { appendFileSync } from 'node:fs';
     import { heedParent } from ${SUPERVISE};
     const say = (line) => appendFileSync(${JSON.stringify(join(dir, 'said'))}, line + '\\n');
     let obey = (order) => process.exit(0);
     const { listening, leaving } = heedParent((order) => { say(order); obey(order); });
     say('born ' + process.pid + ' ' + Date.now());
     ${script}`,
  );
  writeFileSync(
    join(dir, 'parent.mjs'),
    `import { Supervisor } from ${SUPERVISE};
     const log = { error: (fields, text) => console.log(JSON.stringify({ ...fields, text })) };
     process.exitCode = await new Supervisor({ script: ${JSON.stringify(join(dir, 'host.mjs'))}, args: [], paths: ['f.ts'], log }).run();`,
  );
  const parent = new Child('parent', nodeBinary, [join(dir, 'parent.mjs')]);
  parents.push(parent);
  return parent;
}
const LIVES = 'setInterval(() => {}, 1000);';

test('a host that dies is started again, with back-off, and the log says how it died', async () => {
  const parent = supervised(`listening(); process.stderr.write('FATAL: JavaScript heap out of memory\\n');
    setTimeout(() => process.exit(7), 30);`);
  await eventually('four of them', () => births().length >= 4, 8_000);
  const died = parent.records.filter((record) => record['code'] === 'TSF_HOST_DIED');
  expect(died.slice(0, 3).map((record) => record['restartInMs'])).toEqual([100, 200, 400]);
  expect(died[0]!['text']).toMatch(/^the host died \(exit code 7\): out of memory in a burst .*\(f\.ts\)/);
  const at = births().map((line) => Number(line.split(' ')[2]));
  for (const [i, pause] of [100, 200, 400].entries()) expect(at[i + 1]! - at[i]!).toBeGreaterThanOrEqual(pause);
  // and what it said reaches whoever started the parent
  expect(parent.output).toContain('FATAL: JavaScript heap');
  parent.signal('SIGTERM');
  await parent.exit;
});

test('a signal is named', async () => {
  const parent = supervised(`listening(); setTimeout(() => process.kill(process.pid, 'SIGSEGV'), 30);`);
  await parent.waitForOutput(/TSF_HOST_DIED.*the host died \(SIGSEGV\): a fault in native code/);
});

test('one that ends well is not started again', async () => {
  const parent = supervised(`listening(); setTimeout(() => process.exit(0), 30);`);
  expect(await parent.exit).toEqual({ code: 0, signal: null });
  expect(births()).toHaveLength(1);
});

test('nor is one that has never listened; its exit code is the parent\u2019s', async () => {
  const parent = supervised(`setTimeout(() => process.exit(2), 30);`);
  expect(await parent.exit).toEqual({ code: 2, signal: null });
  expect(births()).toHaveLength(1);
  expect(parent.output).not.toContain('TSF_HOST_DIED');
});

test('nor is one that ends by plan, whatever becomes of it', async () => {
  const parent = supervised(`listening(); leaving(); setTimeout(() => process.exit(7), 100);`);
  expect(await parent.exit).toEqual({ code: 7, signal: null });
  expect(births()).toHaveLength(1);
});

test('one that is started again knows it: another host may have come meanwhile', async () => {
  supervised(`say(process.argv.includes('--started-again') ? 'again' : 'first'); listening();
    setTimeout(() => process.exit(7), 30);`);
  await eventually('two of them', () => births().length >= 2, 8_000);
  expect(
    said()
      .filter((line) => /again|first/.test(line))
      .slice(0, 2),
  ).toEqual(['first', 'again']);
});

test('SIGHUP: the host is told to load its filters anew, each time', async () => {
  const parent = supervised(`listening(); ${LIVES} obey = (order) => order === 'stop' && process.exit(0);`);
  await eventually('it lives', () => births().length === 1);
  await sleep(100);
  for (let times = 1; times <= 2; times++) {
    parent.signal('SIGHUP');
    await eventually('it has heard', () => said().filter((line) => line === 'reload').length === times);
  }
  expect(births()).toHaveLength(1);
});

test.each(['SIGTERM', 'SIGINT'] as const)(
  '%s: the host is told to stop, once, and not started again',
  async (signal) => {
    const parent = supervised(`listening(); ${LIVES} obey = () => setTimeout(() => process.exit(0), 100);`);
    await eventually('it lives', () => births().length === 1);
    await sleep(100);
    parent.signal(signal);
    expect(await parent.exit).toEqual({ code: 0, signal: null });
    expect(said().slice(1)).toEqual(['stop']);
  },
);

test('the second signal: it is to go at once', async () => {
  const parent = supervised(`listening(); ${LIVES} obey = (order) => order === 'abandon' && process.exit(143);`);
  await eventually('it lives', () => births().length === 1);
  await sleep(100);
  parent.signal('SIGTERM');
  await eventually('it has heard', () => said().includes('stop'));
  parent.signal('SIGTERM');
  expect(await parent.exit).toEqual({ code: 143, signal: null });
  expect(said().slice(1)).toEqual(['stop', 'abandon']);
});

test('one that does not go is killed after a second', async () => {
  const parent = supervised(`listening(); ${LIVES} obey = () => { for (;;); };`);
  await eventually('it lives', () => births().length === 1);
  await sleep(100);
  parent.signal('SIGTERM');
  await eventually('it has heard', () => said().includes('stop'));
  const started = performance.now();
  parent.signal('SIGTERM');
  expect(await parent.exit).toEqual({ code: 137, signal: null });
  expect(performance.now() - started).toBeLessThan(3_000);
  expect(existsSync(`/proc/${lastBorn()}`)).toBe(false);
});

test('a signal in the pause between two hosts ends the parent', async () => {
  const parent = supervised(`listening(); setTimeout(() => process.exit(7), 30);`);
  await eventually('a long pause', () => births().length >= 4, 8_000);
  await parent.waitForOutput(/"restartInMs":800/);
  const born = births().length;
  parent.signal('SIGTERM');
  expect((await parent.exit).code).toBe(7);
  expect(births()).toHaveLength(born);
});

test('with its parent the host goes, too', async () => {
  const parent = supervised(`listening(); ${LIVES}`);
  await eventually('it lives', () => births().length === 1);
  await sleep(100);
  await parent.kill();
  await eventually('it has been told', () => said().includes('stop'));
  await eventually('it has ended', () => !existsSync(`/proc/${lastBorn()}`));
});
