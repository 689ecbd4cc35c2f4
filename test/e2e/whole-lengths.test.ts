/** Bodies that are taken whole go with their exact length, however large they are and however their output is cut. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { http1, startUpstream, type Upstream } from '../fixture/index.js';
import { logsOnFailure, withEnvoy } from './support.js';

/** The filter puts a brace at each end. */
const ADDED = 2;
const TIMES = 3;
const SIZES = [0, 60_000, 300_000, 1_000_000, 9_000_000];
const filters = [{ name: 'body-whole', options: { max_body_bytes: '16MiB' } }];

let upstream: Upstream;
beforeAll(async () => {
  upstream = await startUpstream({
    paths: {
      '/lengths': async (req, res, query) => {
        let bytes = 0;
        for await (const piece of req) bytes += piece.length;
        const said = req.headers['content-length'] ?? 'none';
        const size = Number(query.get('answer'));
        res.writeHead(200, { 'x-said': said, 'x-bytes': String(bytes), 'content-length': String(size) });
        res.end(Buffer.alloc(size, 'b'));
      },
    },
  });
});
afterAll(() => upstream.close());

describe.each([false, true])('with edges: %s', (edges) => {
  it('a whole body’s length is exact in both directions', () =>
    withEnvoy({ filters, upstream, edges }, async (fx) => {
      logsOnFailure({ fx });
      for (const size of SIZES.flatMap((one) => Array.from({ length: TIMES }, () => one))) {
        const body = Buffer.alloc(size, 'a');
        const answer = await http1(fx.port, { method: 'POST', path: `/lengths?answer=${size}`, body, keep: 0 });
        const seen = ['x-said', 'x-bytes', 'content-length'].map((name) => answer.header(name));
        // Without a body none is begun by the filter's hook.
        const length = size === 0 ? 0 : size + ADDED;
        expect([size, answer.status, answer.complete, ...seen]).toEqual([
          size,
          200,
          true,
          ...seen.map(() => `${length}`),
        ]);
      }
    }));
});
