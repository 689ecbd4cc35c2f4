/**
 * Framing: no body where there may be none, and lengths that are true. Every exchange is followed by another one on the
 * same connection, which parses only if the one before ended where its framing says.
 */
import { once } from 'node:events';
import { createServer as createHttp } from 'node:http';
import { connect as connectTcp, createServer, type AddressInfo, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  Connection,
  http2,
  openSession,
  pattern,
  startUpstream,
  type AnyFilter,
  type FilterSpec,
  type Request,
  type Response,
  type Seen,
} from '../fixture/index.js';
import type { FramingConfig, Style } from './filters/framing.js';
import { through, talkStage, type Chains } from './exact/support.js';
import { logsOnFailure, withEnvoy } from './support.js';

const framing = (config: FramingConfig): FilterSpec => ({ name: 'framing', config });
const listed = (...configs: FramingConfig[]): FilterSpec => ({
  name: 'listed',
  filters: configs.map((config) => ({ name: 'framing', plugin_config: config })),
});

type Exchange = (request: Request) => Promise<Response>;

/** Several requests on one connection. */
async function onOne(protocol: 'http1' | 'http2', port: number, run: (exchange: Exchange) => Promise<void>) {
  if (protocol === 'http1') {
    const connection = await Connection.open(port);
    try {
      await run((request) => connection.request({ timeoutMs: 8_000, ...request }));
    } finally {
      connection.close();
    }
    return;
  }
  const session = await openSession(port);
  try {
    await run((request) => http2(port, { timeoutMs: 8_000, ...request }, session));
  } finally {
    session.destroy();
  }
}

const told = (answer: Response): unknown[] => [answer.status, answer.text, answer.broken];

describe('no body on an answer that has none', () => {
  const ALL: Record<string, FramingConfig> = {
    'a whole reply': { reply: 'whole' },
    'a streamed reply': { reply: 'streamed' },
    'a late streamed reply': { reply: 'late' },
    addData: { response: { add: 'added' } },
    'addData beside a hook': { response: { add: 'added', style: 'hook', more: '!' } },
    'a data hook that appends': { response: { style: 'hook', more: '!' } },
    perChunk: { response: { style: 'perChunk', more: '!' } },
    generator: { response: { style: 'generator', more: '!' } },
    whole: { response: { style: 'whole', more: '!' } },
  };
  const chains: Record<string, readonly AnyFilter[]> = {};
  for (const [name, config] of Object.entries(ALL)) {
    chains[name] = [framing(config)];
    chains[`${name}, in a list`] = [listed({}, config)];
    chains[`${name}, first in a list`] = [listed(config, { response: { style: 'perChunk' } })];
    for (const status of [204, 304]) {
      chains[`${name}, ${status}`] = [framing({ ...config, status, replyStatus: status })];
      chains[`${name}, ${status}, in a list`] = [listed({}, { ...config, status, replyStatus: status }, {})];
    }
  }
  for (const upstream of ['http1', 'http2'] as const) {
    for (const edges of [false, true]) {
      const at = talkStage(chains as Chains, upstream, { edges });
      for (const client of ['http1', 'http2'] as const) {
        const names = Object.keys(chains).filter((name) => upstream === 'http1' || !name.includes('list'));
        it.each(names)(`%s: ${client} to ${upstream}${edges ? ', edges' : ''}`, async (name) => {
          logsOnFailure(at);
          const status = /204|304/.exec(name)?.[0];
          const config = ALL[name.replace(/, (204|304|in a list|first in a list).*/, '')]!;
          const paths =
            config.reply === undefined
              ? ['/bytes?n=20&cl=1&', '/bytes?n=20&']
              : ['/hello?reply&', '/bytes?n=9&replace&'];
          await onOne(client, at.port, async (exchange) => {
            for (const path of paths) {
              const head = await exchange({ method: 'HEAD', path: path + through(name) });
              expect(told(head), `HEAD ${path}`).toEqual([Number(status ?? 200), '', '']);
              const answer = await exchange({ path: path + through(name) });
              expect(answer.broken, path).toBe('');
              expect(answer.status).toBe(Number(status ?? 200));
              if (status !== undefined) expect(answer.text).toBe('');
              else expect(answer.length).toBeGreaterThan(0);
              if (status === '204') {
                expect(answer.header('content-length')).toBeUndefined();
                expect(answer.header('transfer-encoding')).toBeUndefined();
              }
            }
            const last = await exchange({ method: 'HEAD', path: '/hello?' + through(name) });
            expect(last.broken).toBe('');
          });
        });
      }
    }
  }
});

