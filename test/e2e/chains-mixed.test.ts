/**
 * Ours before and after filters of Envoy that look at bodies or change them. One chain has every candidate; a route for
 * each combination switches the others off. What each does to a body is a function here too, so that the expectation is
 * their composition.
 */
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  cluster,
  digest,
  http1,
  http2,
  patternAt,
  startExtProc,
  startUpstream,
  type AnyFilter,
  type Config,
  type ExtProcServer,
  type Pieces,
  type Request,
  type Upstream,
} from '../fixture/index.js';
import { mapRequest, mapResponse } from './filters/lib/maps.js';
import { buffer, compressor, decompressor, extAuthz, extProc, lua, type EnvoyFilter } from './envoy-filters.js';
import { logsOnFailure, stage } from './support.js';

interface Change {
  request(body: Buffer): Buffer;
  /** With trailers to come, a data hook never sees an `endStream`. */
  response(body: Buffer, trailers: boolean): Buffer;
}
const around = (before: string, body: Uint8Array, after: string): Buffer =>
  Buffer.concat([Buffer.from(before), body, Buffer.from(after)]);

const SAME: Change = { request: (body) => body, response: (body) => body };

const OURS: Record<string, Change> = {
  // the headers hooks only, and asynchronous
  touch: SAME,
  'body-generator': {
    request: (body) => around('{', mapRequest(body), '}'),
    response: (body) => around('<', mapResponse(body), '>'),
  },
  'body-go': {
    request: (body) => Buffer.from(mapRequest(body)),
    response: (body, trailers) => around('', mapResponse(body), trailers ? '' : '>'),
  },
  'body-whole': {
    request: (body) => around('{', mapRequest(body), '}'),
    response: (body) => around('<', mapResponse(body), '>'),
  },
  // streams only in the direction in which it is behind the filter in the middle
  'body-oneway': {
    request: (body) => around('{', mapRequest(body), '}'),
    response: (body) => around('<', mapResponse(body), '>'),
  },
  'body-perchunk': {
    request: (body) => Buffer.from(mapRequest(body)),
    response: (body) => Buffer.from(mapResponse(body)),
  },
};

function made(name: string | undefined, side: 'before' | 'after'): Change {
  if (name === undefined) return SAME;
  const both = OURS[name]!;
  if (name !== 'body-oneway') return both;
  return side === 'after' ? { ...SAME, request: both.request } : { ...SAME, response: both.response };
}

const DISABLED = { '@type': 'type.googleapis.com/envoy.config.route.v3.FilterConfig', disabled: true };
const INSTANCES = ['before', 'after'].flatMap((side) => Object.keys(OURS).map((name) => `${side}-${name}`));

interface Pair {
  readonly before?: string;
  readonly after?: string;
}
const nameOf = ({ before = 'nothing', after = 'nothing' }: Pair) => `${before} before, ${after} after`;

const PAIRS: readonly Pair[] = [
  // Envoy's filter alone: when this one fails, the expectation is wrong
  {},
  { before: 'touch' },
  { after: 'touch' },
  { before: 'body-generator' },
  { after: 'body-generator' },
  { before: 'body-go' },
  { after: 'body-go' },
  { before: 'body-whole' },
  { after: 'body-whole' },
  { before: 'body-generator', after: 'body-go' },
  { before: 'body-go', after: 'body-generator' },
  { before: 'body-perchunk', after: 'body-perchunk' },
];

/**
 * ext_proc takes a streamed body out of the chain and puts it in again later, while for Envoy its end has come in. Ours
 * behind it notices that by another of ours on the other side; ours in front of it may not stream.
 */
const AROUND_STREAMED: readonly Pair[] = [
  {},
  { before: 'touch', after: 'touch' },
  { before: 'body-whole', after: 'body-whole' },
  { before: 'touch', after: 'body-whole' },
  { before: 'body-whole', after: 'touch' },
  { before: 'touch', after: 'body-oneway' },
  { before: 'body-oneway', after: 'touch' },
  { before: 'body-oneway', after: 'body-oneway' },
  { before: 'body-whole', after: 'body-oneway' },
];

