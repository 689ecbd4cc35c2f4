import { gunzipSync, gzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import {
  digest,
  eventually,
  get,
  http1,
  type Line,
  MiB,
  pattern,
  peakBytes,
  resetPeak,
  type Response,
} from '../../test/fixture/index.js';
import { stage } from '../../test/e2e/support.js';

const text = 'find the needle, nee needles in the haystack\n'.repeat(20_000);
const changed = text.replaceAll('needle', 'thimble');
const compressed = gzipSync(text);
/** 2 MB of gzip that expand to 20 MB. */
const large = Buffer.concat([...pattern(2_000_000), Buffer.alloc(18_000_000, 'hay and straw ')]);
const largeCompressed = gzipSync(large);
const bomb = gzipSync(Buffer.alloc(200_000_000));

const gzipped: Record<string, Buffer> = {
  text: compressed,
  large: largeCompressed,
  bomb,
  broken: compressed.subarray(0, -9),
};
const at = stage({
  filters: [{ name: 'gunzip-rewrite', config: { from: 'needle', to: 'thimble' } }],
  upstream: {
    paths: {
      '/gzip': async (_req, res, query) => {
        const bytes = gzipped[query.get('body')!]!;
        const piece = Number(query.get('piece') ?? bytes.length);
        res.writeHead(200, { 'content-encoding': 'gzip', 'content-length': bytes.length, etag: '"1"', vary: 'origin' });
        for (let i = 0; i < bytes.length; i += piece) {
          if (!res.write(bytes.subarray(i, i + piece))) await new Promise((resolve) => res.once('drain', resolve));
        }
        res.end();
      },
      '/plain': (_req, res) => void res.writeHead(200, { 'content-length': 6, etag: '"1"' }).end('needle'),
    },
  },
});
const GZIP: Line[] = [['accept-encoding', 'br, gzip']];

/** 500 while the headers are still here, a reset when they have gone: never a clean end with bytes missing. */
function expectFailed(answer: Response): void {
  if (answer.status === 500) expect(['error happened in filter', 'TSF_OUTPUT_LIMIT']).toContain(answer.text.trim());
  else expect(answer.complete).toBe(false);
}

it.each([1, 100, 10_000, undefined])('replaces text across chunks, sent in pieces of %s bytes', async (piece) => {
  const path = `/gzip?body=text${piece === undefined ? '' : `&piece=${piece}`}`;
  const answer = await get(at.port, path, GZIP);
  expect(answer.complete).toBe(true);
  expect(digest(gunzipSync(answer.body))).toBe(digest(changed));
  expect(answer.header('content-encoding')).toBe('gzip');
  expect(answer.header('content-length')).toBeUndefined();
  expect(answer.header('etag')).toBe('W/"1"');
  expect(answer.all('vary').join()).toBe('origin,accept-encoding');
});

it('sends a client without gzip the plain text', async () => {
  for (const headers of [[], [['accept-encoding', 'gzip;q=0, br']]] as Line[][]) {
    const answer = await get(at.port, '/gzip?body=text', headers);
    expect([answer.header('content-encoding'), answer.digest]).toEqual([undefined, digest(changed)]);
  }
});

it('passes what is not gzip as it is', async () => {
  const answer = await get(at.port, '/plain', GZIP);
  expect([answer.text, answer.header('etag'), answer.header('vary')]).toEqual(['needle', '"1"', undefined]);
});

it('is exact when 2 MB of gzip expand to 20 MB', async () => {
  const compressedAnswer = await http1(at.port, { path: '/gzip?body=large&piece=1111', headers: GZIP, keep: 1 << 26 });
  expect(digest(gunzipSync(compressedAnswer.body))).toBe(digest(large));
  const plain = await get(at.port, '/gzip?body=large');
  expect([plain.complete, plain.digest]).toEqual([true, digest(large)]);
});

it('fails a response that expands from 200 KB to 200 MB, in little memory', async () => {
  const before = resetPeak(at.fx.envoy.pid);
  for (const headers of [GZIP, []]) {
    expectFailed(await get(at.port, '/gzip?body=bomb', headers));
  }
  expect(peakBytes(at.fx.envoy.pid) - before).toBeLessThan(64 * MiB);
  // the filter's own limit, or that of what waits for Envoy
  await eventually('its line in the log', () => /EXPANDED_LIMIT|TSF_OUTPUT_LIMIT/.test(at.fx.logs()));
});

it('fails a response whose gzip is broken', async () => {
  expectFailed(await get(at.port, '/gzip?body=broken', GZIP));
  await eventually('its line in the log', () => at.fx.host.output.includes('BAD_GZIP'));
});