const STYLES: readonly Style[] = ['hook', 'perChunk', 'generator', 'through', 'bypass', 'whole', 'watermark'];
const lengthOf = (answer: Response): string | undefined =>
  (JSON.parse(answer.text) as Seen).headers.find(([name]) => name === 'content-length')?.[1];

describe('the exact length goes with every small message', () => {
  const chains: Record<string, readonly AnyFilter[]> = {};
  for (const style of STYLES) {
    chains[style] = [framing({ request: { style }, response: { style } })];
    chains[`${style} that adds`] = [framing({ request: { style, more: 'more' }, response: { style, more: 'more' } })];
    chains[`${style} in a list`] = [listed({ request: { style }, response: { style } }, {})];
    chains[`${style} twice`] = [
      listed(
        { request: { style, more: 'mo' }, response: { style, more: 'mo' } },
        { request: { style, more: 're' }, response: { style, more: 're' } },
      ),
    ];
  }
  chains['addData'] = [framing({ request: { add: 'more' }, response: { add: 'more' } })];
  for (const edges of [false, true]) {
    for (const upstream of ['http1', 'http2'] as const) {
      const at = talkStage(chains as Chains, upstream, { edges });
      const added = (name: string): number => (/adds|twice|addData/.test(name) && !name.startsWith('bypass') ? 4 : 0);
      it.each(Object.keys(chains))(`of a request: %s, ${upstream}${edges ? ', edges' : ''}`, async (name) => {
        logsOnFailure(at);
        await onOne('http1', at.port, async (exchange) => {
          for (let i = 0; i < 3; i++) {
            const answer = await exchange({ method: 'PUT', path: '/sink?' + through(name), body: 'x'.repeat(100) });
            expect(answer.status).toBe(200);
            const sunk = JSON.parse(
              answer.text.slice(answer.text.indexOf('{'), answer.text.lastIndexOf('}') + 1),
            ) as Seen;
            expect(sunk.headers.find(([key]) => key === 'content-length')?.[1]).toBe(String(100 + added(name)));
          }
        });
      });
      it.each(Object.keys(chains))(`of a response: %s, ${upstream}${edges ? ', edges' : ''}`, async (name) => {
        logsOnFailure(at);
        await onOne('http1', at.port, async (exchange) => {
          for (const path of ['/bytes?n=50&cl=1&', '/bytes?n=0&cl=1&']) {
            // with edges headers wait 20 ms for their end; a busy machine may need longer
            const lengths: (string | undefined)[] = [];
            let made: number;
            do {
              const answer = await exchange({ path: path + through(name) });
              expect([answer.status, answer.broken]).toEqual([200, '']);
              lengths.push(answer.header('content-length'));
              made = answer.length;
            } while (edges && lengths.at(-1) === undefined && lengths.length < 10);
            expect(lengths.at(-1)).toBe(String(made));
          }
        });
      });
    }
  }
});

