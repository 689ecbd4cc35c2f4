/** Bodies that are taken whole: over the limit nothing of them goes on, and an empty one is handed over once. */
import { describe, expect, it } from 'vitest';
import { exchangeOver, sleep, type Handler } from '../../fixture/index.js';
import { logsOnFailure } from '../support.js';
import {
  fateOfRequest,
  fateOfResponse,
  inParallel,
  nextId,
  ours,
  patternBytes,
  PROTOCOLS,
  RUNS,
  shifted,
  talkStage,
  tally,
  through,
  type Chains,
  type Times,
} from './support.js';

const LIMIT_MS = 5_000;
const PIECE = 10_000;
const TIMES: readonly Times[] = [1, 2];
const whole = { style: 'whole' } as const;
const held = { style: 'whole', hold: 5 } as const;
const transformed = { style: 'wholeTransform' } as const;
const byData = { style: 'wholeByData', pause: 5 } as const;
const small = { max_body_bytes: '16KiB' };
const chains: Chains = {
  whole1: [ours(1, whole, small)],
  whole2: [ours(2, whole, small)],
  held1: [ours(1, held, small)],
  held2: [ours(2, held, small)],
  transformed1: [ours(1, transformed, small)],
  transformed2: [ours(2, transformed, small)],
  heldTransformed1: [ours(1, { ...transformed, hold: 2 }, small)],
  lateTransformed1: [ours(1, { ...transformed, hold: 10 }, small)],
  // another of ours streams on the far side of the one that buffers
  mixed2: [ours(1, whole, small), ours(1, { style: 'generator' })],
};

const TWICE = Buffer.concat([patternBytes(PIECE), patternBytes(PIECE)]);

/** Two pieces, `?pause=` ms apart, the end `?end=` ms after the second. */
const twoPieces: Handler = async (_req, res, query) => {
  res.writeHead(200, { 'content-type': 'application/octet-stream' });
  res.write(patternBytes(PIECE));
  await sleep(Number(query.get('pause')));
  const end = Number(query.get('end'));
  if (end === 0) res.end(patternBytes(PIECE));
  else {
    res.write(patternBytes(PIECE));
    await sleep(end);
    res.end();
  }
};

/** Without any body, but with trailers. */
const emptyWithTrailers: Handler = async (req, res) => {
  for await (const _piece of req);
  res.writeHead(200, { 'content-type': 'application/octet-stream' });
  res.addTrailers({ 'x-upstream-trailer': 'there' });
  res.flushHeaders?.();
  await sleep(10);
  res.end();
};

const PAUSES = [0, 1, 3, 10, 20].flatMap((pause) => [0, 1, 4].map((end) => ({ pause, end })));
const byDataHooks: Chains = { byData1: [ours(1, byData, small)] };
const runs = Array.from({ length: 4 * RUNS }, () => PAUSES).flat();

