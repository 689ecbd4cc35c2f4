/** What a filter makes Envoy do, and what it asks of it: metadata, filter state, metrics, secrets, hosts, recreation. */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  cluster,
  envoyVersion,
  eventually,
  get,
  http1,
  http2,
  openSession,
  startUpstream,
  type Config,
  type Response,
  type Seen,
} from '../fixture/index.js';
import { logsOnFailure, scene, stage, withEnvoy } from './support.js';

const set = (key: string, value: string): Config => ({
  header: { key, value },
  append_action: 'OVERWRITE_IF_EXISTS_OR_ADD',
});

const METRICS = [
  { name: 'hits', type: 'counter', labels: ['method', 'kind'] },
  { name: 'busy', type: 'gauge' },
  { name: 'size', type: 'histogram' },
];

/** The value of a header as the upstream saw it. */
const seen = (answer: Response, name: string): string | undefined =>
  (answer.json as Seen).headers.find(([key]) => key === name)?.[1];
const read = (answer: Response): unknown => JSON.parse(seen(answer, 'x-read') ?? 'null');

describe('acts of a filter', () => {
  const at = stage({
    filters: [{ name: 'acts', options: { metrics: METRICS } }],
    upstream: {
      paths: {
        '/refuse': async (req, res) => {
          for await (const _piece of req);
          res.writeHead(401).end();
        },
        '/login': (req, res) => {
          res.writeHead(req.headers.authorization === 'new' ? 200 : 401).end(req.headers.authorization);
        },
      },
    },
    routes: [
      {
        name: 'other',
        match: { prefix: '/', headers: [{ name: 'x-choose', string_match: { exact: 'other' } }] },
        route: { cluster: 'upstream' },
      },
    ],
    route: {
      name: 'default',
      request_headers_to_add: [
        ...['n', 't', 'b', 'nl', 'tl', 'bl', 'nested'].map((key) =>
          set(`x-meta-${key}`, `%DYNAMIC_METADATA(ns:${key})%`),
        ),
        set('x-state', '%FILTER_STATE(tenant:PLAIN)%'),
      ],
    },
  });

  it('metadata goes to other parts of Envoy by its type, and comes back', async () => {
    logsOnFailure(at);
    const answer = await get(at.port, '/sink?metadata');
    const texts = at.fx.version === '1.40' ? ['c'] : ['a', 'ß'];
    expect(['n', 't', 'b', 'nl', 'tl', 'bl'].map((key) => seen(answer, `x-meta-${key}`))).toEqual([
      '1.5',
      Buffer.from('größe').toString('latin1'),
      'true',
      '[1,-2.5]',
      // before 1.40 Envoy's interface cannot replace a list
      Buffer.from(JSON.stringify(texts)).toString('latin1'),
      '[true,false]',
    ]);
    expect(read(answer)).toEqual({ n: 1.5, t: 'größe', b: true, nl: [1, -2.5], tl: texts, bl: [true, false] });
    expect(seen(answer, 'x-none')).toBe('{}');
  });

  it('nested metadata: from Envoy 1.40 on, before it a coded error', async () => {
    logsOnFailure(at);
    const answer = await get(at.port, '/sink?nested');
    expect(seen(answer, 'x-meta-t')).toBe('before');
    if (at.fx.version === '1.40') {
      expect(JSON.parse(seen(answer, 'x-meta-nested')!)).toEqual({ list: [1, 'a', null, { deep: true }], empty: {} });
    } else expect(read(answer)).toBe('TSF_UNSUPPORTED');
  });

  it('filter state is set once, with a warning for the second time, and other parts of Envoy see it', async () => {
    logsOnFailure(at);
    const answer = await get(at.port, '/sink?state');
    expect([seen(answer, 'x-state'), read(answer)]).toEqual(['acme', ['acme', 'none']]);
    await eventually('the warning', () => at.fx.envoy.output.includes('filter state "tenant" is set already'));
  });

  it('what is read comes after what was written', async () => {
    logsOnFailure(at);
    const answer = await get(at.port, '/sink?ordered');
    expect([(answer.json as Seen).path, read(answer)]).toEqual([
      '/sink?written',
      ['/sink?ordered', '/sink?written', 'http://a'],
    ]);
    expect(read(await get(at.port, '/sink?route'))).toEqual(['default', 'other']);
  });

  it('the response is asked about in its own hook', async () => {
    logsOnFailure(at);
    expect((await get(at.port, '/any?status')).header('x-read')).toBe('200');
  });

  it('draining: the client is told to close, and nothing is lost', async () => {
    logsOnFailure(at);
    const drained = await get(at.port, '/hello?drain');
    expect([drained.status, drained.text, drained.header('connection')]).toEqual([200, 'hola mundo :)', 'close']);
    expect((await get(at.port, '/hello')).header('connection')).toBeUndefined();
  });

  it('draining over HTTP/2: each stream of the connection may ask for it, and is answered', async () => {
    logsOnFailure(at);
    for (let round = 0; round < 5; round++) {
      const session = await openSession(at.port);
      const all = Array.from({ length: 12 }, () => http2(at.port, { path: '/hello?drain' }, session));
      const answers = await Promise.all(all).finally(() => session.destroy());
      expect(new Set(answers.map(({ status, text }) => `${status} ${text}`))).toEqual(new Set(['200 hola mundo :)']));
    }
  });

  it("metrics are Envoy's, with their labels, and can be read back", async () => {
    logsOnFailure(at);
    expect(read(await get(at.port, '/sink?metrics'))).toEqual([5, 0, 14]);
    expect(read(await get(at.port, '/sink?metrics'))).toEqual([10, 0, 14]);
    const stats = await at.fx.stats(/^dynamicmodulescustom\..*(hits|busy)/);
    const values = [...stats].map(([name, value]) => `${name.replace(/^dynamicmodulescustom\./, '')} ${String(value)}`);
    expect(values.sort()).toEqual(['busy 14', expect.stringMatching(/^hits\.method\.GET\.kind\..* 10$/)]);
    const prometheus = await at.fx.admin('/stats/prometheus?filter=hits');
    expect(prometheus).toMatch(/hits\{[^}]*method="GET"[^}]*\} 10/);
    // Envoy gathers histograms every five seconds
    await eventually('the histogram', async () =>
      (await at.fx.admin('/stats?filter=dynamicmodulescustom.size')).includes('size: P0'),
    );
  });

  it('a secret that is not configured: undefined, before Envoy 1.40 a coded error', async () => {
    logsOnFailure(at);
    expect(read(await get(at.port, '/sink?secret'))).toBe(at.fx.version === '1.40' ? null : 'TSF_UNSUPPORTED');
  });

  it('recreateStream from decodeHeaders: a new filter sees the headers as they were written', async () => {
    logsOnFailure(at);
    const answer = await get(at.port, '/sink?again');
    expect([answer.status, seen(answer, 'x-again')]).toEqual([200, 'yes']);
    const posted = await http1(at.port, { method: 'POST', path: '/echo?again', body: ['a', 30, 'b'], length: 2 });
    expect([posted.status, posted.text]).toEqual([200, 'ab']);
  });

  it('recreateStream from encodeHeaders: 401, a new token, again', async () => {
    logsOnFailure(at);
    const answer = await get(at.port, '/login?login');
    expect([answer.status, answer.text, at.upstream.seen.get('/login')]).toEqual([200, 'new', 2]);
  });

  it('recreateStream when the body of the request has gone on: 500, named in the access log', async () => {
    logsOnFailure(at);
    const answer = await http1(at.port, { method: 'POST', path: '/refuse?login', body: 'some' });
    expect(answer.status).toBe(500);
    expect((await at.fx.logged('/refuse?login')).details).toContain('ts_filter_recreate_refused');
  });

  it('leaves no stream behind', async () => {
    await eventually('no stream', async () => (await at.fx.activeStreams()) === 0);
  });
});