/** The chain with every candidate of ours around `middle`, and the routes that choose. */
function chainOf(middle: readonly EnvoyFilter[], pairs: readonly Pair[]) {
  const ours = (side: string): AnyFilter[] =>
    Object.keys(OURS).map((name) => ({
      name,
      instance: `${side}-${name}`,
      ...(name === 'body-oneway' ? { config: side === 'after' ? 'request' : 'response' } : {}),
    }));
  const routes = pairs.map((pair): Config => {
    const used = [`before-${pair.before}`, `after-${pair.after}`];
    return {
      match: { prefix: '/', headers: [{ name: 'x-chain', string_match: { exact: nameOf(pair) } }] },
      route: { cluster: 'upstream', timeout: '0s' },
      typed_per_filter_config: Object.fromEntries(
        INSTANCES.filter((name) => !used.includes(name)).map((name) => [name, DISABLED]),
      ),
    };
  });
  return { filters: [...ours('before'), ...middle, ...ours('after')], routes };
}

const bytes = (size: number): Buffer =>
  Buffer.concat(Array.from({ length: Math.ceil(size / 65536) }, (_, i) => patternAt(i * 65536, 65536))).subarray(
    0,
    size,
  );

const SIZES = [0, 1, 65_536, 307_200];
const CHUNKINGS: Record<string, (body: Buffer) => Partial<Request>> = {
  'with its length': (body) => ({ body, length: body.length }),
  'in small pieces with pauses': (body) => ({ body: cut(body, 7_919, 4) }),
  'one byte, a pause, the rest': (body) => ({ body: cut(body, 300_000, 1, 1) }),
};

/** Its end comes when headers that wait for a small message's end have long gone. */
function* slowAtItsEnd(body: Buffer): Generator<Buffer | number> {
  yield* cut(body.subarray(0, -1), 65_536, 1_000);
  yield 60;
  yield body.subarray(-1);
}

/** A pause of 5 ms after each `every` pieces. */
function* cut(body: Buffer, piece: number, every: number, first = piece): Generator<Buffer | number> {
  for (let at = 0, i = 1; at < body.length; i++) {
    const end = at + (i === 1 ? first : piece);
    yield body.subarray(at, end);
    if (i % every === 0) yield 5;
    at = end;
  }
}

/** What the client sends and reads when it is not the plain body. */
interface Through {
  readonly send?: (body: Buffer) => Buffer;
  readonly read?: (body: Buffer) => Buffer;
  readonly headers?: readonly (readonly [string, string])[];
  readonly sizes?: readonly number[];
  readonly chunkings?: readonly string[];
}

/** What the client should read: down to the upstream and back. */
function expected(body: Buffer, pair: Pair, middle: Change, trailers = false): Buffer {
  const [before, after] = [made(pair.before, 'before'), made(pair.after, 'after')];
  const up = after.request(middle.request(before.request(body)));
  return before.response(middle.response(after.response(up, trailers), trailers), trailers);
}

/** Every size in every chunking, at once. */
async function exact(
  port: number,
  pair: Pair,
  expectation: (body: Buffer) => Buffer,
  through: Through = {},
): Promise<void> {
  const { send = (body) => body, read = (body) => body, headers = [], sizes = SIZES } = through;
  const { chunkings = Object.keys(CHUNKINGS) } = through;
  const exchanges = sizes.flatMap((size) =>
    chunkings.map(async (chunking) => {
      // without a body nothing of a request is transformed
      if (size === 0 && chunking === 'with its length') return;
      const body = bytes(size);
      const answer = await http1(port, {
        method: 'POST',
        path: `/echo?${size}`,
        headers: [['x-chain', nameOf(pair)], ...headers],
        ...CHUNKINGS[chunking]!(send(body)),
        timeoutMs: 10_000,
      });
      expect([size, chunking, answer.status, answer.broken]).toEqual([size, chunking, 200, '']);
      expect([size, chunking, digest(read(answer.body))]).toEqual([size, chunking, digest(expectation(body))]);
    }),
  );
  await Promise.all(exchanges);
}