describe.each(PROTOCOLS)('over %s', (protocol) => {
  const exchange = exchangeOver[protocol];
  const at = talkStage({ ...chains, ...byDataHooks }, protocol, {
    paths: { '/two-pieces': twoPieces, '/empty-with-trailers': emptyWithTrailers },
  });

  describe.each(Object.keys(chains))('10 000 bytes, a pause, 10 000 bytes, with max_body_bytes 16 KiB: %s', (chain) => {
    it('a request is refused with 413, and the upstream gets nothing of it', async () => {
      logsOnFailure(at);
      const outcomes = await inParallel(
        runs.map(({ pause, end }) => async () => {
          const id = nextId();
          const pieces = [patternBytes(PIECE), ...(pause > 0 ? [pause] : []), patternBytes(PIECE)];
          const { status, broken } = await exchange(at.port, {
            method: 'POST',
            path: `/talk?answer&${through(chain)}&id=${id}`,
            body: end > 0 ? [...pieces, end] : pieces,
            timeoutMs: LIMIT_MS,
          });
          return `${status} ${broken} upstream: ${at.ends.seen(id)?.request.end ?? 'nothing'}`;
        }),
        4,
      );
      expect(new Set(outcomes)).toEqual(new Set(['413  upstream: nothing']));
    });

    it('a response becomes 500, without any of its bytes', async () => {
      logsOnFailure(at);
      const outcomes = await inParallel(
        runs.map(({ pause, end }) => async () => {
          const answer = await exchange(at.port, {
            path: `/two-pieces?${through(chain)}&pause=${pause}&end=${end}`,
            timeoutMs: LIMIT_MS,
          });
          const leaked = answer.length >= PIECE ? `${answer.length} bytes` : 'none of its bytes';
          return `${answer.status} ${answer.broken} ${leaked}`;
        }),
        4,
      );
      expect(new Set(outcomes)).toEqual(new Set(['500  none of its bytes']));
    });

    it('what is below the limit goes whole, both ways', async () => {
      logsOnFailure(at);
      const id = nextId();
      const body = patternBytes(PIECE);
      const times = chain.endsWith('1') ? 1 : 2;
      const answer = await exchange(at.port, {
        method: 'POST',
        path: `/talk?answer&${through(chain)}&id=${id}`,
        body: [body.subarray(0, 5_000), 10, body.subarray(5_000), 5],
        timeoutMs: LIMIT_MS,
      });
      expect([answer.status, answer.broken]).toEqual([200, '']);
      expect(answer.body).toEqual(shifted(Buffer.from('heard'), 'response', times));
      const { request } = at.ends.seen(id)!;
      expect([request.end, request.bytes.equals(shifted(body, 'request', times))]).toEqual(['clean', true]);
    });
  });

  it.each(Object.keys(byDataHooks))(
    'kept from a data hook, its headers gone: all of it, or an end that tells: %s',
    async (chain) => {
      logsOnFailure(at);
      const body = patternBytes(2 * PIECE);
      const fates = await inParallel(
        runs.flatMap(({ pause, end }) => [
          async () => {
            const id = nextId();
            const pieces = [body.subarray(0, PIECE), ...(pause > 0 ? [pause] : []), body.subarray(PIECE)];
            await exchange(at.port, {
              method: 'POST',
              path: `/talk?answer&${through(chain)}&id=${id}`,
              body: end > 0 ? [...pieces, end] : pieces,
              timeoutMs: LIMIT_MS,
            });
            // the client may hear of the end before the upstream does
            const heard = at.ends.seen(id)?.request;
            await heard?.ended(1_000);
            return fateOfRequest(heard, shifted(body, 'request', 1));
          },
          async () => {
            const path = `/two-pieces?${through(chain)}&pause=${pause}&end=${end}`;
            const answer = await exchange(at.port, { path, timeoutMs: LIMIT_MS });
            return fateOfResponse(answer, shifted(TWICE, 'response', 1));
          },
        ]),
        4,
      );
      const { exact = 0, ended = 0, ...wrong } = tally(fates);
      expect(wrong).toEqual({});
      expect(exact + ended).toBe(fates.length);
    },
  );

  describe.each(TIMES)('an empty body with trailers, %i of ours that take bodies whole', (times) => {
    it('in a request: decodeData is called once, and the trailers go on', async () => {
      logsOnFailure(at);
      for (const pause of [0, 5]) {
        const before = (await at.fx.counters())['shift.whole.request'] ?? 0;
        const id = nextId();
        const answer = await exchange(at.port, {
          method: 'POST',
          path: `/talk?answer&${through(`whole${times}`)}&id=${id}`,
          body: pause > 0 ? [pause] : [],
          trailers: [['x-sum', 'seven']],
          timeoutMs: LIMIT_MS,
        });
        expect([answer.status, answer.broken]).toEqual([200, '']);
        const { request } = at.ends.seen(id)!;
        expect([request.end, request.length, request.trailers]).toEqual(['clean', 0, [['x-sum', 'seven']]]);
        expect((await at.fx.counters())['shift.whole.request']! - before).toBe(times);
      }
    });

    it('in a response: encodeData is called once, and the trailers go on', async () => {
      logsOnFailure(at);
      const before = (await at.fx.counters())['shift.whole.response'] ?? 0;
      const answer = await exchange(at.port, {
        path: `/empty-with-trailers?${through(`whole${times}`)}`,
        headers: [['te', 'trailers']],
        timeoutMs: LIMIT_MS,
      });
      expect([answer.status, answer.broken, answer.length]).toEqual([200, '', 0]);
      expect((await at.fx.counters())['shift.whole.response']! - before).toBe(times);
      expect(answer.trailer('x-upstream-trailer')).toBe('there');
    });
  });
});
