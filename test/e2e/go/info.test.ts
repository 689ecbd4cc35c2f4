/** What Envoy tells and keeps for a filter, in the Golang filter's way: properties, log hooks, metrics, secrets. */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect } from 'vitest';
import {
  accessLogger,
  Connection,
  eventually,
  get,
  http1,
  within,
  type Config,
  type Line,
} from '../../fixture/index.js';
import { logsOnFailure, stage, withEnvoy } from '../support.js';
import { goCase } from './case.js';
import { Recorder, values } from './support.js';

describe('properties', () => {
  const upstream = new Recorder();
  const at = stage({
    filters: [{ name: 'go-property' }],
    route: { name: 'test-route-name' },
    // 1.38 and 1.39 tell sizes to access loggers only
    hcm: accessLogger({ interval: '1s' }),
    upstream: { paths: { '/property': upstream.handler((_req, res) => void res.end('goodbye')) } },
  });
  const REQUEST: Line[] = [
    ['host', 'test.com'],
    ['user-agent', 'ua'],
    ['referer', 'r'],
    ['x-request-id', 'xri'],
  ];
  async function ask(phase: 'decode' | 'encode', names: string[], path = '/property?a=1') {
    logsOnFailure(at);
    const headers: Line[] = [...REQUEST, [`x-ask-${phase}`, names.join('|')]];
    const answer = await http1(at.port, { method: 'POST', path, headers, body: 'helloworld' });
    expect(answer.status).toBe(200);
    const seen = upstream.one();
    const text = phase === 'decode' ? values(seen.headers, 'x-decode')[0]! : answer.header('x-encode')!;
    return { got: JSON.parse(text) as Record<string, unknown>, seen };
  }
  async function expectAll(phase: 'decode' | 'encode', expected: Record<string, unknown>): Promise<void> {
    const { got } = await ask(phase, Object.keys(expected));
    expect(got).toEqual(expected);
  }

  goCase('go/properties/request', () =>
    expectAll('decode', {
      'request.protocol': 'HTTP/1.1',
      'request.path': '/property?a=1',
      'request.url_path': '/property',
      'request.query': 'a=1',
      'request.host': 'test.com',
      'request.scheme': 'http',
      'request.method': 'POST',
      'request.referer': 'r',
      'request.useragent': 'ua',
      'request.id': 'xri',
    }),
  );
  goCase(
    'go/properties/request-time',
    async () => {
      const { got } = await ask('decode', ['request.time']);
      expect(Math.abs(Date.parse(String(got['request.time'])) - Date.now())).toBeLessThan(60_000);
    },
    () => expectAll('decode', { 'request.time': 'TSF_PROPERTY_NOT_FOUND' }),
  );
  goCase('go/properties/addresses', async () => {
    const { got, seen } = await ask('decode', ['source.address', 'destination.address']);
    expect(got).toEqual({
      'source.address': values(seen.headers, 'x-remote')[0],
      'destination.address': values(seen.headers, 'x-local')[0],
    });
    expect(got['destination.address']).toBe(`127.0.0.1:${at.port}`);
    expect(got['source.address']).toMatch(/^127\.0\.0\.1:\d+$/);
  });
  goCase('go/properties/mtls', () => expectAll('decode', { 'connection.mtls': false }));
  goCase('go/properties/route-name', async () => {
    await expectAll('decode', { 'xds.route_name': 'test-route-name' });
    await expectAll('encode', { 'xds.route_name': 'test-route-name', 'xds.cluster_name': 'upstream' });
  });
  goCase('go/properties/response-code', async () => {
    await expectAll('decode', { 'response.code': 'TSF_PROPERTY_NOT_FOUND' });
    await expectAll('encode', { 'response.code': 200 });
  });
  goCase(
    'go/properties/response-code-details',
    () => expectAll('encode', { 'response.code_details': 'via_upstream' }),
    () => expectAll('encode', { 'response.code_details': 'TSF_PROPERTY_NOT_FOUND' }),
  );
  goCase('go/properties/not-found', () =>
    expectAll('decode', {
      // not yet
      'response.code': 'TSF_PROPERTY_NOT_FOUND',
      'request.duration': 'TSF_PROPERTY_NOT_FOUND',
      // no attributes
      'request.user_agent': 'TSF_PROPERTY_UNKNOWN',
      '.': 'TSF_PROPERTY_UNKNOWN',
      '.total_size': 'TSF_PROPERTY_UNKNOWN',
      '.not_found': 'TSF_PROPERTY_UNKNOWN',
      request: 'TSF_PROPERTY_UNKNOWN',
      'request.': 'TSF_PROPERTY_UNKNOWN',
    }),
  );
  goCase('go/properties/serialization', () =>
    expectAll('decode', {
      'request.headers': 'TSF_PROPERTY_STRUCTURED',
      'xds.route_metadata': 'TSF_PROPERTY_STRUCTURED',
      'xds.node': 'TSF_PROPERTY_STRUCTURED',
    }),
  );
  goCase('go/properties/onLog-sizes', async () => {
    const path = '/property?log';
    await ask('decode', [], path);
    const line = await eventually('onLog', () => at.fx.host.records.find((one) => one['go_property'] === path));
    expect(line['attributes']).toMatchObject({ 'request.size': 10, 'response.size': 7, 'response.code': 200 });
  });
});

