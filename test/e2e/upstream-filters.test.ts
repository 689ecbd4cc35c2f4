/** Our filters as upstream HTTP filters: one instance for each try, and what cannot be there is refused with a code. */
import { describe, expect, it } from 'vitest';
import {
  cluster,
  digest,
  Digest,
  eventually,
  get,
  http1,
  http2,
  pattern,
  startUpstream,
  type AnyFilter,
  type EnvoyOptions,
  type Handler,
  type Seen,
} from '../fixture/index.js';
import { logsOnFailure, scene, stage, withEnvoy } from './support.js';

type Place = 'clusterFilters' | 'upstreamFilters';
const PLACES: readonly Place[] = ['clusterFilters', 'upstreamFilters'];
const placed = (place: Place, ...filters: AnyFilter[]): Pick<EnvoyOptions, Place> => ({ [place]: filters });

const fails = new Map<string, number>();
/** 503 to the first tries of an ?id=, then as /sink. */
const flaky: Handler = async (req, res, query) => {
  const id = query.get('id') ?? '';
  const failed = fails.get(id) ?? 0;
  const sum = new Digest();
  for await (const piece of req) sum.update(piece as Buffer);
  if (failed < 2) {
    fails.set(id, failed + 1);
    res.writeHead(503).end('not yet');
    return;
  }
  res.writeHead(200, { 'x-digest': sum.end() }).end(String(req.headers['x-try']));
};

/** jwt_authn on /sink only; its keys are fetched by Envoy's main thread when it starts. */
const jwtOf = (cluster: string) => ({
  name: 'jwt',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication',
    providers: {
      one: {
        issuer: 'nobody',
        remote_jwks: {
          http_uri: { uri: 'http://a/sink', cluster, timeout: '1s' },
          async_fetch: { fast_listener: true },
        },
      },
    },
    rules: [{ match: { path: '/sink' }, requires: { provider_name: 'one' } }],
  },
});

describe.each(PLACES)('a filter in %s', (place) => {
  const at = stage({
    ...placed(place, { name: 'upstream' }),
    upstream: { paths: { '/flaky': flaky } },
    route: {
      route: {
        cluster: 'upstream',
        timeout: '0s',
        retry_policy: { retry_on: '5xx', num_retries: 3, retry_back_off: { base_interval: '0.01s' } },
      },
    },
    counters: true,
  });
  const seen = async (does: string, more: { method?: string; body?: string | Uint8Array } = {}) => {
    logsOnFailure(at);
    const answer = await http1(at.port, { path: '/sink', headers: [['x-does', does]], ...more });
    expect([answer.status, answer.complete]).toEqual([200, true]);
    const { headers, digest } = answer.json as Seen;
    return { header: (name: string) => headers.find(([key]) => key === name)?.[1], digest };
  };

  it('changes request headers', async () => {
    expect((await seen('')).header('x-try')).toBe('1');
  });

  it.each([0, 5, 300_000, 3_000_000])('lets a body of %i bytes by, both ways', async (size) => {
    logsOnFailure(at);
    const body = Buffer.concat([...pattern(size)]);
    for (const exchange of [http1, http2]) {
      const sink = await exchange(at.port, { method: 'POST', path: '/sink', body });
      const back = await exchange(at.port, { path: `/bytes?n=${size}` });
      expect([sink.status, back.status, back.length, back.complete]).toEqual([200, 200, size, true]);
      expect((sink.json as Seen).digest).toBe(back.digest);
    }
  });

  it('is made anew for each try, and sees the headers as the try before left them', async () => {
    logsOnFailure(at);
    const before = (await at.fx.counters())['upstream.created'] ?? 0;
    const body = Buffer.concat([...pattern(20_000)]);
    const answer = await http1(at.port, { method: 'POST', path: `/flaky?id=${place}`, body });
    expect([answer.status, answer.text]).toEqual([200, '3']);
    expect(answer.header('x-digest')).toBe(digest(body));
    expect((await at.fx.counters())['upstream.created']! - before).toBe(3);
  });

  it('replies in the place of the upstream', async () => {
    logsOnFailure(at);
    for (const exchange of [http1, http2]) {
      const answer = await exchange(at.port, { path: '/sink', headers: [['x-does', 'local']] });
      expect([answer.status, answer.text, answer.complete]).toEqual([418, 'short and stout', true]);
    }
  });

  it('that throws is a 500', async () => {
    logsOnFailure(at);
    const answer = await http1(at.port, { path: '/sink?throws', headers: [['x-does', 'throw']] });
    expect([answer.status, answer.text]).toEqual([500, 'error happened in filter\r\n']);
    expect((await at.fx.logged('/sink?throws')).details).toBe('ts_filter_error');
  });

  it('reads and writes metadata, filter state and attributes', async () => {
    const { header } = await seen('metadata');
    expect([header('x-metadata'), header('x-state')]).toEqual(['{"key":"value"}', 'state']);
    expect(header('x-host')).toBe(`127.0.0.1:${at.upstream.port}`);
  });

  it.each([
    'clearRouteCache',
    'refreshRouteCache',
    'setUpstreamOverrideHost',
    'drainConnectionUponCompletion',
    'reply',
    'recreateStream',
  ])('%s throws TSF_UPSTREAM', async (does) => {
    expect((await seen(does)).header('x-error')).toBe('TSF_UPSTREAM');
  });

  it('ends with its try', async () => {
    logsOnFailure(at);
    const counted = await eventually('created = complete = destroyed', async () => {
      const counts = await at.fx.counters();
      const all = ['created', 'complete', 'destroyed'].map((what) => counts[`upstream.${what}`]);
      return new Set(all).size === 1 && counts;
    });
    expect(counted['upstream.created']).toBeGreaterThan(10);
    expect(await at.fx.activeStreams()).toBe(0);
  });
});

