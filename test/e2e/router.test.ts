/** Retries and internal redirects of Envoy's router: who runs again, and what each upstream request's body is. */
import { once as waitFor } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:https';
import { createServer as createTcpServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  cluster,
  digest,
  Digest,
  eventually,
  http1,
  http2,
  makeCertificates,
  patternAt,
  sleep,
  type AnyFilter,
  type Config,
  type Handler,
  type Request,
} from '../fixture/index.js';
import { mapRequest, mapResponse } from './filters/lib/maps.js';
import { logsOnFailure, stage, type Stage } from './support.js';

const bytes = (size: number): Buffer =>
  Buffer.concat(Array.from({ length: Math.ceil(size / 65536) }, (_, i) => patternAt(i * 65536, 65536))).subarray(
    0,
    size,
  );
const once = (body: Uint8Array): Buffer => Buffer.concat([Buffer.from('{'), mapRequest(body), Buffer.from('}')]);

/** Digests of the bodies that upstream requests had, by `id`. */
function recorder() {
  const bodies = new Map<string, string[]>();
  const record = async (req: Parameters<Handler>[0], query: URLSearchParams): Promise<number> => {
    const id = query.get('id') ?? '';
    const tries = bodies.get(id) ?? [];
    bodies.set(id, tries);
    const sum = new Digest();
    for await (const piece of req) sum.update(piece as Buffer);
    tries.push(sum.end());
    return tries.length;
  };
  return { bodies, record };
}

const { bodies, record } = recorder();
const paths: Record<string, Handler> = {
  /** ?fails= tries are answered ?code=, or nothing at all; then the body's digest. */
  '/flaky': async (req, res, query) => {
    const tries = await record(req, query);
    if (tries > Number(query.get('fails')))
      res.writeHead(200, { 'x-tries': String(tries) }).end(bodies.get(query.get('id')!)!.at(-1));
    else if (query.get('code') !== null) res.writeHead(Number(query.get('code'))).end('failed');
  },
  '/redirect': async (req, res, query) => {
    if (!query.has('early')) await record(req, query);
    res.writeHead(Number(query.get('code')), { location: `http://test.local/target?id=${query.get('id')}` });
    res.end('moved');
    if (query.has('early')) req.resume();
  },
  '/target': async (req, res, query) => {
    await record(req, query);
    res.writeHead(200, { 'x-method': req.method ?? '' }).end('from the target');
  },
};

const slowly = function* (body: Buffer) {
  for (let at = 0; at < body.length; at += 7_919) {
    yield body.subarray(at, at + 7_919);
    if (at % 4 === 0) yield 5;
  }
};
const SHAPES: Record<string, (body: Buffer) => Partial<Request>> = {
  'with its length': (body) => ({ body, length: body.length }),
  'in small pieces with pauses': (body) => ({ body: slowly(body) }),
};

const ours = (name: string): AnyFilter[] => [{ name: 'touch' }, { name }];
/** Filters made since the last look, and how each of them was destroyed. */
async function instances(at: Stage, before: Record<string, number>): Promise<Record<string, number>> {
  const of = (counts: Record<string, number>, what: string) =>
    (counts[`touch.${what}`] ?? 0) - (before[`touch.${what}`] ?? 0);
  const counts = await eventually('each is destroyed', async () => {
    const now = await at.fx.counters();
    return of(now, 'created') === of(now, 'destroyed') && now;
  });
  return {
    created: of(counts, 'created'),
    complete: of(counts, 'destroyed.complete'),
    reset: of(counts, 'destroyed.reset'),
  };
}
const ONE = { created: 1, complete: 1, reset: 0 };
/** The first one ends with the redirect, which its response hooks never see. */
const TWO = { created: 2, complete: 1, reset: 1 };

