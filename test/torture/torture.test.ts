/** The torture's own parts: what it expects, and that a seed says everything. */
import { describe, expect, it } from 'vitest';
import { bytesOf, piecesOf } from './bodies.js';
import { expected, isOurs, places, planChain, sentMessage, type Chain } from './chain.js';
import { judge, ResetLog, type Verdict } from './judge.js';
import type { Seen } from './exchange.js';
import type { OursConfig } from './ours.js';
import { planMessage } from './plan.js';

const ours = (tag: string, request: OursConfig['request']): { ours: OursConfig } => ({
  ours: { tag, request, response: 'none', headersMs: 0, bodyMs: 0 },
});
const chain = (...entries: Chain['entries']): Chain => ({ number: 3, entries, bufferLimit: undefined });
const texts = (of: Chain, body: string, end: string) =>
  expected(of, 'request', sentMessage(Buffer.from(body), end)).map((message) => message.body.toString('latin1'));

describe('plans', () => {
  it('makes the same chain and message from the same seed, and others from another', () => {
    expect(planChain(1, 2, 3)).toEqual(planChain(1, 2, 3));
    expect(planMessage(1, 77)).toEqual(planMessage(1, 77));
    expect(planMessage(1, 77)).not.toEqual(planMessage(2, 77));
  });

  it('sends every byte of a body, in order', () => {
    for (let index = 0; index < 200; index++) {
      const { request } = planMessage(5, index);
      const sent = [...piecesOf(request)].filter((piece) => typeof piece !== 'number');
      expect(Buffer.concat(sent).equals(bytesOf(request))).toBe(true);
    }
  });

  it('has one or two of ours in each chain and at most four that pause', () => {
    for (let number = 0; number < 200; number++) {
      const { entries } = planChain(9, 0, number);
      const count = entries.filter(isOurs).length;
      expect([1, 2]).toContain(count);
      expect(entries.length - count).toBeLessThanOrEqual(4);
    }
  });
});

describe('what a receiver should get', () => {
  it('is the composition of the filters in their order', () => {
    const [body] = texts(chain(ours('A', 'add-data'), ours('B', 'trailers')), 'x', 'trailers');
    expect(body).toBe('{AxA}B}');
  });

  it('leaves both ways open when the end may have joined the headers', () => {
    expect(texts(chain(ours('A', 'whole')), '', 'empty frame')).toEqual(['{AA}', '']);
    expect(texts(chain(ours('A', 'whole')), '', 'with the headers')).toEqual(['']);
    expect(texts(chain(ours('A', 'whole')), '', 'trailers')).toEqual(['{AA}']);
  });

  it('knows where a filter stands', () => {
    const pausing = { pausing: 'ratelimit', ms: 1 };
    const found = places(chain(pausing, ours('A', 'go'), pausing, ours('B', 'go'), pausing));
    expect(found.map(({ place }) => place)).toEqual(['before', 'between', 'behind']);
  });
});

describe('the judge', () => {
  const right: Seen = { end: 'whole', wrong: '' };
  const short: Seen = { end: 'whole', wrong: 'the rest is missing' };
  const broken: Seen = { end: 'broken', wrong: 'was reset' };
  const [began, ended] = [Date.parse('2026-01-01T10:00:00.000'), Date.parse('2026-01-01T10:00:01.000')];
  const plan = { ...planMessage(1, 1), answer: 'late' as const };
  const judged = (request: Seen, response: Seen, status: number, text = '', log = ''): Verdict =>
    judge(
      { key: '1', plan, chain: chain(), request, response, status, text, began, ended },
      undefined,
      new ResetLog(log),
    );

  it('calls a short request with a clean end cut, whatever the client was told', () => {
    expect(judged(short, { end: 'whole', wrong: 'status 502' }, 502, 'ts_filter_host_lost').whole).toBe('cut');
  });

  it('finds the code of a reply in its text, and that of a reset in the log of the same chain', () => {
    expect(judged(broken, { end: 'whole', wrong: 'status 502' }, 502, 'ts_filter_host_lost').whole).toBe('coded');
    const log = (number: number) =>
      `[2026-01-01 10:00:00.500][7][warning][dynamic_modules] ts_filter: filter t${number}-1: stream reset: TSF_OUTPUT_LIMIT\n`;
    expect(judged(right, broken, 200, '', log(3)).whole).toBe('coded');
    expect(judged(right, broken, 200, '', log(4)).whole).toBe('other');
    expect(judged(right, broken, 200, '', log(3).replace('reset', 'cut')).whole).toBe('coded');
    expect(judged(right, short, 200, '', log(3).replace('reset', 'cut')).whole).toBe('cut');
  });

  it('counts no response of a request that ended early', () => {
    expect(judged({ end: 'hung', wrong: '' }, { end: 'hung', wrong: '' }, 0)).toMatchObject({
      request: 'hung',
      response: undefined,
      whole: 'hung',
    });
  });
});