/** Trailers of both directions stay behind their bodies. */
async function trailed(port: number, pair: Pair, middle: Change): Promise<void> {
  for (const size of [1, 65_536]) {
    const body = bytes(size);
    const pieces: Pieces = cut(body, 20_000, 2);
    const answer = await http2(port, {
      method: 'POST',
      path: '/echo?trailers=1',
      headers: [['x-chain', nameOf(pair)]],
      body: pieces,
      trailers: [['x-sum', String(size)]],
      timeoutMs: 10_000,
    });
    expect([answer.status, answer.broken, answer.trailer('x-sum'), answer.trailer('x-upstream-trailer')]).toEqual([
      200,
      '',
      String(size),
      'there',
    ]);
    expect([size, digest(answer.body)]).toEqual([size, digest(expected(body, pair, middle, true))]);
  }
}

const upper = (body: Buffer): Buffer =>
  Buffer.from(body.map((byte) => (byte >= 0x61 && byte <= 0x7a ? byte - 0x20 : byte)));
const within = (body: Buffer): Buffer => around('(', body, ')');

const LUA_WHOLE = lua(`
  function change(handle)
    local body = handle:body(true)
    body:setBytes("(" .. body:getBytes(0, body:length()) .. ")")
  end
  function envoy_on_request(handle) handle:headers():remove("content-length") change(handle) end
  function envoy_on_response(handle) handle:headers():remove("content-length") change(handle) end`);

const LUA_CHUNKS = lua(`
  function count(handle, name)
    local n = 0
    for chunk in handle:bodyChunks() do n = n + chunk:length() end
    handle:logDebug(name .. " " .. tostring(n))
  end
  function envoy_on_request(handle) count(handle, "request") end
  function envoy_on_response(handle) count(handle, "response") end`);

const MIDDLES: { what: string; middle: EnvoyFilter; change: Change }[] = [
  { what: 'buffer', middle: buffer(4 << 20), change: SAME },
  { what: 'Lua with body()', middle: LUA_WHOLE, change: { request: within, response: within } },
  { what: 'Lua with bodyChunks()', middle: LUA_CHUNKS, change: SAME },
];

describe.each(MIDDLES)('around $what', ({ middle, change }) => {
  // over HTTP/1.1 a body that was buffered gets a content-length, and then there are no trailers
  const at = stage({ ...chainOf([middle], PAIRS), upstream: { protocol: 'http2' } });
  it.each(PAIRS.map((pair) => [nameOf(pair), pair] as const))('%s: bodies are exact', async (_name, pair) => {
    logsOnFailure(at);
    await exact(at.port, pair, (body) => expected(body, pair, change));
  });
  it.each(PAIRS.map((pair) => [nameOf(pair), pair] as const))('%s: with trailers', async (_name, pair) => {
    logsOnFailure(at);
    await trailed(at.port, pair, change);
  });
});

describe.each(['BUFFERED', 'STREAMED'] as const)('around ext_proc, %s', (mode) => {
  const change: Change = {
    request: (body) => around('[', upper(body), ']'),
    response: (body, trailers) => around('(', upper(body), trailers ? '' : ')'),
  };
  // in BUFFERED mode Envoy answers 500 when a body's length is not that of its content-length any more
  const chunkings = Object.keys(CHUNKINGS).filter((name) => mode === 'STREAMED' || name !== 'with its length');
  const pairs = mode === 'STREAMED' ? AROUND_STREAMED : PAIRS;
  let processor: ExtProcServer | undefined;
  const clusters: Config[] = [];
  beforeAll(async () => {
    processor = await startExtProc(
      (body, first, last) => around(first ? '[' : '', upper(body), last ? ']' : ''),
      (body, first, last) => around(first ? '(' : '', upper(body), last ? ')' : ''),
    );
    clusters.push(cluster('ext_proc', processor.port, 'http2'));
  });
  afterAll(() => processor?.close());
  const at = stage({ ...chainOf([extProc(mode)], pairs), clusters });

  it.each(pairs.map((pair) => [nameOf(pair), pair] as const))('%s: bodies are exact', async (_name, pair) => {
    logsOnFailure(at);
    await exact(at.port, pair, (body) => expected(body, pair, change), { chunkings });
  });
});