describe('a length that a filter writes, or declares to keep', () => {
  const half = (at: 'request' | 'response', config: FramingConfig['request']): readonly AnyFilter[] => [
    framing({ [at]: config }),
  ];
  const LARGE = 300_000;
  const both = (name: string, config: NonNullable<FramingConfig['request']>): [string, readonly AnyFilter[]][] => [
    [`${name}: request`, half('request', config)],
    [`${name}: response`, half('response', config)],
    [`${name}, in a list: request`, [listed({}, { request: config }, {})]],
    [`${name}, in a list: response`, [listed({}, { response: config }, {})]],
  ];
  const kept = Object.fromEntries([
    ...both('sameHook', { style: 'sameHook' }),
    ...both('samePerChunk', { style: 'samePerChunk' }),
    ...both('a right one that streams', { style: 'perChunk', length: String(LARGE + 4), more: 'more' }),
    ...both('a right one in front of addData', { length: String(LARGE + 4), add: 'more' }),
    ...both('addData', { add: 'more' }),
    ...both('bypass', { style: 'bypass' }),
  ]);
  const refused = Object.fromEntries([
    ...both('sameHook that adds', { style: 'sameHook', more: 'more' }),
    ...both('samePerChunk that adds', { style: 'samePerChunk', more: 'more' }),
    ...both('one too long', { style: 'perChunk', length: String(LARGE + 1) }),
    ...both('one too short', { style: 'perChunk', length: String(LARGE - 1) }),
    ...both('a wrong one of a body that passes', { length: String(LARGE - 1) }),
    ...both('a wrong one of a whole body', { style: 'whole', length: String(LARGE - 1) }),
  ]);
  for (const edges of [false, true]) {
    for (const protocol of ['http1', 'http2'] as const) {
      const at = talkStage({ ...kept, ...refused } as Chains, protocol, { edges });
      const exchange = async (name: string, chunked = false): Promise<Response | Error> => {
        const path = name.endsWith('request') ? '/sink?' : `/bytes?n=${LARGE}&${chunked ? '' : 'cl=1&'}`;
        const request: Request = name.endsWith('request')
          ? { method: 'PUT', path: path + through(name), body: pattern(LARGE), ...(chunked ? {} : { length: LARGE }) }
          : { path: path + through(name) };
        let answer: Response | Error | undefined;
        await onOne(protocol, at.port, async (run) => {
          answer = await run(request).catch((error: Error) => error);
        });
        return answer!;
      };

      it.each(Object.keys(kept))(`%s is kept, ${protocol}${edges ? ', edges' : ''}`, async (name) => {
        logsOnFailure(at);
        const answer = await exchange(name);
        if (answer instanceof Error) throw answer;
        const added = /more|right|addData/.test(name) ? 4 : 0;
        expect([answer.status, answer.broken]).toEqual([200, '']);
        if (name.endsWith('response')) {
          expect([answer.header('content-length'), answer.length]).toEqual([String(LARGE + added), LARGE + added]);
        } else expect(lengthOf(answer)).toBe(String(LARGE + added));
      });

      it.each(Object.keys(refused))(`%s is refused, ${protocol}${edges ? ', edges' : ''}`, async (name) => {
        logsOnFailure(at);
        for (const chunked of name.startsWith('same') ? [false] : [false, true]) {
          const answer = await exchange(name, chunked);
          if (answer instanceof Error) continue;
          const what = [answer.status, answer.complete, answer.text.slice(0, 40)];
          if (answer.complete) expect(what).toEqual([500, true, 'error happened in filter\r\n']);
          else expect(answer.status).toBe(200);
        }
      });
    }
  }
});

describe('HTTP/1.0', () => {
  const at = talkStage(
    Object.fromEntries(
      STYLES.map((style) => [style, [framing({ request: { style }, response: { style, more: 'more' } })]]),
    ),
    'http1',
    { hcm: { http_protocol_options: { accept_http_10: true } } },
  );
  it.each(STYLES)('keeps its connection: %s', async (style) => {
    logsOnFailure(at);
    const socket = connectTcp(at.port, '127.0.0.1');
    await once(socket, 'connect');
    let got = '';
    socket.on('data', (piece: Buffer) => (got += piece.toString('latin1')));
    const answers = (): string[] => got.split(/(?=HTTP\/1\.[01] \d{3} )/).filter((one) => one !== '');
    for (let i = 1; i <= 3; i++) {
      socket.write(
        `GET /bytes?n=20&cl=1&${through(style)} HTTP/1.0\r\nhost: test.local\r\nconnection: keep-alive\r\n\r\n`,
      );
      for (let tries = 0; answers().length < i && tries < 200; tries++) await new Promise((go) => setTimeout(go, 10));
      expect(answers()).toHaveLength(i);
    }
    socket.destroy();
    for (const answer of answers()) {
      expect(answer).toMatch(new RegExp(`content-length: ${style === 'bypass' ? 20 : 24}\\r\\n`));
      expect(answer).not.toContain('transfer-encoding');
    }
  });
});

