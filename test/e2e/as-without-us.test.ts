/** Random exchanges through filters that change nothing: both sides see what they see of an Envoy without ours. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  Digest,
  envoyVersion,
  exchangeOver,
  pattern,
  Random,
  seedOf,
  sleep,
  startEnvoy,
  startUpstream,
  type EnvoyOptions,
  type Fixture,
  type Handler,
  type Line,
  type Protocol,
  type Request,
  type Response,
  type Upstream,
} from '../fixture/index.js';
import { logsOnFailure } from './support.js';

const EXCHANGES = Number(process.env['AS_WITHOUT_US'] ?? 36);
/** Most of each is waiting. */
const AT_ONCE = 12;
const LIMIT_MS = 10_000;
/** Of two answers that have to be cut, or whole, alike. */
const MOST_TRIES = 5;

/** What the upstream saw of each ?id=, once it was complete. */
const seen = new Map<string, unknown>();

/** Answers as its query says: ?status, ?n bytes, ?cl with their length, ?trailers, ?hints, ?early before the request's end. */
const any: Handler = async (req, res, query) => {
  const sum = new Digest();
  const reading = (async () => {
    for await (const piece of req) sum.update(piece as Buffer);
    const headers = pairs(req.rawHeaders).filter(([name]) => !OF_ONE_RUN.has(name));
    seen.set(query.get('id') ?? '', {
      method: req.method,
      headers,
      digest: sum.end(),
      trailers: pairs(req.rawTrailers),
    });
  })().catch(() => undefined);
  if (query.has('hints'))
    (res as { writeEarlyHints?: (hints: object) => void }).writeEarlyHints?.({ link: '</a>; rel=a' });
  if (!query.has('early')) await reading;
  const size = Number(query.get('n') ?? '0');
  const status = Number(query.get('status') ?? '200');
  // Over HTTP/2 Envoy closes a connection on which a 204 comes with a length, and all others on it end with 502.
  const hasLength = query.has('cl') && !(status === 204 && req.httpVersionMajor === 2);
  res.writeHead(status, {
    'x-upstream': 'any',
    'content-type': 'text/plain',
    ...(hasLength ? { 'content-length': String(size) } : {}),
  });
  if (!HAS_BODY(req.method ?? '', res.statusCode)) {
    res.end();
    return;
  }
  for (const piece of pattern(size, 20_000)) {
    if (res.destroyed) return;
    res.write(piece);
    await sleep(0);
  }
  if (query.has('trailers') && !hasLength) res.addTrailers({ 'x-upstream-trailer': 'there' });
  res.end();
};

const HAS_BODY = (method: string, status: number) => method !== 'HEAD' && status !== 204 && status !== 304;
const OF_ONE_RUN = new Set([
  'date',
  'server',
  'x-envoy-upstream-service-time',
  'x-request-id',
  // whether the request was complete when Envoy answered
  'connection',
  'x-envoy-expected-rq-timeout-ms',
  ':path',
]);
/** Of a body that a filter is shown: this suite asks for its bytes, framing-torture for its framing. */
const FRAMING = new Set(['content-length', 'transfer-encoding', 'keep-alive', 'trailer']);

function pairs(flat: readonly string[]): Line[] {
  const all: Line[] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) all.push([flat[i]!.toLowerCase(), flat[i + 1]!]);
  return all.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

const isWhole = (answer: Response | Error): boolean => !(answer instanceof Error) && answer.complete;

interface Shot {
  readonly protocol: Protocol;
  readonly request: Request;
}