describe('around ext_authz with the request body', () => {
  const seen = new Map<string, string>();
  let service: Upstream | undefined;
  const clusters: Config[] = [];
  beforeAll(async () => {
    service = await startUpstream({
      paths: {
        '/echo': async (req, res, query) => {
          const pieces: Buffer[] = [];
          for await (const piece of req) pieces.push(piece as Buffer);
          seen.set(query.get('id') ?? '', digest(Buffer.concat(pieces)));
          if (query.has('deny')) res.writeHead(403, { 'x-by': 'authz' }).end('denied');
          else res.writeHead(200).end();
        },
      },
    });
    clusters.push(cluster('authz', service.port));
  });
  afterAll(() => service?.close());
  const limit = 2 << 20;
  const at = stage({ ...chainOf([extAuthz({ max_request_bytes: limit })], PAIRS), clusters });
  const all = PAIRS.map((pair) => [nameOf(pair), pair] as const);

  it.each(all)('%s: allowed, bodies are exact', async (_name, pair) => {
    logsOnFailure(at);
    await exact(at.port, pair, (body) => expected(body, pair, SAME));
  });

  it.each(all)(
    '%s: the service sees what ours before it made, and its refusal passes our encode hooks',
    async (name, pair) => {
      logsOnFailure(at);
      for (const size of [1, 65_536, 307_200]) {
        const body = bytes(size);
        const id = `${name}-${size}`.replaceAll(' ', '_');
        const answer = await http1(at.port, {
          method: 'POST',
          path: `/echo?deny&id=${id}`,
          headers: [['x-chain', name]],
          body: cut(body, 7_919, 3),
          timeoutMs: 10_000,
        });
        expect([size, seen.get(id)]).toEqual([size, digest(made(pair.before, 'before').request(body))]);
        const refusal = made(pair.before, 'before').response(
          made(pair.after, 'after').response(Buffer.from('denied'), false),
          false,
        );
        expect([answer.status, answer.broken, answer.text]).toEqual([403, '', refusal.toString('latin1')]);
      }
      expect(at.upstream.seen.get('/echo?deny')).toBeUndefined();
    },
  );

  it.each(all)('%s: a body over its limit is refused', async (name, { before }) => {
    logsOnFailure(at);
    const answer = await http1(at.port, {
      method: 'POST',
      path: '/echo',
      headers: [['x-chain', name]],
      body: slowAtItsEnd(bytes(limit + 100_000)),
      timeoutMs: 10_000,
    });
    expect(answer.complete).toBe(true);
    // it looks at the end before it looks at its limit, and the last piece of ours may be a large one
    const streams = before === 'body-generator' || before === 'body-go' || before === 'body-perchunk';
    expect(streams ? [413, 200] : [413]).toContain(answer.status);
  });
});

describe('around a decompressor of requests and a compressor of responses', () => {
  // what ours before them do to compressed bytes, the client undoes
  const pairs: Pair[] = [
    { after: 'body-generator' },
    { after: 'body-go' },
    { after: 'body-whole' },
    { before: 'body-perchunk' },
    { before: 'body-go' },
    { before: 'body-perchunk', after: 'body-generator' },
    { before: 'body-go', after: 'body-perchunk' },
  ];
  const at = stage({ ...chainOf([compressor(), decompressor()], pairs) });
  const undo = (body: Buffer): Buffer => Buffer.from(body.map((byte) => byte - 7));
  it.each(pairs.map((pair) => [nameOf(pair), pair] as const))('%s: bodies are exact', async (_name, pair) => {
    logsOnFailure(at);
    const { before, after } = pair;
    // the decompressor adds trailers: an empty body is none then, and a data hook does not run
    const sizes = after === 'body-whole' ? SIZES.slice(1) : SIZES;
    const expectation = (body: Buffer) => expected(body, after === undefined ? {} : { after }, SAME);
    await exact(at.port, pair, expectation, {
      sizes,
      headers: [
        ['accept-encoding', 'gzip'],
        ['content-encoding', 'gzip'],
      ],
      // what the maps do to a request's bytes, they undo when they are done twice
      send: (body) => made(before, 'before').request(gzipSync(body)),
      read: (body) => {
        if (before === undefined) return gunzipSync(body);
        return gunzipSync(undo(before === 'body-go' ? body.subarray(0, -1) : body));
      },
    });
  });
});