describe.each(['body-generator', 'body-go', 'body-whole'])('retries, %s', (name) => {
  const transformed = name === 'body-go' ? (body: Buffer) => Buffer.from(mapRequest(body)) : once;
  const at = stage({
    filters: ours(name),
    counters: true,
    upstream: { paths },
    route: {
      route: {
        cluster: 'upstream',
        timeout: '0s',
        retry_policy: {
          retry_on: '5xx',
          num_retries: 3,
          per_try_timeout: '0.4s',
          retry_back_off: { base_interval: '0.005s', max_interval: '0.01s' },
        },
      },
    },
  });

  it.each(Object.entries(SHAPES))(
    'a body %s: each try has the transformed body, the filter runs once',
    async (shape, make) => {
      logsOnFailure(at);
      for (const size of [0, 1, 65_536, 307_200]) {
        const before = await at.fx.counters();
        const body = bytes(size);
        const id = `${name}-${shape}-${size}`.replaceAll(' ', '_');
        const answer = await http1(at.port, {
          method: 'POST',
          path: `/flaky?fails=2&code=503&id=${id}`,
          ...make(body),
        });
        // a request of headers only has no body to transform
        const sent = digest(size === 0 && shape === 'with its length' ? '' : transformed(body));
        expect([size, answer.status, answer.header('x-tries')]).toEqual([size, 200, '3']);
        expect([size, bodies.get(id)]).toEqual([size, [sent, sent, sent]]);
        expect(await instances(at, before)).toEqual(ONE);
      }
    },
  );

  it('a try that is too slow: the same', async () => {
    logsOnFailure(at);
    for (const size of [1, 300_000]) {
      const before = await at.fx.counters();
      const body = bytes(size);
      const id = `${name}-slow-${size}`;
      const answer = await http2(at.port, { method: 'POST', path: `/flaky?fails=1&id=${id}`, body, length: size });
      const sent = digest(transformed(body));
      expect([answer.status, bodies.get(id)]).toEqual([200, [sent, sent]]);
      expect(await instances(at, before)).toEqual(ONE);
    }
  });

  it('no try succeeds: the last answer passes the response hooks, once', async () => {
    logsOnFailure(at);
    const before = await at.fx.counters();
    const answer = await http1(at.port, {
      method: 'POST',
      path: `/flaky?fails=9&code=500&id=${name}-never`,
      body: 'x',
    });
    expect([answer.status, answer.all('x-touch-response')]).toEqual([500, ['on']]);
    expect(bodies.get(`${name}-never`)).toHaveLength(4);
    expect(await instances(at, before)).toEqual(ONE);
  });
});

describe('retries and message_timeout', () => {
  const at = stage({
    filters: [{ name: 'body-generator', options: { message_timeout: '0.25s' } }],
    route: { route: { cluster: 'upstream', timeout: '0s', retry_policy: { retry_on: '5xx', num_retries: 1 } } },
  });
  it('an upstream slower than message_timeout is waited for', async () => {
    logsOnFailure(at);
    const answer = await http1(at.port, {
      method: 'POST',
      path: '/delay?ms=900',
      body: 'a body that the router keeps',
    });
    expect([answer.status, answer.broken, answer.length]).toEqual([200, '', 'delayed'.length + 2]);
  });
});