describe('access log', () => {
  const upstream = new Recorder();
  const at = stage({
    filters: [{ name: 'go-access-log' }],
    hcm: accessLogger({ interval: '0.1s' }),
    upstream: {
      paths: {
        '/test': upstream.handler((_req, res) => {
          res.writeHead(206, { trailer: 'x-response' });
          res.write('good');
          res.write('bye');
          res.addTrailers({ 'x-response': 'trailer' });
          res.end();
        }),
      },
    },
  });
  interface Seen {
    end: Record<string, unknown>;
    start: string[];
    periodic: string[];
    async: string[];
  }
  /** What the log hooks of one request saw, once `enough` of them ran. */
  async function seenOf(path: string, referer: string, enough: (seen: Seen) => boolean): Promise<Seen> {
    logsOnFailure(at);
    await get(at.port, '/forget');
    const answer = await http1(at.port, {
      method: 'POST',
      path,
      headers: [['referer', referer]],
      body: ['hello', 'world'],
      trailers: [['x-request', 'trailer']],
    });
    expect([answer.status, answer.text]).toEqual([206, 'goodbye']);
    return eventually('the hooks ran', async () => {
      const seen = (await get(at.port, '/seen')).json as Seen;
      return seen.end !== undefined && enough(seen) && seen;
    });
  }

  goCase('go/access-log/onLog', async () => {
    expect((await seenOf('/test', 'r', () => true)).end).toEqual({
      code: 206,
      request: 10,
      response: 7,
      status: '206',
      path: '/test',
      requestTrailers: [['x-request', 'trailer']],
      responseTrailers: [['x-response', 'trailer']],
    });
  });
  goCase('go/access-log/downstream-start', async () => {
    expect((await seenOf('/test', 'r', ({ start }) => start.length > 0)).start).toEqual(['r']);
    expect((await seenOf('/test', 'r2', ({ start }) => start.length > 0)).start).toEqual(['r2']);
  });
  goCase('go/access-log/downstream-periodic', async () => {
    const { periodic } = await seenOf('/test?ms=250', 'p', (seen) => seen.periodic.length > 1);
    expect(new Set(periodic)).toEqual(new Set(['p']));
  });
  // Work that the hooks start comes to its end, also after the stream.
  for (const [hook, name, path] of [
    ['end', 'onLog', '/test'],
    ['start', 'downstream-start', '/test'],
    ['periodic', 'downstream-periodic', '/test?ms=250'],
  ] as const) {
    goCase(`go/access-log/${name}/async`, async () => {
      expect((await seenOf(path, 'r', ({ async }) => async.includes(hook))).async).toContain(hook);
      expect((await get(at.port, '/seen')).status).toBe(200);
    });
  }
});

describe('metrics', () => {
  const upstream = new Recorder();
  const paths = { '/test': upstream.handler((_req, res) => void res.end()) };
  for (const style of ['', '/async'] as const) {
    describe(`metrics${style}`, () => {
      const at = stage({
        filters: [
          {
            name: 'go-metric',
            config: { counter: 'go.counter', gauge: 'go.gauge', async: style !== '' },
            options: {
              metrics: [
                { name: 'go.counter', type: 'counter' },
                { name: 'go.gauge', type: 'gauge' },
              ],
            },
          },
        ],
        upstream: { paths },
      });
      /** Each Envoy is asked once: its metrics begin with 0. */
      let asked: Promise<Record<string, string>> | undefined;
      const ask = () =>
        (asked ??= get(at.port, '/test').then((answer) => {
          logsOnFailure(at);
          expect(answer.status).toBe(200);
          return Object.fromEntries(upstream.one().headers);
        }));
      goCase(`go/metrics/counter${style}`, async () => {
        expect(await ask()).toMatchObject({ 'go-metric-counter': '2', 'go-metric-counter-record': '3' });
        expect(await at.fx.stat('dynamicmodulescustom.go.counter')).toBe(3);
      });
      goCase(`go/metrics/gauge${style}`, async () => {
        expect(await ask()).toMatchObject({ 'go-metric-gauge': '3', 'go-metric-gauge-record': '1' });
        expect(await at.fx.stat('dynamicmodulescustom.go.gauge')).toBe(1);
      });
    });
  }
});