it('an override host is taken when the cluster has it; when not, strict or not decides', async () => {
  const [one, two] = [await startUpstream(), await startUpstream()];
  try {
    const endpoint = (port: number): Config => ({
      endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: port } } },
    });
    const pair: Config = {
      ...cluster('pair', one.port),
      load_assignment: {
        cluster_name: 'pair',
        endpoints: [{ lb_endpoints: [endpoint(one.port), endpoint(two.port)] }],
      },
    };
    const route = { route: { cluster: 'pair' } };
    await withEnvoy({ filters: [{ name: 'acts' }], clusters: [pair], route }, async (fx) => {
      const ask = (host: string, ...more: [string, string][]): Promise<Response> =>
        http1(fx.port, { path: '/hello?override', headers: [['x-host', host], ...more] });
      for (let i = 0; i < 6; i++) expect((await ask(`127.0.0.1:${String(two.port)}`)).status).toBe(200);
      expect([one.seen.get('/hello'), two.seen.get('/hello')]).toEqual([undefined, 6]);
      expect((await ask('127.0.0.1:9')).status).toBe(200);
      expect((await ask('127.0.0.1:9', ['x-strict', 'yes'])).status).toBe(503);
      expect((await ask('localhost:9')).status).toBe(500);
    });
  } finally {
    await one.close();
    await two.close();
  }
});

it('a secret is what SDS says now; before Envoy 1.40 the configuration is refused', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'tsf-secret-'));
  const file = join(dir, 'secret.json');
  const write = (value: string): void => {
    const secret = {
      '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret',
      name: 'token',
      generic_secret: { secret: { inline_string: value } },
    };
    // Envoy looks at files that are moved there
    writeFileSync(`${file}.new`, JSON.stringify({ resources: [secret] }));
    renameSync(`${file}.new`, file);
  };
  try {
    write('first');
    const secrets = [{ name: 'token', sds_config: { path_config_source: { path: file } } }];
    const run = scene(
      [{ name: 'acts', options: { secrets } }],
      async (fx) => {
        const told = async (): Promise<unknown> => read(await get(fx.port, '/sink?secret'));
        expect(await told()).toBe('first');
        write('second');
        await eventually('the new secret', async () => (await told()) === 'second');
      },
      // SDS wants a name of its client
      { counters: false, envoyArgs: ['--service-node', 'test', '--service-cluster', 'test'] },
    );
    if (envoyVersion === '1.40') await run;
    else await expect(run).rejects.toThrow(/filter_config\.secrets: needs Envoy 1\.40/);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