describe('an upstream that wants lengths', () => {
  const chains = Object.fromEntries(STYLES.map((style) => [style, [framing({ request: { style } })]]));
  for (const edges of [false, true]) {
    const at = talkStage(chains as Chains, 'http1', {
      edges,
      paths: {
        '/411': (req, res) => {
          req.resume();
          res.writeHead(req.headers['content-length'] === undefined ? 411 : 200, { 'content-length': '0' }).end();
        },
      },
    });
    it.each(STYLES)(`gets them: %s${edges ? ', edges' : ''}`, async (style) => {
      logsOnFailure(at);
      await onOne('http1', at.port, async (exchange) => {
        const request = { method: 'PUT', path: `/411?${through(style)}`, length: 10 };
        expect((await exchange({ ...request, body: '0123456789' })).status).toBe(200);
        // as curl does it: headers first, which wait a moment for the rest; a busy machine may need longer
        const statuses: number[] = [];
        while (statuses.at(-1) !== 200 && statuses.length < 10)
          statuses.push((await exchange({ ...request, body: [3, '0123456789'] })).status);
        expect(statuses).toContain(200);
      });
    });
  }
});

/** An HTTP server for a fetch: gzip, with its length. */
describe('the answer of a fetch as a reply', () => {
  const TEXT = 'a text that compresses '.repeat(50);
  const zipped = gzipSync(TEXT);
  const server = createHttp((req, res) => {
    const path = new URL(req.url ?? '', 'http://any').pathname;
    const coded = path === '/gzip';
    const body = coded ? zipped : Buffer.from(TEXT);
    res.writeHead(path === '/none' ? 204 : 200, {
      ...(coded ? { 'content-encoding': 'gzip' } : {}),
      ...(path === '/chunked' || path === '/none' ? {} : { 'content-length': body.length }),
      'x-from': 'elsewhere',
    });
    res.end(path === '/none' ? undefined : body);
  });
  let port = 0;
  beforeAll(async () => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    port = (server.address() as AddressInfo).port;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  it.each(['streamed', 'whole'] as const)('is decoded, and says so: %s', async (reply) => {
    const upstream = await startUpstream();
    try {
      const filters = [framing({ reply, fetch: `http://127.0.0.1:${port}` })];
      await withEnvoy({ filters, upstream }, async (fx) => {
        for (const protocol of ['http1', 'http2'] as const) {
          await onOne(protocol, fx.port, async (exchange) => {
            for (const path of ['/gzip', '/plain', '/chunked', '/none']) {
              for (const method of ['GET', 'HEAD']) {
                const answer = await exchange({ method, path: `${path}?reply` });
                const status = path === '/none' ? 204 : 200;
                const text = status === 204 || method === 'HEAD' ? '' : TEXT;
                expect([answer.status, answer.text, answer.broken, answer.header('x-from')]).toEqual([
                  status,
                  text,
                  '',
                  'elsewhere',
                ]);
                expect(answer.header('content-encoding')).toBeUndefined();
              }
            }
          });
        }
      });
    } finally {
      await upstream.close();
    }
  });
});

describe('an upgrade that the upstream refuses', () => {
  const server = createHttp((_req, res) => void res.writeHead(200).end());
  server.on('upgrade', (_req, socket: Socket) => {
    socket.on('error', () => undefined);
    socket.end('HTTP/1.1 401 Unauthorized\r\ncontent-length: 12\r\nwww-authenticate: x\r\n\r\nno entry her');
  });
  it.each([
    ['alone', framing({ response: { style: 'perChunk', more: ' more' } })],
    ['in a list', listed({}, { response: { style: 'perChunk', more: ' more' } }, {})],
    ['by a data hook', framing({ response: { style: 'hook', more: ' more' } })],
    ['whole', framing({ response: { style: 'whole', more: ' more' } })],
  ])('has an answer whose body passes the hooks: %s', async (_name, filter) => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    try {
      const upstream = { port: (server.address() as AddressInfo).port };
      await withEnvoy({ filters: [filter], upstream }, async (fx) => {
        const connection = await Connection.open(fx.port);
        const answer = await connection.request({
          path: '/',
          headers: [
            ['connection', 'Upgrade'],
            ['upgrade', 'websocket'],
            ['sec-websocket-key', 'dGhlIHNhbXBsZSBub25jZQ=='],
            ['sec-websocket-version', '13'],
          ],
          timeoutMs: 8_000,
        });
        connection.close();
        expect([answer.status, answer.text]).toEqual([401, 'no entry her more']);
      });
    } finally {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    }
  });
});

