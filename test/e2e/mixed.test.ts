/** Everything at once: 2 Envoy workers, 2 host workers, 200 connections, all demo filters. MIXED_SECONDS=60 for the full run. */
import { gunzipSync, gzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import {
  Connection,
  digest,
  eventually,
  pattern,
  Random,
  seedOf,
  type Config,
  type Line,
  type Request,
  type Response,
  type Seen,
} from '../fixture/index.js';
import { stage } from './support.js';

const SECONDS = Number(process.env['MIXED_SECONDS'] ?? '20');
const CONNECTIONS = 200;
/** Longer than any honest wait under this load; a request over it is hung. */
const HUNG_MS = 20_000;

const FILTERS = ['hello', 'auth', 'redirect', 'stream-reply', 'sse', 'gunzip-rewrite', 'upper'];
const CONFIGS: Config = {
  hello: {},
  auth: { tokens: { secret: 'ann' }, delay_ms: 2 },
  redirect: { ret_code: 302, uri: '/redirected/path' },
  'stream-reply': { chunks: 4, delay_ms: 2 },
  sse: {},
  'gunzip-rewrite': { from: 'needle', to: 'thimble' },
  upper: {},
};
/** A route on which only these filters are. */
const only = (prefix: string, names: readonly string[]): Config => ({
  match: { prefix },
  route: { cluster: 'upstream', timeout: '0s', prefix_rewrite: '/' },
  typed_per_filter_config: Object.fromEntries(
    FILTERS.filter((name) => !names.includes(name)).map((name) => [
      name,
      { '@type': 'type.googleapis.com/envoy.config.route.v3.FilterConfig', disabled: true },
    ]),
  ),
});

const TEXT = 'needles, needles and hay\n'.repeat(2_000);
const GZIP = gzipSync(TEXT);

const at = stage({
  filters: FILTERS.map((name) => ({ name, config: CONFIGS[name] as unknown })),
  concurrency: 2,
  hostWorkers: 2,
  counters: true,
  listener: { connection_balance_config: { exact_balance: {} } },
  routes: [
    only('/hello-only/', ['hello']),
    only('/auth/', ['auth']),
    only('/redirect/', ['redirect']),
    only('/reply/', ['stream-reply']),
    only('/sse/', ['sse']),
    only('/gzip/', ['gunzip-rewrite']),
    only('/upper/', ['upper']),
    only('/many/', ['hello', 'auth', 'sse', 'gunzip-rewrite', 'upper']),
    only('/none/', []),
  ],
  upstream: { paths: { '/packed': (_req, res) => void res.writeHead(200, { 'content-encoding': 'gzip' }).end(GZIP) } },
});

interface Case {
  weight: number;
  make: (random: Random) => Request;
  check: (answer: Response) => string;
}
const expects = (text: string) => (answer: Response) =>
  answer.status === 200 && answer.text === text ? '' : `${answer.status} ${answer.text.slice(0, 60)}`;

const CASES: Record<string, Case> = {
  hello: { weight: 4, make: () => ({ path: '/hello-only/hello' }), check: expects('hola mundo :)') },
  none: { weight: 2, make: () => ({ path: '/none/hello' }), check: expects('hola mundo :)') },
  authorised: {
    weight: 3,
    make: () => ({ path: '/auth/sink', headers: [['authorization', 'Bearer secret']] satisfies Line[] }),
    check: (answer) =>
      answer.status === 200 &&
      (answer.json as Seen).headers.some(([name, value]) => name === 'x-user' && value === 'ann')
        ? ''
        : answer.text,
  },
  unauthorised: {
    weight: 2,
    make: () => ({ path: '/auth/sink' }),
    check: (answer) => (answer.status === 401 ? '' : String(answer.status)),
  },
  redirect: {
    weight: 2,
    make: () => ({ path: '/redirect/' }),
    check: (answer) =>
      answer.status === 302 && answer.header('location') === '/redirected/path' ? '' : String(answer.status),
  },
  reply: {
    weight: 2,
    make: () => ({ path: '/reply/' }),
    check: expects('chunk 1 of 4\nchunk 2 of 4\nchunk 3 of 4\nchunk 4 of 4\n'),
  },
  events: {
    weight: 1,
    make: () => ({ path: '/sse/sse?n=3&ms=5' }),
    check: (answer) => ((answer.text.match(/"i":\d/g) ?? []).join() === '"i":0,"i":1,"i":2' ? '' : answer.text),
  },
  gzip: {
    weight: 1,
    make: () => ({ path: '/gzip/packed', headers: [['accept-encoding', 'gzip']] satisfies Line[] }),
    check: (answer) =>
      gunzipSync(answer.body).toString() === TEXT.replaceAll('needle', 'thimble') ? '' : 'other text',
  },
  gunzip: { weight: 1, make: () => ({ path: '/gzip/packed' }), check: expects(TEXT.replaceAll('needle', 'thimble')) },
  upper: {
    weight: 3,
    make: (random) => ({
      method: 'POST',
      path: '/upper/echo',
      body: 'abc xyz '.repeat(random.pick([0, 1, 100, 9_000])),
    }),
    check: (answer) => (answer.status === 200 && /^(ABC XYZ )*$/.test(answer.text) ? '' : answer.text.slice(0, 60)),
  },
  many: {
    weight: 2,
    make: () => ({
      method: 'POST',
      path: '/many/echo',
      body: 'through many',
      headers: [['authorization', 'Bearer secret']] satisfies Line[],
    }),
    check: expects('THROUGH MANY'),
  },
};
/** Bodies whose every byte is checked. */
const ECHO_SIZES = [1, 65_536, 300_000];

it(
  `${CONNECTIONS} connections for ${SECONDS} s: no wrong answer, none hung, both workers at work`,
  { timeout: (SECONDS + 90) * 1000 },
  async () => {
    const seed = seedOf();
    const wheel = Object.entries(CASES).flatMap(([name, one]) => Array.from({ length: one.weight }, () => name));
    const until = performance.now() + SECONDS * 1000;
    const wrong: string[] = [];
    const asked = new Map<string, number>();

    await Promise.all(
      Array.from({ length: CONNECTIONS }, async (_, lane) => {
        const random = new Random(seed + lane);
        let connection = await Connection.open(at.port);
        while (performance.now() < until && wrong.length < 20) {
          const exact = random.next() < 0.05;
          const name = exact ? 'exact' : random.pick(wheel);
          asked.set(name, (asked.get(name) ?? 0) + 1);
          const size = random.pick(ECHO_SIZES);
          const expected = exact
            ? digest(
                Buffer.from(
                  Buffer.concat([...pattern(size)]).map((byte) => (byte >= 97 && byte <= 122 ? byte - 32 : byte)),
                ),
              )
            : '';
          const request = exact
            ? { method: 'POST', path: '/upper/echo', body: pattern(size, () => random.int(1_000, 60_000)) }
            : CASES[name]!.make(random);
          try {
            const answer = await connection.request({ ...request, timeoutMs: HUNG_MS });
            const problem =
              answer.broken !== ''
                ? `broken: ${answer.broken}`
                : exact
                  ? answer.digest === expected
                    ? ''
                    : 'other bytes'
                  : CASES[name]!.check(answer);
            if (problem !== '') wrong.push(`${name}: ${problem}`);
            if (answer.header('connection') === 'close' || answer.broken !== '' || connection.socket.destroyed) {
              connection.close();
              connection = await Connection.open(at.port);
            }
          } catch (error) {
            wrong.push(`${name}: ${(error as Error).message}`);
            connection.close();
            connection = await Connection.open(at.port);
          }
        }
        connection.close();
      }),
    );

    const total = [...asked.values()].reduce((sum, n) => sum + n, 0);
    console.log(`mixed: ${total} requests in ${SECONDS} s, SEED=${seed}`, Object.fromEntries(asked));
    if (wrong.length > 0) console.error(at.fx.logs().slice(-8_000));
    expect(wrong, `SEED=${seed}`).toEqual([]);
    expect(asked.size).toBe(Object.keys(CASES).length + 1);
    expect(total).toBeGreaterThan(CONNECTIONS * SECONDS);
    await eventually('no stream is left', async () => (await at.fx.activeStreams()) === 0);

    const main = [...(await at.fx.stats(/^listener\.main\.worker_\d\.downstream_cx_total$/))];
    expect(main.length).toBe(2);
    for (const [name, connections] of main) expect(connections, name).toBeGreaterThan(50);
    const threads = new Set<number>();
    await eventually('both host workers answer', async () => {
      const side = await Connection.open(at.fx.sidePort);
      const answer = await side.request({ path: '/__counters' });
      side.close();
      threads.add((answer.json as Record<string, number>)['born']!);
      return threads.size === 2;
    });
  },
);
