/** Ten thousand calls at once on one runtime, and ten thousand streams that die during theirs. None of it depends on Envoy. */
import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import {
  Connection,
  envoyVersion,
  eventually,
  type Fixture,
  get,
  mebibytes,
  MiB,
  peakBytes,
  residentBytes,
  resetPeak,
} from '../fixture/index.js';
import { scene } from './support.js';

const STREAMS = 10_000;
const BATCH = 250;

async function ask<T>(fx: Fixture, path: string): Promise<T> {
  const answer = await get(fx.port, path);
  expect(answer.status, fx.logs().slice(-3000)).toBe(200);
  return JSON.parse(answer.text) as T;
}

/** The one runtime that the host has started; esbuild is a child of it, too. */
const runtimePid = (fx: Fixture): number =>
  Number(execFileSync('pgrep', ['-P', String(fx.host.pid), '-f', 'go-conformance'], { encoding: 'utf8' }).trim());

async function batch(fx: Fixture, done: number): Promise<void> {
  const clients = await Promise.all(
    Array.from({ length: BATCH }, async () => {
      const client = await Connection.open(fx.port);
      await client.write('GET /sleep HTTP/1.1\r\nhost: a\r\n\r\n');
      return client;
    }),
  );
  const stats = () => ask<{ begun: number; cancelled: number }>(fx, '/stats');
  await eventually('all have called', async () => (await stats()).begun === done + BATCH);
  clients.forEach((client) => client.reset());
  await eventually('the runtime has heard of each', async () => (await stats()).cancelled === done + BATCH);
}

describe.runIf(envoyVersion === '1.40')('one runtime', () => {
  it('answers ten thousand calls at once, in bounded memory', () =>
    scene([{ name: 'calls-load' }], async (fx) => {
      await ask(fx, '/stats');
      const pids = [fx.host.pid, runtimePid(fx)];
      const before = pids.map(resetPeak);
      expect(await ask(fx, '/many')).toEqual({ right: 10_000 });
      const growth = pids.map((pid, i) => peakBytes(pid) - before[i]!);
      console.log(`10000 calls of 1 KB: host ${mebibytes(growth[0]!)}, runtime ${mebibytes(growth[1]!)}`);
      expect(growth[0]).toBeLessThan(160 * MiB);
      expect(growth[1]).toBeLessThan(96 * MiB);
    }));

  it('hears of ten thousand streams that die during their calls, and nothing of them stays', { timeout: 120_000 }, () =>
    scene([{ name: 'calls-load' }], async (fx) => {
      let early: number[] = [];
      for (let done = 0; done < STREAMS; done += BATCH) {
        await batch(fx, done);
        if (done + BATCH === 2500) early = [fx.host.pid, runtimePid(fx)].map(residentBytes);
      }
      const late = [fx.host.pid, runtimePid(fx)].map(residentBytes);
      console.log(
        `growth from 2500 to ${STREAMS}: host ${mebibytes(late[0]! - early[0]!)}, runtime ${mebibytes(late[1]! - early[1]!)}`,
      );
      // a leak of 1 KiB a stream would show as 7.5 MiB, beside the noise of two collectors
      expect(late[0]! - early[0]!).toBeLessThan(24 * MiB);
      expect(late[1]! - early[1]!).toBeLessThan(24 * MiB);
      expect(await ask(fx, '/stats')).toEqual({ begun: STREAMS, cancelled: STREAMS });
    }),
  );
});
