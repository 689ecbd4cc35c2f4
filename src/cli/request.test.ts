import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { hostScript, nodeBinary } from '../../test/fixture/paths.js';
import { eventually } from '../testing/envoy/wait.js';

const dir = mkdtempSync(join(tmpdir(), 'tsf-request-'));
afterAll(() => rmSync(dir, { recursive: true }));
const write = (name: string, hook: string): string => {
  const path = join(dir, `${name}.ts`);
  const text = `import { defineFilter } from 'envoy-ts-filter';
export default defineFilter({
  name: '${name}',
  create: (config: unknown, callbacks) => ({
    async decodeHeaders(headers) {
      ${hook}
    },
  }),
});
`;
  writeFileSync(path, text);
  return path;
};
const run = (...args: readonly string[]) =>
  spawnSync(nodeBinary, [hostScript, 'request', ...args], { encoding: 'utf8', timeout: 20_000, cwd: dir });

test('prints the answer as curl does; the upstream says what it got', () => {
  const file = write('mark', `headers.set('x-mark', JSON.stringify(config)); callbacks.log.info({ n: 1 }, 'seen');`);
  const { status, stdout, stderr } = run(file, '/a?b', '-X', 'PUT', '-H', 'x-one: 1', '-d', 'body', '--config', '[7]');
  expect(stdout).toMatch(/^HTTP\/1.1 200 OK\ncontent-type: text\/plain\n/);
  expect(stdout).toMatch(/\n\nPUT \/a\?b HTTP\/1.1\nhost: test.local\nx-one: 1\n[^]*x-mark: \[7\]\n\nbody\n$/);
  expect([status, stderr]).toEqual([0, '[info] seen {"n":1}\n']);
});

test('with --json it is one object', () => {
  const file = write('reply', `return callbacks.sendLocalReply(403, { body: 'no', details: 'no_ticket' });`);
  const { status, stdout } = run(file, '--json');
  const answer = JSON.parse(stdout) as object;
  expect(answer).toMatchObject({ status: 403, body: 'no', localReply: true, details: 'no_ticket', complete: true });
  expect(answer).not.toHaveProperty('upstream');
  expect(status).toBe(0);
});

test("a failure begins with the author's line, and the exit code says so", () => {
  const thrown = run(write('broken', `throw new TypeError('oh');`));
  expect(thrown.stderr).toMatch(/^broken\.ts:6:13: TypeError: oh\n$/);
  expect(thrown.stdout).toMatch(/^HTTP\/1.1 500 /);
  expect(thrown.status).toBe(1);
  const compiled = run(write('syntax', `return (;`));
  expect(compiled.stderr).toMatch(/syntax\.ts:6:\d+/);
  expect(compiled.status).toBe(1);
  const usage = run(write('usage', ''), '--config', '{');
  expect([usage.status, usage.stderr]).toEqual([2, expect.stringMatching(/--config is no JSON/)]);
  expect(run().stderr).toMatch(/missing required argument 'filter'/);
});

test('--watch runs it again at each save', async () => {
  const file = write('watched', `headers.set('x-version', 'one');`);
  const child = spawn(nodeBinary, [hostScript, 'request', file, '--watch'], { cwd: dir });
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  try {
    await eventually('the first answer', () => out.includes('x-version: one') && err.includes('waiting'));
    write('watched', `headers.set('x-version', ;`);
    await eventually('what is wrong', () => err.includes('watched.ts:6:'));
    write('watched', `headers.set('x-version', 'two');`);
    await eventually('the second answer', () => out.includes('x-version: two'));
  } finally {
    child.kill('SIGINT');
  }
  const code = await new Promise((resolve) => child.on('exit', resolve));
  expect(code).toBe(0);
}, 30_000);