describe('secrets', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tsf-secrets-'));
  afterAll(() => {
    rmSync(dir, { recursive: true, force: true });
  });
  const generic = (name: string, value: string): Config => ({
    name,
    generic_secret: { secret: { inline_string: value } },
  });
  const file = join(dir, 'sds.json');
  /** As a rollout of secrets does it: Envoy watches for the move. */
  function publish(value: string): void {
    const type = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret';
    const resources = [{ '@type': type, ...generic('dynamic', value) }];
    writeFileSync(`${file}.new`, JSON.stringify({ resources }));
    renameSync(`${file}.new`, file);
  }
  const sds_config = { path_config_source: { path: file, watched_directory: { path: dir } } };
  const options = {
    filters: [
      {
        name: 'go-secrets',
        options: { secrets: [{ name: 'static' }, { name: 'dynamic', sds_config }] },
      },
    ],
    staticResources: { secrets: [generic('static', 'static secret')] },
    // Envoy asks for secrets in the name of a node.
    envoyArgs: ['--service-node', 'test', '--service-cluster', 'test'],
  };
  const ask = async (port: number, name: string) => {
    const answer = await get(port, `/${name}`);
    return [answer.status, answer.text];
  };
  /** An older Envoy: a config that wants secrets is refused at load, and asking for one is a coded error. */
  const unsupported = async () => {
    await withEnvoy({ filters: [{ name: 'go-secrets' }] }, async (fx) => {
      expect(await ask(fx.port, 'static')).toEqual([501, 'TSF_UNSUPPORTED']);
    });
  };

  goCase(
    'go/secrets/static',
    async () => {
      publish('first');
      await withEnvoy(options, async (fx) => {
        expect(await ask(fx.port, 'static')).toEqual([200, 'static secret']);
      });
    },
    unsupported,
  );
  goCase(
    'go/secrets/dynamic',
    async () => {
      publish('first');
      await withEnvoy(options, async (fx) => {
        await eventually('the secret is there', async () => (await ask(fx.port, 'dynamic'))[1] === 'first');
        publish('second');
        await eventually('the secret was rotated', async () => (await ask(fx.port, 'dynamic'))[1] === 'second');
      });
    },
    unsupported,
  );
  goCase(
    'go/secrets/missing',
    async () => {
      publish('first');
      await withEnvoy(options, async (fx) => {
        expect(await ask(fx.port, 'nobody')).toEqual([404, '']);
      });
    },
    unsupported,
  );
});

goCase('go/websocket', async () => {
  let handshake: Record<string, unknown> = {};
  const server = createServer().on('upgrade', (req, socket) => {
    handshake = req.headers;
    socket.on('error', () => undefined);
    socket.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n');
    let got = '';
    socket.on('data', (piece: Buffer) => {
      got += piece.toString('latin1');
      if (got === 'Hello_from client') socket.write('from upstream');
      else if (got.length >= 17) socket.end(`unexpected ${got}`);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  try {
    await withEnvoy(
      { filters: [{ name: 'go-websocket', options: { upgrades: true } }], upstream: { port } },
      async (fx) => {
        const connection = await Connection.open(fx.port);
        try {
          await connection.write('GET /chat HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n');
          const head = await within(5_000, 'the handshake', connection.readHead());
          expect(head.status).toBe(101);
          expect(values(head.lines, 'test-websocket-rsp-key')).toEqual(['bar']);
          expect(handshake['test-websocket-req-key']).toBe('foo');
          await connection.write('from client');
          const answer = await within(5_000, 'the tunnelled answer', connection.readExactly(17));
          expect(answer.toString('latin1')).toBe('Bye_from upstream');
        } finally {
          connection.close();
        }
      },
    );
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