describe.each(PLACES)('a filter of whole bodies in %s', (place) => {
  const at = stage({ ...placed(place, { name: 'upstream-whole' }) });

  it.each([0, 10, 300_000, 1_000_000])('gets a request body of %i bytes, also with trailers', async (size) => {
    logsOnFailure(at);
    for (const exchange of [http1, http2]) {
      for (const trailers of [undefined, [['x-trailer', 'there']] as const]) {
        const answer = await exchange(at.port, {
          method: 'POST',
          path: '/sink',
          body: 'a'.repeat(size),
          ...(trailers === undefined ? {} : { trailers }),
        });
        expect(answer.status).toBe(200);
        expect((answer.json as Seen).headers).toContainEqual(['x-whole', 'yes']);
        expect((answer.json as Seen).digest).toBe(digest('A'.repeat(size)));
        expect((answer.json as Seen).trailers).toEqual(trailers ?? []);
      }
    }
  });

  it('lets a request without a body by', async () => {
    logsOnFailure(at);
    const answer = await http1(at.port, { path: '/bytes?n=3000000' });
    expect([answer.status, answer.length]).toEqual([200, 3_000_000]);
  });

  it('a body over max_body_bytes is a 413', async () => {
    logsOnFailure(at);
    const answer = await http1(at.port, { method: 'POST', path: '/sink', body: 'a'.repeat(1_200_000) });
    expect(answer.status).toBe(413);
  });
});

