/**
 * Whoever should read the host's log does not, or is gone: lines are lost and counted, and no request waits or fails for it.
 * `LOGS_SECONDS=60` for longer.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { envoyVersion, eventually, get, sleep, type Fixture } from '../fixture/index.js';
import { ended, scene } from './support.js';

const SECONDS = Number(process.env['LOGS_SECONDS'] ?? '2');
const TIMEOUT_MS = 60_000 + SECONDS * 1_000;
const LINES = 10;
const EVERY_MS = 10;
const LATEST_MS = 50;
/** What a loaded machine takes at times, whatever the host does. */
const SLACK_MS = 1500;
const FILTERS = [{ name: 'talkative', options: { log_level: 'error' } }];
const WAYS = ['console', 'error', 'stdout', 'log'];

let dir: string;
beforeEach(() => void (dir = mkdtempSync(join(tmpdir(), 'tsf-logs-'))));
afterEach(() => rmSync(dir, { recursive: true }));

/** A pipe of 64 KiB, of which the test has the end that reads. */
class Unread {
  readonly writable: number;
  readonly #readable: number;
  #text = '';

  constructor(name: string) {
    const path = join(dir, name);
    execFileSync('mkfifo', [path]);
    this.#readable = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    this.writable = openSync(path, constants.O_WRONLY);
  }

  /** All that has been read until now. */
  read(): string {
    const piece = Buffer.alloc(1 << 16);
    try {
      for (let n = 1; n > 0; this.#text += piece.toString('utf8', 0, n)) n = readSync(this.#readable, piece);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
    return this.#text;
  }

  started(): void {
    closeSync(this.writable);
  }

  close(): void {
    closeSync(this.#readable);
  }
}

/** Nearly 1 000 lines a second, by all ways in turn; how many were written. */
async function talk(fx: Fixture): Promise<number> {
  const asked: Promise<{ readonly took: number; readonly got: string }>[] = [];
  for (let n = 0; n < (SECONDS * 1000) / EVERY_MS; n++, await sleep(EVERY_MS)) {
    const from = performance.now();
    const path = `/hello?way=${WAYS[n % WAYS.length]}&lines=${LINES}&n=${n}`;
    const answer = get(fx.port, path).catch((error: Error) => error);
    asked.push(answer.then((got) => ({ got: ended(got), took: performance.now() - from })));
  }
  const answers = await Promise.all(asked);
  expect([...new Set(answers.map(({ got }) => got))]).toEqual(['200']);
  const times = answers.map(({ took }) => took).sort((a, b) => a - b);
  const [median, latest] = [times[Math.floor(times.length / 2)]!, times.at(-1)!];
  console.log(`${answers.length} requests; median ${median.toFixed(1)} ms, the latest ${latest.toFixed(1)} ms`);
  expect(latest).toBeLessThan(LATEST_MS + SLACK_MS);
  expect(median).toBeLessThan(LATEST_MS);
  return answers.length * LINES;
}

const said = (text: string): number => text.match(/said \d+-\d+/g)?.length ?? 0;
const lost = (text: string): number =>
  [...text.matchAll(/, lines lost: (\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0);

// Envoy has no part in it.
describe.runIf(envoyVersion === '1.40')('a reader that does not read', { timeout: TIMEOUT_MS }, () => {
  it.each([
    { hostWorkers: 1, supervise: true },
    { hostWorkers: 0, supervise: false },
  ])('--workers $hostWorkers, with a parent: $supervise', async (options) => {
    const [stdout, stderr] = [new Unread('stdout'), new Unread('stderr')];
    await scene(
      FILTERS,
      async (fx) => {
        stdout.started();
        stderr.started();
        const written = await talk(fx);
        // they are read again
        const counted = (text: string): number => said(text) + lost(text);
        await eventually('each line has come or is counted', () => {
          return counted(stdout.read()) + counted(stderr.read()) >= written;
        });
        const [out, err] = [stdout.read(), stderr.read()];
        expect(lost(out) > 0 && lost(err) > 0).toBe(true);
        // of lines that are none of the filter's there are few
        expect(counted(out) + counted(err)).toBeLessThan(written + 20);
        expect(out).toMatch(/"code":"TSF_LOG_LINES_LOST","lost":\d+/);
        for (const line of out.split('\n')) expect(line).toMatch(/^(\{.*\}|said \d+-\d+ \.{4000}|)$/);
        expect((await get(fx.port, '/hello?way=console&lines=1&n=999999')).status).toBe(200);
        await eventually('it is written again', () => stdout.read().includes('said 999999-0'));
      },
      { ...options, hostOutputs: [stdout.writable, stderr.writable] },
    );
    stdout.close();
    stderr.close();
  });
});

describe.runIf(envoyVersion === '1.40')('nothing can be written', { timeout: TIMEOUT_MS }, () => {
  /** With a stdout of that kind; its stderr is read, and counts. */
  async function unwritable(stdout: number, started: () => void, why: RegExp, options: object): Promise<void> {
    const stderr = new Unread('stderr');
    const reading = setInterval(() => stderr.read(), 10);
    try {
      await scene(
        FILTERS,
        async (fx) => {
          started();
          stderr.started();
          const written = await talk(fx);
          expect(stderr.read()).toMatch(why);
          expect((await fx.host.stop(5_000)).code).toBe(0);
          const text = stderr.read();
          expect(said(text) + lost(text)).toBeGreaterThanOrEqual(written);
        },
        { ...options, hostOutputs: [stdout, stderr.writable] },
      );
    } finally {
      clearInterval(reading);
      stderr.close();
    }
  }

  it.each([
    { hostWorkers: 1, supervise: true },
    { hostWorkers: 0, supervise: false },
  ])('the reader is gone; --workers $hostWorkers, with a parent: $supervise', async (options) => {
    const stdout = new Unread('stdout');
    const started = (): void => {
      stdout.started();
      stdout.close();
    };
    await unwritable(
      stdout.writable,
      started,
      /stdout cannot be written \(Broken pipe\), lines lost until now: \d+/,
      options,
    );
  });

  it('the disk is full', async () => {
    const full = openSync('/dev/full', 'w');
    await unwritable(full, () => closeSync(full), /stdout cannot be written \(No space left on device\)/, {});
  });
});
