// Runs a piece of JavaScript in a process of its own, for what would take the test runner down with it.
import { spawn } from 'node:child_process';
import { addonPath } from './addon.ts';

export type Ended = { output: string; errors: string; code: number | null; signal: NodeJS.Signals | null };

/** `source` is the rest of an ES module that has `addon` and `addonPath`. */
export async function runNode(source: string, patience = 20_000): Promise<Ended> {
  const head = `
    import { createRequire } from 'node:module';
    const addonPath = ${JSON.stringify(addonPath)};
    const addon = createRequire(addonPath)(addonPath);
  `;
  const child = spawn(process.execPath, ['--expose-gc', '--input-type=module', '--eval', head + source], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let errors = '';
  child.stdout.on('data', (data) => (output += data));
  child.stderr.on('data', (data) => (errors += data));
  const timer = setTimeout(() => child.kill('SIGKILL'), patience);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ output, errors, code, signal });
    });
  });
}
