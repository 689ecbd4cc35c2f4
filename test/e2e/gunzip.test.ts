/** gunzip-rewrite with its default limits: exact however the gzip is cut, and never a clean end with bytes missing. */
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import {
  digest,
  eventually,
  http1,
  http2,
  type Line,
  mebibytes,
  MiB,
  pattern,
  patternAt,
  peakBytes,
  Random,
  resetPeak,
  seedOf,
  type Handler,
} from '../fixture/index.js';
import { logsOnFailure, stage } from './support.js';

/** About 2 MB that expand to 20 MB. */
const LARGE = Buffer.concat([
  ...pattern(1_900_000),
  Buffer.alloc(9_000_000, 'needles in hay '),
  patternAt(11, 100_000),
  Buffer.alloc(9_000_000, 'needle, nee needle '),
]);
const CHANGED = Buffer.from(LARGE.toString('latin1').replaceAll('needle', 'thimble'), 'latin1');
const LARGE_GZIP = gzipSync(LARGE);
/** About 200 KB that expand to 200 MB. */
const BOMB_GZIP = gzipSync(Buffer.alloc(200_000_000));

const send =
  (bytes: Buffer): Handler =>
  async (_req, res, query) => {
    const random = new Random(Number(query.get('seed') ?? '1'));
    const most = Number(query.get('most') ?? '65536');
    res.writeHead(200, {
      'content-encoding': 'gzip',
      'content-type': 'text/plain',
      ...(query.has('cl') ? { 'content-length': String(bytes.length) } : {}),
    });
    for (let i = 0; i < bytes.length && !res.destroyed;) {
      const end = Math.min(bytes.length, i + random.int(1, most));
      if (!res.write(bytes.subarray(i, end))) {
        await new Promise<void>((resolve) => {
          const done = () => {
            res.off('drain', done).off('close', done);
            resolve();
          };
          res.on('drain', done).on('close', done);
        });
      }
      i = end;
    }
    res.end();
  };

describe.each(['http1', 'http2'] as const)('gunzip-rewrite over %s', (protocol) => {
  const exchange = protocol === 'http1' ? http1 : http2;
  const at = stage({
    filters: [{ name: 'gunzip-rewrite', config: { from: 'needle', to: 'thimble' } }],
    upstream: { protocol, paths: { '/large': send(LARGE_GZIP), '/bomb': send(BOMB_GZIP) } },
  });

  it.each([500, 65_536])('20 MB out of 2 MB are exact, in pieces of up to %i bytes', async (most) => {
    logsOnFailure(at);
    expect(LARGE_GZIP.length).toBeLessThan(2_200_000);
    const seed = seedOf();
    for (const framing of ['', '&cl=1']) {
      const path = `/large?most=${most}&seed=${seed}${framing}`;
      const plain = await exchange(at.port, { path });
      expect([plain.status, plain.digest, plain.broken], `SEED=${seed}`).toEqual([200, digest(CHANGED), '']);
      const again = await exchange(at.port, { path, headers: [['accept-encoding', 'gzip']], keep: 1 << 26 });
      expect([again.header('content-encoding'), again.broken], `SEED=${seed}`).toEqual(['gzip', '']);
      expect(digest(gunzipSync(again.body)), `SEED=${seed}`).toBe(digest(CHANGED));
    }
  });

  const accepting: Line[][] = [[], [['accept-encoding', 'gzip']]];
  it.each(accepting.map((headers) => ({ headers })))(
    '200 MB out of 200 KB are a reset, in little memory: $headers',
    async ({ headers }) => {
      logsOnFailure(at);
      const before = resetPeak(at.fx.envoy.pid);
      const path = `/bomb?${headers.length}`;
      const answer = await exchange(at.port, { path, headers });
      // with its headers still there it is a 500, else it is cut; never a clean 200
      expect([answer.status, answer.complete]).not.toEqual([200, true]);
      if (answer.complete) {
        expect(answer.status).toBe(500);
        expect(['error happened in filter', 'TSF_OUTPUT_LIMIT']).toContain(answer.text.trim());
      }
      await eventually('the code is logged', () => /EXPANDED_LIMIT|TSF_OUTPUT_LIMIT/.test(at.fx.logs()));
      const growth = peakBytes(at.fx.envoy.pid) - before;
      expect(growth, `Envoy grew by ${mebibytes(growth)}`).toBeLessThan(64 * MiB);
    },
  );
});
