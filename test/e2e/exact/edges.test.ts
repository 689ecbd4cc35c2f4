/** The companion entries themselves: they change nothing, need nothing, and without them our filter says what is missed. */
import { describe, expect, it } from 'vitest';
import {
  eventually,
  exchangeOver,
  Fixture,
  startUpstream,
  type AnyFilter,
  type Edge,
  type Protocol,
} from '../../fixture/index.js';
import { logsOnFailure, stage, withEnvoy } from '../support.js';
import { ours, patternBytes, PROTOCOLS, shifted } from './support.js';

const ALL: readonly Edge[] = ['first', 'last', 'upstream'];
/** Over HTTP/2 all of them only, for the time that each takes. */
const PLACES: Readonly<Record<Protocol, readonly (readonly Edge[])[]>> = {
  http1: [['first'], ['last'], ['upstream'], ['last', 'upstream'], ['first', 'last'], ALL],
  http2: [ALL],
};
const streaming = ours(1, { style: 'generator' });

describe.each(PROTOCOLS)('over %s', (protocol) => {
  const exchange = exchangeOver[protocol];

  /** Some of every kind of message. */
  async function traffic(port: number, times: 0 | 1): Promise<void> {
    const body = patternBytes(300_000);
    const pieces = [body.subarray(0, 5), 5, body.subarray(5, 100_000), 5, body.subarray(100_000)];
    for (const sent of [{ body: [] }, { body: pieces }, { body: pieces, trailers: [['x-sum', 'seven']] as const }]) {
      const wanted = sent.body.length === 0 ? Buffer.alloc(0) : body;
      const answer = await exchange(port, { method: 'POST', path: '/echo?trailers=1', timeoutMs: 5_000, ...sent });
      const changed = shifted(shifted(wanted, 'request', times), 'response', times);
      expect([answer.status, answer.broken, answer.body.equals(changed)]).toEqual([200, '', true]);
      expect(answer.trailer('x-sum')).toBe('trailers' in sent ? 'seven' : undefined);
    }
    expect(await exchange(port, { path: '/sink' })).toMatchObject({ status: 200, broken: '' });
    expect(await exchange(port, { method: 'HEAD', path: '/hello' })).toMatchObject({ status: 200, broken: '' });
  }

  describe.each(PLACES[protocol].map((edges) => ({ places: edges.join(' and '), edges })))('$places', ({ edges }) => {
    const alone = stage({ edges, host: false, upstream: { protocol } });
    const beside = stage({ edges, filters: [streaming], upstream: { protocol } });

    it('without any filter of ours, and without a host, messages pass as they are', async () => {
      logsOnFailure(alone);
      await traffic(alone.port, 0);
    });

    it('with one of ours messages are what it makes of them', async () => {
      logsOnFailure(beside);
      await traffic(beside.port, 1);
    });
  });
});

it('an edge has no config: one that has any is refused with the mend', async () => {
  const edge: AnyFilter = { name: 'ts_filter_edge', value: { socket: '/tmp/any.sock' } };
  const fx = new Fixture({ filters: [edge], host: false });
  try {
    const { code, output } = await fx.runToEnd('--mode', 'validate');
    expect([code, output]).toEqual([1, expect.stringMatching(/ts_filter_edge.*filter_config: .*leave it out/)]);
  } finally {
    fx.remove();
  }
});

describe('a filter that streams', () => {
  const linesAbout = (output: string): string[] => output.split('\n').filter((line) => line.includes('ts_filter_edge'));

  it.each([
    { what: 'without edges says once what they would bring', edges: false, lines: 1 },
    { what: 'with edges says nothing of them', edges: true, lines: 0 },
  ])('$what', async ({ edges, lines }) => {
    const upstream = await startUpstream();
    try {
      await withEnvoy({ filters: [streaming], edges, upstream }, async (fx) => {
        for (let i = 0; i < 5; i++) {
          const answer = await exchangeOver.http1(fx.port, { method: 'POST', path: '/echo', body: ['a', 5, 'b'] });
          expect(answer.status).toBe(200);
        }
        await eventually('all streams are over', async () => (await fx.activeStreams()) === 0);
        expect(linesAbout(fx.envoy.output)).toHaveLength(lines);
      });
    } finally {
      await upstream.close();
    }
  });
});
