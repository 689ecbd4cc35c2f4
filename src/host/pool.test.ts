import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Pool } from '../../dist/src/host/pool.js'; // the built one: its threads are files beside it
import { eventually, sleep } from '../testing/envoy/wait.js';
import { GlobalHost } from '../../dist/src/api/runtime-global.js';
import type { Logger } from '../base/log.js';

const globals = new GlobalHost({ onError: () => undefined, load: (url) => Promise.resolve(url) });

let dir: string;
let pool: Pool | undefined;
let lines: string[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tsf-pool-'));
  lines = [];
});
afterEach(async () => {
  vi.useRealTimers();
  await pool?.stop();
  rmSync(dir, { recursive: true });
});

function poolOf(source: string): Pool {
  const file = join(dir, 'filters.mjs');
  writeFileSync(file, source);
  const note = (fields: { code?: unknown }, message: string): void => {
    lines.push(typeof fields.code === 'string' ? fields.code : message);
  };
  const nothing = (): void => undefined;
  pool = new Pool({
    workers: 1,
    stallTimeoutMs: 500,
    bundle: pathToFileURL(file).href,
    init: undefined,
    logLevel: 'error',
    log: { info: note, warn: note, error: note } as unknown as Logger,
    needsAll: false,
    globals,
    events: {
      verdict: nothing,
      malformed: nothing,
      channelReady: nothing,
    },
  });
  return pool;
}

const at = (name: string): string => join(dir, name);

test('a thread that could not start is ended, and its end is not that of its successor', async () => {
  await poolOf(`
    import { appendFileSync, existsSync, rmSync } from 'node:fs';
    const failing = existsSync(${JSON.stringify(at('fail'))});
    setInterval(() => {
      if (failing) appendFileSync(${JSON.stringify(at('alive'))}, '.');
      else if (existsSync(${JSON.stringify(at('die'))})) process.exit(3);
    }, 10);
    if (failing) {
      rmSync(${JSON.stringify(at('fail'))});
      setTimeout(() => process.exit(4), 600);
      throw new Error('not this time');
    }
    const definition = { name: 'f', create: () => ({}) };
    export const modules = [['f', async () => ({ default: { name: 'f', [Symbol.for('envoy-ts-filter.definition')]: definition } })]];`).start();
  writeFileSync(at('fail'), '');
  writeFileSync(at('die'), '');
  await eventually('the thread has died', () => lines.length > 0);
  rmSync(at('die'));
  await eventually('it is replaced', () => lines.includes('worker thread replaced'));
  const beats = existsSync(at('alive')) ? readFileSync(at('alive')).length : 0;
  await sleep(800);
  expect(lines).toEqual(['TSF_WORKER_DIED', 'worker thread could not be replaced yet', 'worker thread replaced']);
  expect(existsSync(at('alive')) ? readFileSync(at('alive')).length : 0).toBe(beats);
});

test('a start that does not end is told', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const starting = poolOf('setInterval(() => {}, 1000); await new Promise(() => {});').start();
  starting.catch(() => undefined);
  await vi.advanceTimersByTimeAsync(9_999);
  expect(lines).toEqual([]);
  await vi.advanceTimersByTimeAsync(1);
  expect(lines).toEqual(['TSF_LOAD_SLOW']);
});

test('a start that waits for what can never come ends, and says for what', async () => {
  await expect(poolOf('await new Promise(() => {});').start()).rejects.toThrow(
    'TSF_LOAD_FAILED: the worker ended while it loaded (a top-level await of a filter, or of what it imports, never settles)',
  );
});

test('a successor that does not finish loading is ended and tried again', async () => {
  await poolOf(`
    import { existsSync } from 'node:fs';
    const beat = setInterval(() => existsSync(${JSON.stringify(at('die'))}) && process.exit(3), 10);
    if (existsSync(${JSON.stringify(at('hang'))})) await new Promise(() => {});
    const definition = { name: 'f', create: () => ({}) };
    export const modules = [['f', async () => ({ default: { name: 'f', [Symbol.for('envoy-ts-filter.definition')]: definition } })]];`).start();
  writeFileSync(at('hang'), '');
  writeFileSync(at('die'), '');
  await eventually('the thread has died', () => lines.length > 0);
  rmSync(at('die'));
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  await sleep(500);
  await vi.advanceTimersByTimeAsync(100 + 10_000);
  expect(lines).toEqual(['TSF_WORKER_DIED', 'TSF_LOAD_SLOW']);
  rmSync(at('hang'));
  await vi.advanceTimersByTimeAsync(20_000);
  expect(lines.slice(2)).toEqual(['worker thread could not be replaced yet']);
  await vi.advanceTimersByTimeAsync(200);
  vi.useRealTimers();
  await eventually('it is replaced', () => lines.includes('worker thread replaced'));
});
