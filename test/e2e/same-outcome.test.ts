/**
 * `testFilter` says what an Envoy would do: for every demo filter its table of cases, and random bodies, give the same in
 * both; and random bodies through a filter in every body style, with lengths of its own and replies. The model is of one
 * Envoy, so the newest runs it.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gunzipSync, gzipSync } from 'node:zlib';
import { createHash } from 'node:crypto';
import type { Json } from 'envoy-ts-filter';
import {
  type Answered,
  startEnvoy,
  type Target,
  testFilter,
  type TestRequest,
  type Upstream,
} from 'envoy-ts-filter/testing';
import { demoFilters } from '../cases/demo-filters.js';
import { dynamicModulePerRoute, envoyBinary, envoyVersion, filterPath } from '../fixture/index.js';
import framing, { type FramingConfig, type Half, type Style } from './filters/framing.js';

const BODIES = 200;
const STYLES = 24;
const BODIES_EACH = 6;
const AT_ONCE = 16;
const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);

const off = { '@type': 'type.googleapis.com/envoy.config.route.v3.FilterConfig', disabled: true };
const names = [...demoFilters.map(({ filter }) => filter.name), framing.name];
/** One Envoy for all of them: the first part of the path says which one a request passes. */
const routeTo = (prefix: string, name: string, own: object = {}) => ({
  match: { prefix: `/${prefix}/` },
  route: { cluster: 'upstream', timeout: '0s' },
  typed_per_filter_config: {
    ...Object.fromEntries(names.filter((other) => other !== name).map((other) => [other, off])),
    ...own,
  },
});
const styles = Array.from({ length: STYLES }, (_, i) => framingOf(randomOf(seed + i)));
const routes = [
  ...names.map((name) => routeTo(name, name)),
  ...styles.map((config, i) =>
    routeTo(`framing-${i}`, framing.name, {
      [framing.name]: dynamicModulePerRoute(framing.name, { plugin_config: config }),
    }),
  ),
];

type Running = Awaited<ReturnType<typeof startEnvoy>>;

describe.skipIf(envoyVersion !== '1.40')(`with and without a proxy, seed ${seed}`, () => {
  let envoy: Running | undefined;
  beforeAll(async () => {
    envoy = await startEnvoy({
      envoy: envoyBinary(),
      filters: [...demoFilters.map(({ filter, config }) => ({ name: filter.name, config })), { name: framing.name }],
      hostPaths: names.map(filterPath),
      edges: true,
      routes,
    });
  });
  afterAll(() => envoy?.stop());

  for (const demo of demoFilters) {
    describe(demo.filter.name, () => {
      const model = testFilter(demo.filter, demo.config as Json);
      for (const { name, path, request, check } of demo.cases) {
        it(name, async () => {
          const [real, modelled] = [await envoy!.request(path, request?.()), await model.request(path, request?.())];
          check(real);
          check(modelled);
          expect(outcome(modelled)).toEqual(outcome(real));
        });
      }

      it(`${BODIES} random bodies`, async () => {
        const random = randomOf(seed);
        await same(
          model,
          Array.from({ length: BODIES }, () => planOf(demo.filter.name, demo.filter.name, random)),
        );
      });
    });
  }

  it.each(styles.map((config, i) => [JSON.stringify(config), config, i] as const))('%s', async (_name, config, i) => {
    const random = randomOf(seed + i);
    const plans = Array.from({ length: BODIES_EACH }, () => planOf(framing.name, `framing-${i}`, random));
    await same(testFilter(framing, config as Json), plans);
  });

  async function same(model: Target, plans: Plan[]): Promise<void> {
    const one = async (plan: Plan): Promise<void> => {
      const real = await envoy!.request(plan.path, plan.request());
      const modelled = await model.request(plan.path, plan.request());
      const shown = `seed ${seed}: ${JSON.stringify(plan.shown)}`;
      expect(outcome(modelled, plan.isEcho), shown).toEqual(outcome(real, plan.isEcho));
    };
    while (plans.length > 0) await Promise.all(plans.splice(0, AT_ONCE).map(one));
  }
});

function framingOf(random: Random): FramingConfig {
  const all: readonly (Style | undefined)[] = [
    ...(['hook', 'perChunk', 'generator', 'through', 'bypass', 'whole', 'watermark'] as const),
    ...(['sameHook', 'samePerChunk', undefined] as const),
  ];
  const half = (): Half => {
    const style = all[random(all.length)];
    return {
      ...(style === undefined ? {} : { style }),
      ...(style !== 'bypass' && random(3) === 0 ? { more: ' and more' } : {}),
      ...(random(4) === 0 ? { add: 'added ' } : {}),
      ...(random(8) === 0 ? { length: String(random(40)) } : {}),
    };
  };
  const reply = (['whole', 'streamed', 'late'] as const)[random(9)];
  return {
    request: half(),
    response: half(),
    ...(random(5) === 0 ? { status: [204, 304, 404][random(3)]! } : {}),
    ...(reply === undefined ? {} : { reply, replyStatus: [200, 204, 403][random(3)]! }),
  };
}

// ---- what goes in ----

interface Plan {
  readonly path: string;
  readonly request: () => TestRequest;
  /** The upstream answers while the request still comes. */
  readonly isEcho: boolean;
  readonly shown: unknown;
}

type Random = (below: number) => number;

