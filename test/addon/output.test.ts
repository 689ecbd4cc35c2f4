import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { addonPath } from './addon.ts';
import { runNode } from './run-node.ts';

const LINES = 2000;
const SAY = `
  import { writeSync } from 'node:fs';
  addon.pumpOutput();
  addon.pumpOutput();
  for (let i = 0; i < ${LINES}; i++) writeSync(1, 'line ' + i + ' '.padEnd(500, '.') + '\\n');
  writeSync(2, 'the last word\\n');
`;

test.each([
  { end: '', code: 0 },
  { end: 'process.exit(3)', code: 3 },
  { end: 'addon.exitNow(4)', code: 4 },
  { end: "throw new Error('nobody catches it')", code: 1 },
  { end: 'process.abort()', code: null },
])('what was written has gone on when the process ends: $end', async ({ end, code }) => {
  const ended = await runNode(SAY + end);
  expect(ended.code).toBe(code);
  expect(ended.output.match(/^line \d+ \.+$/gm)).toHaveLength(LINES);
  expect(ended.errors).toContain('the last word\n');
});

test('nobody reads: writes come back, the end is not held up, and what is lost is told by the other of the two', async () => {
  const written = 6000;
  const source = `
    import { createRequire } from 'node:module';
    import { writeSync } from 'node:fs';
    const addon = createRequire(${JSON.stringify(addonPath)})(${JSON.stringify(addonPath)});
    addon.pumpOutput();
    for (let i = 0; i < ${written}; i++) writeSync(1, '.'.repeat(999) + '\\n');
  `;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', source], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  // Or Node throws away what it has read when the child ends.
  child.stdout.on('readable', () => undefined);
  let errors = '';
  child.stderr.on('data', (data) => (errors += data));
  await once(child, 'exit', { signal: AbortSignal.timeout(8_000) });
  expect(child.exitCode).toBe(0);
  const [, lost] = /^ts-filter-host: nobody has taken what was written to stdout, lines lost: (\d+)\n$/.exec(errors)!;
  // What the socket between the two has taken is not lost; of the write that waits, as much as is one write may be either.
  let read = 0;
  for await (const data of child.stdout) read += (data as Buffer).length;
  const WRITE = 20;
  expect(Number(lost) + read / 1000).toBeGreaterThanOrEqual(written - 1);
  expect(Number(lost) + read / 1000).toBeLessThanOrEqual(written + WRITE);
});