describe('retries while the connection to the upstream is still being made', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tsf-certificates-'));
  const { ca, server: own } = makeCertificates(dir);
  rmSync(dir, { recursive: true, force: true });
  const HANDSHAKE_MS = 300;
  let slow: Server | undefined;
  const clusters: Config[] = [];
  beforeAll(async () => {
    const tls = createServer({ cert: own.cert, key: own.key }, (req, res) => {
      const sum = new Digest();
      req.on('data', (piece: Buffer) => sum.update(piece)).on('end', () => res.end(sum.end()));
    });
    slow = createTcpServer((socket) => {
      socket.on('error', () => undefined);
      setTimeout(() => tls.emit('connection', socket), HANDSHAKE_MS);
    }).listen(0, '127.0.0.1');
    await waitFor(slow, 'listening');
    clusters.push({
      ...cluster('slow', (slow.address() as AddressInfo).port),
      transport_socket: {
        name: 'envoy.transport_sockets.tls',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
          common_tls_context: { validation_context: { trusted_ca: { inline_string: ca.cert } } },
        },
      },
    });
  });
  afterAll(() => slow?.close());
  const at = stage({
    filters: [{ name: 'body-generator' }],
    clusters,
    route: { route: { cluster: 'slow', timeout: '0s', retry_policy: { retry_on: '5xx', num_retries: 1 } } },
  });

  it('the upstream gets each byte once', async () => {
    logsOnFailure(at);
    const body = bytes(20_000);
    const pieces = function* () {
      for (let i = 0; i < 20_000; i += 2_000) {
        yield body.subarray(i, i + 2_000);
        yield HANDSHAKE_MS / 15;
      }
    };
    const answer = await http1(at.port, { method: 'POST', path: '/', body: pieces() });
    const upstream = Buffer.from(digest(once(body)));
    expect([answer.status, answer.text]).toEqual([200, `<${Buffer.from(mapResponse(upstream)).toString('latin1')}>`]);
  });
});

describe.each(['body-generator', 'body-whole'])('internal redirects, %s', (name) => {
  const at = stage({
    filters: ours(name),
    counters: true,
    upstream: { paths },
    route: {
      route: {
        cluster: 'upstream',
        timeout: '0s',
        internal_redirect_policy: { max_internal_redirects: 2, redirect_response_codes: [302, 303, 307] },
      },
    },
  });

  it.each([302, 307])('%i without a body: a new filter sees the new path, and the client the target', async (code) => {
    logsOnFailure(at);
    const before = await at.fx.counters();
    const id = `${name}-${code}-get`;
    const answer = await http1(at.port, { path: `/redirect?code=${code}&id=${id}` });
    expect([answer.status, answer.all('x-touch-response'), answer.header('x-method')]).toEqual([200, ['on'], 'GET']);
    expect(answer.length).toBe('from the target'.length + 2);
    expect(await instances(at, before)).toEqual(TWO);
  });

  it.each(Object.entries(SHAPES))(
    '307 with a body %s: the new filter transforms what the first one made',
    async (shape, make) => {
      logsOnFailure(at);
      for (const size of [1, 65_536, 307_200]) {
        const before = await at.fx.counters();
        const body = bytes(size);
        const id = `${name}-307-${shape}-${size}`.replaceAll(' ', '_');
        const answer = await http1(at.port, { method: 'POST', path: `/redirect?code=307&id=${id}`, ...make(body) });
        expect([size, answer.status, answer.header('x-method'), answer.broken]).toEqual([size, 200, 'POST', '']);
        expect([size, bodies.get(id)]).toEqual([size, [digest(once(body)), digest(once(once(body)))]]);
        expect(await instances(at, before)).toEqual(TWO);
      }
    },
  );

  it('303 with a body: the target is asked without one', async () => {
    logsOnFailure(at);
    const before = await at.fx.counters();
    const id = `${name}-303`;
    const answer = await http1(at.port, { method: 'POST', path: `/redirect?code=303&id=${id}`, body: 'some body' });
    expect([answer.status, answer.header('x-method')]).toEqual([200, 'GET']);
    expect(bodies.get(id)).toEqual([digest(once(Buffer.from('some body'))), digest('')]);
    expect(await instances(at, before)).toEqual(TWO);
  });

  it('before the body is complete: refused, and the client gets the redirect', async () => {
    logsOnFailure(at);
    // a whole body goes on only when it is complete
    if (name === 'body-whole') return;
    const before = await at.fx.counters();
    const upload = async function* () {
      yield bytes(70_000);
      await sleep(600);
      yield 'the end';
    };
    const answer = await http1(at.port, {
      method: 'POST',
      path: `/redirect?early&code=307&id=${name}-early`,
      body: upload(),
    });
    expect([answer.status, answer.all('x-touch-response')]).toEqual([307, ['on']]);
    expect(answer.header('location')).toContain('/target');
    expect(await instances(at, before)).toEqual(ONE);
  });
});