/** xorshift32, begun far apart for seeds that are neighbours. */
function randomOf(start: number): Random {
  let x = Math.imul(start, 0x9e3779b1) | 1;
  return (below) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
}

const WORDS = ['needle', 'nee', 'dle', 'data: ', 'event: x\n', '\n\n', '\r\n', '{"a":1}', 'Hay', ' ', '\u00e9', '\0'];

function bytesOf(random: Random): Buffer {
  const size = [0, 1, random(30), random(3_000), random(120_000)][random(5)]!;
  let text = '';
  while (text.length < size) text += random(3) === 0 ? String.fromCharCode(random(256)) : WORDS[random(WORDS.length)]!;
  return Buffer.from(text, random(2) === 0 ? 'utf8' : 'latin1');
}

/** In one piece, or in several. */
function cut(bytes: Buffer, random: Random): Buffer | (Buffer | number)[] {
  if (random(3) === 0) return bytes;
  const pieces: (Buffer | number)[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 1 + random(Math.max(1, bytes.length >> random(4)));
    pieces.push(bytes.subarray(at, end));
    if (random(30) === 0) pieces.push(1 + random(25));
    at = end;
  }
  return pieces;
}

function planOf(name: string, prefix: string, random: Random): Plan {
  const method = ['POST', 'PUT', 'GET', 'HEAD'][random(4)]!;
  const hasBody = method === 'POST' || method === 'PUT';
  const body = hasBody ? cut(bytesOf(random), random) : undefined;
  const answer = bytesOf(random);
  const isGzip = name === 'gunzip-rewrite' && random(4) > 0;
  const back = cut(isGzip ? gzipSync(answer) : answer, random);
  const trailers = random(5) === 0 && Array.isArray(back) ? { trailers: { 'x-trailer': String(random(9)) } } : {};
  const headers = {
    'content-type': name === 'sse' && random(4) > 0 ? 'text/event-stream' : 'text/plain',
    ...(isGzip ? { 'content-encoding': 'gzip' } : {}),
    'x-up': String(random(1000)),
  };
  const status = [200, 200, 200, 201, 204, 304, 404, 503][random(8)]!;
  const given: Upstream = { status, headers, body: back, ...trailers };
  const isEcho = hasBody && random(3) === 0;
  const upstream: Upstream = isEcho ? (request) => ({ headers, body: request.body }) : given;
  const own = {
    ...(random(2) === 0 ? { authorization: 'Bearer sesame-1' } : {}),
    ...(random(2) === 0 ? { 'accept-encoding': 'gzip' } : {}),
    'x-down': 'a, b',
  };
  const path = `/${prefix}/${random(1000)}?q=${['reply', 'replace', 'none'][random(3)]!}`;
  const sizes = Array.isArray(body)
    ? body.map((piece) => (typeof piece === 'number' ? -piece : piece.length))
    : body?.length;
  return {
    path,
    request: () => ({ method, headers: own, upstream, ...(body === undefined ? {} : { body }) }),
    isEcho,
    shown: { method, path, own, status, headers, sizes, answer: answer.length, isEcho },
  };
}

// ---- what comes out ----

/** What Envoy and HTTP/1.1 add of their own, and what depends on how fast a small message comes. */
const ENVOYS = /^(date|server|connection|keep-alive|transfer-encoding|te|x-envoy-.*|x-request-id|x-forwarded-proto)$/;

function linesOf(message: Pick<Answered, 'headers' | 'body'>): string[] {
  // Envoy joins the lines of some names, which means the same.
  const names = [...new Set([...message.headers].map(([name]) => name))].filter((name) => !ENVOYS.test(name));
  return names
    .map((name) => [name, message.headers.getAll(name).join()] as const)
    .filter(([name, value]) => !(name === 'content-length' && Number(value) === message.body.length))
    .map(([name, value]) => `${name}: ${value}`)
    .sort();
}

function bodyOf({ body, headers }: Pick<Answered, 'headers' | 'body'>): string {
  let bytes = Buffer.from(body);
  // How gzip cuts its blocks depends on the pieces that come.
  if (headers.get('content-encoding') === 'gzip' && bytes.length > 0) bytes = gunzipSync(bytes);
  return digestOf(bytes);
}

const digestOf = (bytes: Uint8Array): string =>
  `${bytes.length} ${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}`;

function outcome(answer: Answered, isEcho = false): unknown {
  const { status, complete, upstream, localReply } = answer;
  // A filter that fails in a body: before the headers have gone, or behind them, which is a matter of milliseconds.
  if (!complete || /^ts_filter_(error|wrong_length)$/.test(answer.details ?? '')) return { failed: true };
  // A reply in place of an answer that came early, or one without a body, is over before the request: how much of that had
  // gone by then is a matter of milliseconds.
  const cutsRequest = isEcho && (localReply || status === 204 || status === 304);
  const [trailers, sent] = [answer.trailers, upstream?.trailers].map((view) => (view === undefined ? [] : [...view]));
  return {
    status,
    complete,
    localReply,
    headers: linesOf(answer),
    body: bodyOf(answer),
    trailers,
    upstream: upstream && {
      line: `${upstream.method} ${upstream.path}`,
      headers: linesOf(upstream),
      ...(!cutsRequest && { body: digestOf(upstream.body), trailers: sent }),
    },
  };
}