describe('a reply in the place of a response that is under way', () => {
  const chains = {
    streamed: [framing({ reply: 'streamed', pause: 30 })],
    late: [framing({ reply: 'late', pause: 30 })],
    whole: [framing({ reply: 'whole', pause: 30 })],
    'behind a body hook': [framing({ reply: 'late', pause: 30, response: { style: 'hook' } })],
    'in a list': [listed({}, { reply: 'late', pause: 30 }, { response: { style: 'hook' } })],
  };
  for (const upstream of ['http1', 'http2'] as const) {
    for (const edges of [false, true]) {
      const at = talkStage(chains, upstream, { edges });
      it.each(Object.keys(chains))(`is whole: %s, ${upstream}${edges ? ', edges' : ''}`, async (name) => {
        logsOnFailure(at);
        for (const client of ['http1', 'http2'] as const) {
          await onOne(client, at.port, async (exchange) => {
            for (const path of [
              '/bytes?n=20&cl=1',
              '/bytes?n=300000',
              '/bytes?n=20&trailers=1',
              '/slow?ms=60',
              '/bytes?n=0&cl=1',
            ]) {
              const answer = await exchange({ path: `${path}&replace&${through(name)}` });
              expect([path, ...told(answer), answer.trailers]).toEqual([
                path,
                200,
                'a reply of thirty-one bytes ...',
                '',
                [],
              ]);
            }
          });
        }
      });
    }
  }
});

/** An HTTP/2 upstream that answers 204 and sends bytes behind it, all in one write. */
const stray = createServer((socket) => {
  const frame = (type: number, flags: number, stream: number, payload: Buffer): Buffer => {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.length, 0, 3);
    head.writeUInt8(type, 3);
    head.writeUInt8(flags, 4);
    head.writeUInt32BE(stream, 5);
    return Buffer.concat([head, payload]);
  };
  let pending = Buffer.alloc(0);
  let preface = 24;
  socket.on('error', () => undefined);
  socket.write(frame(4, 0, 0, Buffer.alloc(0)));
  socket.on('data', (piece: Buffer) => {
    pending = Buffer.concat([pending, piece]);
    if (pending.length < preface) return;
    pending = pending.subarray(preface);
    preface = 0;
    while (pending.length >= 9 && pending.length >= 9 + pending.readUIntBE(0, 3)) {
      const [type, flags, stream] = [pending[3]!, pending[4]!, pending.readUInt32BE(5)];
      pending = pending.subarray(9 + pending.readUIntBE(0, 3));
      if (type === 4 && (flags & 1) === 0) socket.write(frame(4, 1, 0, Buffer.alloc(0)));
      // 0x89: `:status: 204` of HPACK's static table
      if (type === 1)
        socket.write(
          Buffer.concat([frame(1, 4, stream, Buffer.from([0x89])), frame(0, 1, stream, Buffer.from('stray'))]),
        );
    }
  });
});

describe('an HTTP/2 upstream that sends bytes behind a 204', () => {
  let port = 0;
  beforeAll(async () => {
    stray.listen(0, '127.0.0.1');
    await once(stray, 'listening');
    port = (stray.address() as AddressInfo).port;
  });
  afterAll(() => void stray.close());
  // Envoy's codec ends the stream in the same turn. Headers that a hook has then not let go yet are lost to Envoy's own 502.
  it.each([
    ['Envoy alone', [], 204],
    ['a filter without hooks for responses', [{ name: 'counters' }], 204],
    ['a headers hook', [framing({})], 502],
    ['a transform in a list', [listed({ response: { style: 'generator' } }, {})], 502],
  ] as [string, AnyFilter[], number][])('is answered as docs/chains.md says: %s', async (_name, filters, status) => {
    await withEnvoy({ filters, upstream: { port, protocol: 'http2' } }, async (fx) => {
      const connection = await Connection.open(fx.port);
      const answer = await connection.request({ path: '/', timeoutMs: 5_000 });
      connection.close();
      expect(answer.status).toBe(status);
      expect((await fx.logged('/')).details).toBe('upstream_reset_after_response_started{protocol_error}');
    });
  });
});