describe('upstream HTTP filters', () => {
  it('httpCall works there', async () => {
    const side = await startUpstream();
    try {
      await scene(
        [],
        async (fx) => {
          const answer = await get(fx.port, '/sink', [['x-does', 'call']]);
          expect(answer.status).toBe(200);
          expect((answer.json as Seen).headers).toContainEqual(['x-call', 'hola mundo :)']);
        },
        { clusterFilters: [{ name: 'upstream' }], clusters: [cluster('side', side.port)] },
      );
    } finally {
      await side.close();
    }
  });

  it("requests of Envoy's main thread are refused with a code", async () => {
    await scene(
      [jwtOf('upstream')],
      async (fx) => {
        await eventually('Envoy has asked for its keys', () =>
          fx.envoy.output.includes("filter upstream stands in a cluster that Envoy's main thread asks"),
        );
        expect((await get(fx.port, '/sink', [['authorization', 'Bearer a.b.c']])).status).toBe(401);
        expect((await get(fx.port, '/hello')).text).toBe('hola mundo :)');
      },
      { clusterFilters: [{ name: 'upstream' }] },
    );
  });

  it('message_timeout counts there', async () => {
    await scene(
      [],
      async (fx) => {
        const answer = await get(fx.port, '/sink', [['x-does', 'never']]);
        expect([answer.status, answer.text]).toEqual([504, 'ts_filter_timeout']);
      },
      { clusterFilters: [{ name: 'upstream', options: { message_timeout: '300ms' } }] },
    );
  });

  it('a lost host is a 503, and the next stream has the next host', async () => {
    await scene(
      [],
      async (fx) => {
        const answer = get(fx.port, '/sink', [['x-does', 'never']]);
        await eventually('the filter has it', async () => (await fx.counters())['upstream.decodeHeaders'] === 1);
        await fx.host.kill();
        expect((await answer).status).toBe(503);
        await fx.startHost();
        expect((await get(fx.port, '/sink')).status).toBe(200);
      },
      { clusterFilters: [{ name: 'upstream' }] },
    );
  });

  it.each([
    'encodeHeaders',
    'encodeData',
    'encodeTrailers',
    'decodeTrailers',
    'onLog',
    'decodeData, piece by piece',
    'transformRequest',
    'transformResponse',
  ])('a filter with %s is refused with a code', async (hook) => {
    for (const place of PLACES) {
      await scene(
        [],
        async (fx) => {
          for (const [exchange, name] of [
            [http1, 'http1'],
            [http2, 'http2'],
          ] as const) {
            const path = `/bytes?n=3000000&over=${name}`;
            const answer = await exchange(fx.port, { method: 'POST', path, body: 'a body' });
            expect([answer.status, answer.text]).toEqual([500, 'ts_filter_not_upstream']);
            expect((await fx.logged(path)).details).toBe('ts_filter_not_upstream');
          }
          expect(fx.envoy.output).toContain('filter upstream-no: stream answered: ts_filter_not_upstream');
        },
        placed(place, { name: 'upstream-no', config: hook }),
      );
    }
  });

  it('several there, beside ours and edges in front', async () => {
    const upstream = await startUpstream();
    try {
      await withEnvoy(
        {
          upstream,
          filters: [{ name: 'touch-body' }],
          edges: true,
          upstreamFilters: [
            { name: 'upstream' },
            { name: 'upstream-whole' },
            { name: 'front', filters: [{ name: 'upstream' }, { name: 'upstream' }] },
            { name: 'upstream', instance: 'third' },
          ],
        },
        async (fx) => {
          for (const exchange of [http1, http2]) {
            const body = 'some more text '.repeat(20_000);
            const sink = await exchange(fx.port, { method: 'POST', path: '/sink', body });
            // touch-body makes capitals of responses
            expect(sink.text).toContain('["X-TRY","4"]');
            expect(sink.text).toContain(digest(body.toUpperCase()).toUpperCase());
            const back = await exchange(fx.port, { path: '/bytes?n=3000000' });
            expect([back.status, back.complete]).toEqual([200, true]);
          }
        },
      );
    } finally {
      await upstream.close();
    }
  });

  it('100 at once, cancelled at any moment', async () => {
    await scene(
      [],
      async (fx) => {
        const all = Array.from({ length: 100 }, (_, i) =>
          http1(fx.port, {
            method: 'POST',
            path: '/sink',
            headers: [['x-does', ['', 'metadata', 'never', 'local'][i % 4]!]],
            body: 'a'.repeat(i * 2000),
            timeoutMs: 1 + i * 3,
          }).catch((error: Error) => error),
        );
        await Promise.all(all);
        expect((await get(fx.port, '/hello')).text).toBe('hola mundo :)');
        await eventually('no stream is left', async () => (await fx.activeStreams()) === 0);
      },
      { clusterFilters: [{ name: 'upstream' }, { name: 'upstream-whole' }] },
    );
  });
});
