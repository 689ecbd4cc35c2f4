/** Requests of a filter's own to Envoy's clusters. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  cluster,
  Connection,
  Digest,
  eventually,
  get,
  http1,
  NO_PORT,
  patternDigest,
  startEnvoy,
  startUpstream,
  type Fixture,
  type Response,
  type Seen,
  type Upstream,
} from '../fixture/index.js';
import { logsOnFailure } from './support.js';

interface Came {
  status: number;
  headers: [string, string][];
  body: string;
  none: boolean;
  trailers: [string, string][];
  error?: { code?: string; message: string };
}

describe('httpCall', () => {
  let fx: Fixture;
  let upstream: Upstream;
  let h2: Upstream;
  /** Requests that the upstream saw cut. */
  let cut = 0;

  beforeAll(async () => {
    upstream = await startUpstream({
      paths: {
        '/wait': (req, res) => {
          res.once('close', () => void (res.writableFinished ? undefined : cut++));
          req.resume();
        },
        '/flood': async (_req, res) => {
          res.once('close', () => void (res.writableFinished ? undefined : cut++));
          res.writeHead(200);
          const piece = Buffer.alloc(1024 * 1024);
          for (let i = 0; i < 200 && !res.destroyed; i++) {
            if (!res.write(piece))
              await Promise.race(['drain', 'close'].map((event) => new Promise((r) => res.once(event, r))));
          }
          res.end();
        },
      },
    });
    h2 = await startUpstream({ protocol: 'http2' });
    fx = await startEnvoy({
      filters: [{ name: 'calls' }],
      counters: true,
      upstream,
      clusters: [cluster('refused', NO_PORT), cluster('h2', h2.port, 'http2')],
    });
  });
  afterAll(async () => {
    try {
      await fx.stop();
    } finally {
      await upstream.close();
      await h2.close();
    }
  });
  const at = {
    get fx() {
      return fx;
    },
  };
  const call = (spec: object, timeoutMs = 20_000): Promise<Response> =>
    http1(fx.port, { path: '/', headers: [['x-call', JSON.stringify({ cluster: 'upstream', ...spec })]], timeoutMs });
  const came = async (spec: object): Promise<Came> => (await call(spec)).json as Came;
  const digestOf = (size: number): string => new Digest().update(Buffer.alloc(size, 'a')).end();

  it('whole: method, path, host, headers and body arrive; the answer comes back', async () => {
    logsOnFailure(at);
    const answer = await came({
      path: '/sink?a=1',
      method: 'PUT',
      body: 'größe',
      headers: { host: 'files.test', 'x-a': ['1', '2'], connection: 'close' },
    });
    const seen = JSON.parse(answer.body) as Seen;
    expect([answer.status, seen.method, seen.path, seen.digest]).toEqual([
      200,
      'PUT',
      '/sink?a=1',
      new Digest().update(Buffer.from('größe')).end(),
    ]);
    const line = (name: string): string[] => seen.headers.filter(([key]) => key === name).map(([, value]) => value);
    expect([line('host'), line('x-a'), line('content-length')]).toEqual([['files.test'], ['1', '2'], ['7']]);
  });

  it('without a body, and as a web Request', async () => {
    logsOnFailure(at);
    const plain = JSON.parse((await came({ path: '/sink' })).body) as Seen;
    expect([plain.method, plain.headers.find(([name]) => name === 'host')?.[1]]).toEqual(['GET', 'upstream']);
    const web = JSON.parse((await came({ path: '/sink?w=1', method: 'POST', body: 'text', web: true })).body) as Seen;
    expect([web.method, web.path, web.headers.find(([name]) => name === 'host')?.[1], web.digest]).toEqual([
      'POST',
      '/sink?w=1',
      'web.test',
      new Digest().update(Buffer.from('text')).end(),
    ]);
  });

  it.each([204, 304])('%i has no body', async (code) => {
    expect(await came({ path: `/status?code=${String(code)}` })).toMatchObject({ status: code, body: '', none: true });
  });

  it('HEAD has no body', async () => {
    expect(await came({ path: '/bytes?n=100&cl=1', method: 'HEAD' })).toMatchObject({ status: 200, none: true });
  });

  it.each(['upstream', 'h2'])('16 MiB up, streamed, and exact (%s)', async (cluster) => {
    logsOnFailure(at);
    const size = 16 * 1024 * 1024;
    const answer = await came({ cluster, path: '/sink', stream: size });
    expect((JSON.parse(answer.body) as Seen).digest).toBe(digestOf(size));
  });

  it.each(['upstream', 'h2'])('16 MiB down, passed on as they come, and exact (%s)', async (cluster) => {
    logsOnFailure(at);
    const size = 16 * 1024 * 1024;
    const answer = await call({ cluster, path: `/bytes?n=${String(size)}`, answer: 'pass' });
    expect([answer.status, answer.length, answer.digest, answer.broken]).toEqual([200, size, patternDigest(size), '']);
  });

  it.each(['upstream', 'h2'])('both ways at once (%s)', async (cluster) => {
    logsOnFailure(at);
    const size = 4 * 1024 * 1024 + 17;
    const answer = await call({ cluster, path: '/echo', stream: size, answer: 'pass' });
    expect([answer.length, answer.digest, answer.broken]).toEqual([size, digestOf(size), '']);
  });

  it('trailers, both ways', async () => {
    logsOnFailure(at);
    const answer = await came({ cluster: 'h2', path: '/echo?trailers', body: 'a', trailers: { 'x-t': '1' } });
    expect([answer.body, answer.trailers.sort()]).toEqual([
      'a',
      [
        ['x-t', '1'],
        ['x-upstream-trailer', 'there'],
      ],
    ]);
  });

  it('no such cluster', async () => {
    const { error } = await came({ cluster: 'elsewhere', path: '/' });
    expect(error?.code).toBe('TSF_CALL_CLUSTER');
    expect(error?.message).toContain('httpCall("elsewhere") GET /');
  });

  it('a refused connection', async () => {
    logsOnFailure(at);
    const { error } = await came({ cluster: 'refused', path: '/' });
    expect(error?.code).toBe('TSF_CALL_FAILED');
    expect(error?.message).toContain('connection failure');
  });

  it('no endpoint', async () => {
    logsOnFailure(at);
    expect(await came({ cluster: 'nobody', path: '/' })).toMatchObject({ error: { code: 'TSF_CALL_FAILED' } });
  });

  it('a timeout before the headers, and one in the body', async () => {
    logsOnFailure(at);
    const before = performance.now();
    expect(await came({ path: '/never', timeoutMs: 300 })).toMatchObject({ error: { code: 'TSF_CALL_FAILED' } });
    expect(await came({ path: '/slow?ms=3000', timeoutMs: 300 })).toMatchObject({ error: { code: 'TSF_CALL_FAILED' } });
    expect(performance.now() - before).toBeLessThan(2500);
  });

  it('a reset before the headers, and one in the body', async () => {
    logsOnFailure(at);
    expect(await came({ path: '/reset' })).toMatchObject({ error: { code: 'TSF_CALL_FAILED' } });
    expect(await came({ path: '/reset?after=1000' })).toMatchObject({ error: { code: 'TSF_CALL_FAILED' } });
  });

  it('is cancelled by its signal, by its body, and by the end of the stream', async () => {
    logsOnFailure(at);
    cut = 0;
    expect((await came({ path: '/wait', abortMs: 200 })).error?.message).toMatch(/timeout/);
    await eventually('the upstream saw one cut', () => cut === 1);
    expect(Number((await came({ path: '/flood', answer: 'cancel' })).body)).toBeGreaterThan(0);
    await eventually('the upstream saw two cut', () => cut === 2);
    const before = (await fx.counters())['calls.TSF_STREAM_ABORTED'] ?? 0;
    const connection = await Connection.open(fx.port);
    await connection.write(
      `GET / HTTP/1.1\r\nhost: a\r\nx-call: ${JSON.stringify({ cluster: 'upstream', path: '/wait' })}\r\n\r\n`,
    );
    await eventually('the call is there', () => (upstream.seen.get('/wait') ?? 0) === 2);
    connection.close();
    await eventually('the upstream saw three cut', () => cut === 3);
    await eventually(
      'the filter heard of it',
      async () => (await fx.counters())['calls.TSF_STREAM_ABORTED'] === before + 1,
    );
  });

  it('an answer that nobody reads is cancelled at 32 MiB', async () => {
    logsOnFailure(at);
    cut = 0;
    const connection = await Connection.open(fx.port);
    await connection.write(
      `GET / HTTP/1.1\r\nhost: a\r\nx-call: ${JSON.stringify({ cluster: 'upstream', path: '/flood', answer: 'hold' })}\r\n\r\n`,
    );
    await eventually('the upstream saw it cut', () => cut === 1);
    connection.close();
  });

  it('50 at once', async () => {
    logsOnFailure(at);
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => came({ path: '/echo', body: 'x'.repeat(i * 1000) })),
    );
    expect(answers.map(({ body }) => body.length)).toEqual(answers.map((_, i) => i * 1000));
  });

  it('requests without a call go past, and nothing is left', async () => {
    expect((await get(fx.port, '/hello')).text).toBe('hola mundo :)');
    await eventually('no stream', async () => (await fx.activeStreams()) === 0);
  });
});
