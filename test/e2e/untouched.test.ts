/** What no filter touches reaches the other side byte for byte: compared with the same Envoy without our filter. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  Connection,
  startEnvoy,
  startRawUpstream,
  within,
  type AnyFilter,
  type Fixture,
  type RawUpstream,
} from '../fixture/index.js';
import { mapResponse } from './filters/lib/maps.js';

const NASTY = [
  'x-first: 1',
  'X-Mixed-Case: kept as Envoy keeps it',
  'x-empty:',
  'x-dup: a',
  'cookie: a=1',
  'x-between: b',
  'x-dup: b',
  'x-dup:',
  'cookie: b=2',
  `x-bytes: ${String.fromCharCode(...Array.from({ length: 128 }, (_, i) => 128 + i))}`,
  'x-comma: a, b,, c',
  'x-inner:  two  spaces  inside ',
  'x-quote: "\\"',
  'x-tab: a\tb',
  'accept: */*',
  'x-last: end',
  'x-first: 2',
];

const ANSWER = (extra: readonly string[]) =>
  Buffer.from(
    [
      'HTTP/1.1 200 OK',
      'date: Mon, 01 Jan 2024 00:00:00 GMT',
      'set-cookie: a=1',
      'x-dup: r1',
      'set-cookie: b=2; Path=/',
      'x-empty:',
      'x-dup: r2',
      `x-bytes: ${String.fromCharCode(...Array.from({ length: 128 }, (_, i) => 128 + i))}`,
      'x-dup:',
      ...extra,
      'content-length: 5',
      'x-last: end',
      '',
      'hello',
    ].join('\r\n'),
    'latin1',
  );

const LARGE_VALUE = 'v'.repeat(7_000);
const LARGE = Array.from({ length: 40 }, (_, i) => `x-large-${i}: ${LARGE_VALUE}${i}`);

/** The only parts that differ from run to run. */
const steady = (head: string) => head.replace(/x-envoy-upstream-service-time: \d+/, 'x-envoy-upstream-service-time: N');

/** Which chain, and the lines that it adds. */
const CHAINS: { name: string; filters: AnyFilter[]; request: string[]; response: string[]; body?: string }[] = [
  { name: 'a filter that only looks', filters: [{ name: 'listen-only' }], request: [], response: [] },
  {
    name: 'a filter that has phases it does not use',
    filters: [{ name: 'body-perchunk' }, { name: 'counters' }],
    request: [],
    response: [],
    body: Buffer.from(mapResponse(Buffer.from('hello'))).toString(),
  },
  {
    name: 'filters that add one line each',
    filters: [
      { name: 'touch', config: { tag: 'a' } },
      { name: 'touch', instance: 'touch-2', config: { tag: 'b' } },
    ],
    request: ['x-touch-request: a', 'x-touch-request: b'],
    response: ['x-touch-response: b', 'x-touch-response: a'],
  },
  {
    name: 'two filters in one crossing',
    filters: [{ name: 'both', filters: [{ name: 'listen-only' }, { name: 'touch', plugin_config: { tag: 'c' } }] }],
    request: ['x-touch-request: c'],
    response: ['x-touch-response: c'],
  },
];

describe.each(CHAINS)('through $name', ({ filters, request, response, body = 'hello' }) => {
  let upstream: RawUpstream;
  let plain: Fixture;
  let ours: Fixture;
  beforeAll(async () => {
    upstream = await startRawUpstream(ANSWER(LARGE.slice(0, 6)));
    const common = {
      upstream,
      hcm: { generate_request_id: false, max_request_headers_kb: 1024 },
    };
    plain = await startEnvoy({ ...common, filters: [] });
    ours = await startEnvoy({ ...common, filters });
  });
  afterAll(async () => {
    await plain.stop();
    await ours.stop();
    await upstream.close();
  });

  /** The head that the upstream got, and the head that the client got. */
  async function exchange(
    fx: Fixture,
    lines: readonly string[],
  ): Promise<{ sent: string; answered: string[]; body: string }> {
    const connection = await Connection.open(fx.port);
    await connection.write(
      Buffer.from(['GET /a%20b?c=%ff&d HTTP/1.1', 'host: Some.Host:81', ...lines, '', ''].join('\r\n'), 'latin1'),
    );
    const head = await within(5_000, 'the raw answer', connection.readHead());
    const body = (await connection.readExactly(5)).toString('latin1');
    connection.close();
    return {
      sent: upstream.received.at(-1)!.toString('latin1'),
      answered: head.lines.map(([name, value]) => steady(`${name}: ${value}`)),
      body,
    };
  }

  /** `head` without the lines that the filters added, and those lines. */
  function split(head: string): { rest: string; added: string[] } {
    const isAdded = (line: string) => line.startsWith('x-touch-request');
    const lines = head.split('\r\n');
    return { rest: lines.filter((line) => !isAdded(line)).join('\r\n'), added: lines.filter(isAdded) };
  }

  it('request lines keep order, duplicates, empty values and high bytes', async () => {
    const without = await exchange(plain, NASTY);
    const through = await exchange(ours, NASTY);
    expect(without.sent).toContain('x-empty: \r\n');
    expect(without.sent).toContain('\u0080');
    expect(split(through.sent)).toEqual({ rest: without.sent, added: request });
  });

  it('response lines do too', async () => {
    const without = await exchange(plain, NASTY);
    const through = await exchange(ours, NASTY);
    expect(without.answered).toContain('x-empty: ');
    expect(without.answered.filter((line) => line.startsWith('x-dup'))).toEqual(['x-dup: r1', 'x-dup: r2', 'x-dup: ']);
    // a line that a filter adds comes after the upstream's and before what Envoy itself adds at the very end
    const rest = [...through.answered];
    const added = rest.filter((line) => line.startsWith('x-touch-response'));
    expect(added).toEqual(response);
    const kept = rest.filter((line) => !line.startsWith('x-touch-response'));
    // also where a transform runs: all of the body is here when the headers go, and its length is the same
    expect(kept).toEqual(without.answered);
    expect(through.body).toBe(body);
  });

  it('a header block of 280 KB passes whole', async () => {
    const without = await exchange(plain, LARGE);
    const through = await exchange(ours, LARGE);
    expect(without.sent.length).toBeGreaterThan(280_000);
    expect(split(through.sent)).toEqual({ rest: without.sent, added: request });
  });
});