function shotOf(random: Random): Shot {
  const has = (share: number) => random.next() < share;
  const query = new URLSearchParams();
  const place = random.pick(['any', 'any', 'any', 'any', 'any', 'direct', 'moved', 'nobody', 'never', 'reset', 'cut']);
  if (place === 'any') {
    query.set('status', String(random.pick([200, 200, 200, 201, 204, 206, 301, 304, 400, 404, 500, 503])));
    query.set('n', String(random.pick([0, 1, 13, 5_000, 70_000, 300_000])));
    for (const flag of ['cl', 'trailers', 'hints', 'early']) if (has(flag === 'cl' ? 0.5 : 0.2)) query.set(flag, '');
  }
  if (place === 'cut') query.set('after', '40000');
  const method = random.pick(['GET', 'GET', 'HEAD', 'POST', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
  const size = random.pick([0, 1, 17, 4_000, 66_000, 250_000]);
  const bodied = method === 'POST' || method === 'PUT' || method === 'PATCH' || has(0.1);
  const chunked = has(0.5);
  // On 1.38 an upload that meets a 1xx can wait for Envoy's timeouts (README, Limits).
  if (bodied && envoyVersion === '1.38') query.delete('hints');
  const request: Request = {
    method,
    path: `/${place === 'cut' ? 'reset' : place}?${query}`,
    headers: [['x-one', 'a'], ['cookie', 'a=1; b=2'], ...(has(0.2) ? ([['te', 'trailers']] as Line[]) : [])],
    timeoutMs: LIMIT_MS,
    ...(bodied ? { body: chunked ? [...pattern(size, 9_000)] : Buffer.concat([...pattern(size)]) } : {}),
    ...(bodied && chunked && has(0.4) ? { trailers: [['x-trailer', 'there']] as Line[] } : {}),
    ...(bodied && has(0.15) ? { expectContinue: true } : {}),
  };
  return { protocol: random.pick(['http1', 'http2']), request };
}

/** Over HTTP/2 the end may come long after the last byte that the length names; the client waits for an answer here. */
const LATE_ENDS: readonly { name: string; request: (answered: Promise<void>) => Request }[] = [
  {
    name: 'no bytes, after a 100 (Continue)',
    request: () => ({ method: 'PUT', path: '/any?status=200&n=13', body: Buffer.alloc(0), expectContinue: true }),
  },
  ...[0, 5, 4_000].map((length) => ({
    name: `${length} bytes, after the answer`,
    request: (answered: Promise<void>) => ({
      method: 'POST',
      path: '/any?status=200&n=13&early',
      length,
      body: (async function* () {
        if (length > 0) yield Buffer.alloc(length, 'a');
        await answered;
      })(),
    }),
  })),
];

const CHAINS: readonly {
  name: string;
  ours: NonNullable<EnvoyOptions['filters']>;
  edges: boolean;
  framing: boolean;
}[] = [
  { name: 'headers', ours: [{ name: 'nothing', config: 'headers' }], edges: false, framing: true },
  { name: 'headers later', ours: [{ name: 'nothing', config: 'async' }], edges: true, framing: true },
  { name: 'trailers', ours: [{ name: 'nothing', config: 'trailers' }], edges: false, framing: true },
  { name: 'bodies', ours: [{ name: 'nothing', config: 'bodies' }], edges: true, framing: false },
  { name: 'bodies without edges', ours: [{ name: 'nothing', config: 'data' }], edges: false, framing: false },
  {
    name: 'a list and another',
    ours: [
      {
        name: 'front',
        filters: ['data', 'trailers', 'bodies'].map((plugin_config) => ({ name: 'nothing', plugin_config })),
      },
      { name: 'nothing', config: 'async' },
    ],
    edges: true,
    framing: false,
  },
];

describe.each(['http1', 'http2'] as const)('to an %s upstream', (protocol) => {
  describe.each(CHAINS)('$name', ({ name, ours, edges, framing }) => {
    const at = {} as { fx: Fixture; control: Fixture; upstream: Upstream };
    beforeAll(async () => {
      at.upstream = await startUpstream({ protocol, paths: { '/any': any } });
      const options: EnvoyOptions = {
        upstream: { port: at.upstream.port, protocol },
        hcm: { proxy_100_continue: true },
        routes: [
          { match: { path: '/direct' }, direct_response: { status: 200, body: { inline_string: 'direct' } } },
          { match: { path: '/moved' }, redirect: { path_redirect: '/elsewhere' } },
          { match: { path: '/nobody' }, route: { cluster: 'nobody' } },
          { match: { path: '/never' }, route: { cluster: 'upstream', timeout: '0.3s' } },
        ],
      };
      at.control = await startEnvoy(options);
      at.fx = await startEnvoy({ ...options, filters: ours, edges });
    });
    afterAll(async () => {
      await at.fx.stop();
      await at.control.stop();
      await at.upstream.close();
    });

    const view = (answer: Response | Error): unknown => {
      if (answer instanceof Error) return answer.message;
      const lines = answer.lines
        .map(([key, value]): Line => [key.toLowerCase(), value])
        .filter(([key]) => !OF_ONE_RUN.has(key) && (framing || !FRAMING.has(key)));
      return {
        status: answer.status,
        lines: lines.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)),
        interim: answer.interim.map(({ status }) => status),
        body: answer.complete ? answer.digest : 'cut',
        trailers: answer.trailers,
      };
    };
    const upstreamView = (id: string): unknown => {
      const one = seen.get(id) as { headers: Line[] } | undefined;
      if (one === undefined || framing) return one;
      return { ...one, headers: one.headers.filter(([key]) => !FRAMING.has(key)) };
    };

    it.each(LATE_ENDS)('an end that is late: $name', async ({ request }) => {
      logsOnFailure(at);
      const ask = (port: number) => {
        let onHead = () => {};
        const answered = new Promise<void>((resolve) => {
          onHead = resolve;
        });
        return exchangeOver.http2(port, { ...request(answered), timeoutMs: LIMIT_MS, onHead });
      };
      expect(view(await ask(at.fx.port))).toEqual(view(await ask(at.control.port)));
    });

    it(`${EXCHANGES} random exchanges`, async () => {
      logsOnFailure(at);
      const seed = seedOf();
      const random = new Random(seed);
      const one = async (n: number) => {
        const { protocol: of, request } = shotOf(random);
        const fire = (port: number, who: string) => {
          const path = request.path.startsWith('/any')
            ? `${request.path}&id=${protocol}-${name}-${n}-${who}`
            : request.path;
          return exchangeOver[of](port, { ...request, path }).catch((error: Error) => error);
        };
        const both = () => Promise.all([fire(at.control.port, 'bare'), fire(at.fx.port, 'mine')]);
        let [bare, mine] = await both();
        // how much of an early answer comes before the reset is chance, on both sides
        const early = request.path.includes('early');
        for (let tries = 1; early && tries < MOST_TRIES && isWhole(bare) !== isWhole(mine); tries++)
          [bare, mine] = await both();
        const what = `seed ${seed}, exchange ${n}: ${of} ${request.method} ${request.path}`;
        // the upstream has reset the stream, and when that comes is chance
        if (!(bare instanceof Error) && bare.status === 502) return;
        if (!(bare instanceof Error) && !bare.complete) {
          // headers that ours still held are Envoy's error instead
          expect(mine instanceof Error || !mine.complete || mine.status >= 500, what).toBe(true);
          return;
        }
        expect(view(mine), what).toEqual(view(bare));
        // the rest of a request that was answered early may come or not
        if (early) return;
        const id = (who: string) => `${protocol}-${name}-${n}-${who}`;
        expect(upstreamView(id('mine')), what).toEqual(upstreamView(id('bare')));
      };
      for (let n = 0; n < EXCHANGES; n += AT_ONCE)
        await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => one(n + i)));
      expect(await at.fx.activeStreams()).toBe(0);
    });
  });
});
