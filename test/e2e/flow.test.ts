/** Bodies far larger than any buffer, to a peer that reads slowly: exact, and memory stays where it was. SOAK=1: 1 GB. */
import { describe, expect, it } from 'vitest';
import {
  http1,
  mebibytes,
  MiB,
  pattern,
  patternDigest,
  peakBytes,
  resetPeak,
  startUpstream,
  Digest,
  sleep,
  type Fixture,
  type Handler,
} from '../fixture/index.js';
import { withEnvoy } from './support.js';

const soak = process.env['SOAK'] === '1';
const TOTAL = soak ? 1024 * 1024 * 1024 : 200 * 1024 * 1024;
const READ_RATE = 10 * 1024 * 1024;
const LIMIT_MS = (TOTAL / READ_RATE) * 1000 + 25_000;

const upperCase = (bytes: Buffer) => {
  const out = Buffer.from(bytes);
  for (let i = 0; i < out.length; i++) if (out[i]! >= 97 && out[i]! <= 122) out[i]! -= 32;
  return out;
};

/** Reads no faster than READ_RATE, and tells the digest. */
const slowSink: Handler = async (req, res) => {
  const sum = new Digest();
  const started = performance.now();
  for await (const piece of req) {
    sum.update(piece as Buffer);
    const due = started + (sum.length / READ_RATE) * 1000 - performance.now();
    if (due > 4) await sleep(due);
  }
  res.end(sum.end());
};

async function measured(fx: Fixture, run: () => Promise<void>): Promise<void> {
  // what the first large body needs for good is not growth
  await http1(fx.port, { path: `/bytes?n=${16 * MiB}` });
  await http1(fx.port, { method: 'POST', path: '/sink', body: pattern(16 * MiB) });
  const before = { envoy: resetPeak(fx.envoy.pid), host: resetPeak(fx.host.pid) };
  await run();
  const growth = { envoy: peakBytes(fx.envoy.pid) - before.envoy, host: peakBytes(fx.host.pid) - before.host };
  console.log(`growth: Envoy ${mebibytes(growth.envoy)}, host ${mebibytes(growth.host)}`);
  expect(growth.envoy, `Envoy grew by ${mebibytes(growth.envoy)}`).toBeLessThan(48 * MiB);
  expect(growth.host, `the host grew by ${mebibytes(growth.host)}`).toBeLessThan(64 * MiB);
}

describe.concurrent(`${TOTAL / MiB} MiB through upper to a peer that reads 10 MiB/s`, () => {
  const expected = patternDigest(TOTAL, upperCase);

  it('a response', { timeout: LIMIT_MS + 10_000 }, async () => {
    const upstream = await startUpstream();
    await withEnvoy({ filters: [{ name: 'upper' }], upstream }, (fx) =>
      measured(fx, async () => {
        const answer = await http1(fx.port, {
          path: `/bytes?n=${TOTAL}`,
          readRate: READ_RATE,
          keep: 0,
          timeoutMs: LIMIT_MS,
        });
        expect([answer.status, answer.digest, answer.broken]).toEqual([200, expected, '']);
      }),
    );
    await upstream.close();
  });

  it('a request', { timeout: LIMIT_MS + 10_000 }, async () => {
    const upstream = await startUpstream({ paths: { '/slow-sink': slowSink } });
    await withEnvoy({ filters: [{ name: 'upper' }], upstream }, (fx) =>
      measured(fx, async () => {
        const answer = await http1(fx.port, {
          method: 'POST',
          path: '/slow-sink',
          body: pattern(TOTAL),
          timeoutMs: LIMIT_MS,
        });
        expect([answer.status, answer.text, answer.broken]).toEqual([200, expected.toUpperCase(), '']);
      }),
    );
    await upstream.close();
  });
});
