/**
 * Answers that Envoy makes before a request has come to the filters, or because the rest of it cannot be read: with any
 * filter of ours the client gets them as it gets them from an Envoy without one.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  Connection,
  eventually,
  http2,
  sleep,
  startEnvoy,
  startUpstream,
  type EnvoyOptions,
  type Fixture,
  type Line,
  type Request,
  type Upstream,
} from '../fixture/index.js';
import { logsOnFailure } from './support.js';

/** A request as its bytes; pieces are sent with a pause between them. */
interface Raw {
  readonly name: string;
  readonly send: readonly string[];
  readonly status: number;
}

const MANY_LINES = Array.from({ length: 120 }, (_, i) => `x-${i}: a\r\n`).join('');
const CHUNKED = 'POST /sink HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n';

const UNREADABLE: readonly Raw[] = [
  { name: 'no request line', send: ['BAD\r\n\r\n'], status: 400 },
  { name: 'bytes of TLS', send: ['\x16\x03\x01\x02\x00\r\n\r\n'], status: 400 },
  { name: 'no path', send: ['GET hello HTTP/1.1\r\nhost: a\r\n\r\n'], status: 400 },
  { name: 'a URL without a host', send: ['GET http:// HTTP/1.1\r\nhost: a\r\n\r\n'], status: 400 },
  { name: 'a large header', send: [`GET / HTTP/1.1\r\nhost: a\r\nx: ${'a'.repeat(70_000)}\r\n\r\n`], status: 431 },
  { name: 'too many headers', send: [`GET / HTTP/1.1\r\nhost: a\r\n${MANY_LINES}\r\n`], status: 431 },
  { name: 'a zero byte', send: ['GET / HTTP/1.1\r\nhost: a\r\nx: a\x00b\r\n\r\n'], status: 400 },
  {
    name: 'a length and chunks',
    send: ['POST /sink HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n'],
    status: 400,
  },
  { name: 'a wrong length', send: ['POST /sink HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n'], status: 400 },
  {
    name: 'an unknown transfer-encoding',
    send: ['POST /sink HTTP/1.1\r\nhost: a\r\ntransfer-encoding: foo\r\n\r\n'],
    status: 501,
  },
  { name: 'HTTP/1.0', send: ['GET /hello HTTP/1.0\r\nhost: a\r\n\r\n'], status: 426 },
  {
    name: 'HTTP/1.0 with keep-alive',
    send: ['GET /hello HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n'],
    status: 426,
  },
  { name: 'a wrong chunk at once', send: [`${CHUNKED}ZZZ\r\n`], status: 400 },
  { name: 'a wrong second chunk', send: [`${CHUNKED}5\r\nhello\r\nZZZ\r\n`], status: 400 },
  { name: 'a wrong chunk later', send: [`${CHUNKED}5\r\nhello\r\n`, 'ZZZ\r\n'], status: 400 },
  { name: 'a wrong trailer', send: [`${CHUNKED}5\r\nhello\r\n0\r\nx\x00: a\r\n\r\n`], status: 400 },
  { name: 'headers that do not come', send: ['GET /hello HTTP/1.1\r\nhost: a\r\n'], status: 408 },
];

/** Envoy or a filter before ours refuses these; our response hooks run. */
const REFUSED: readonly Raw[] = [
  { name: 'no host', send: ['GET /hello HTTP/1.1\r\n\r\n'], status: 400 },
  { name: 'a fragment', send: ['GET /hello#x HTTP/1.1\r\nhost: a\r\n\r\n'], status: 400 },
  {
    name: 'an unknown upgrade',
    send: ['GET /hello HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: foo\r\n\r\n'],
    status: 403,
  },
  { name: 'an absolute URL, which is right', send: ['GET http://a/hello HTTP/1.1\r\nhost: a\r\n\r\n'], status: 200 },
  { name: 'a body that is too large', send: [`${CHUNKED}40000\r\n${'a'.repeat(0x30000)}`], status: 413 },
  { name: 'a body that does not come', send: [`${CHUNKED}5\r\nhello\r\n`], status: 408 },
];

const OVER_HTTP2: readonly { name: string; request: Partial<Request> & { headers?: Line[] } }[] = [
  { name: 'a right request', request: {} },
  { name: 'a large header', request: { headers: [['x', 'a'.repeat(70_000)]] } },
  { name: 'too many headers', request: { headers: Array.from({ length: 120 }, (_, i) => [`x-${i}`, 'a']) } },
  { name: 'a fragment', request: { path: '/hello#x' } },
  { name: 'a body that is too large', request: { method: 'POST', path: '/sink', body: 'a'.repeat(0x40000) } },
  { name: 'a wrong length', request: { method: 'POST', path: '/sink', body: 'hello', length: 9 } },
  { name: 'a body that does not come', request: { method: 'POST', path: '/sink', body: ['a', 2_500, 'b'] } },
];

const LIMIT = {
  name: 'buffer',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer',
    max_request_bytes: 0x20000,
  },
};

const CHAINS: readonly { name: string; ours: NonNullable<EnvoyOptions['filters']>; edges?: true }[] = [
  { name: 'headers only', ours: [{ name: 'touch' }] },
  { name: 'bodies', ours: [{ name: 'touch-body' }] },
  { name: 'bodies, with edges', ours: [{ name: 'touch-body' }], edges: true },
  { name: 'several, with edges', ours: [{ name: 'touch' }, { name: 'touch-body' }], edges: true },
  { name: 'a list', ours: [{ name: 'front', filters: [{ name: 'touch' }, { name: 'touch-body' }] }] },
];

interface Heard {
  readonly text: string;
  readonly end: 'closed' | 'open';
}

const PIECES_MS = 300;
const QUIET_MS = 500;
const LIMIT_MS = 5_000;

/** Until the connection is closed, or something has come and nothing more comes. */
async function say(port: number, pieces: readonly string[]): Promise<Heard> {
  const connection = await Connection.open(port);
  const { socket } = connection;
  let text = '';
  let lastAt = Infinity;
  let end: Heard['end'] = 'open';
  socket.on('data', (piece: Buffer) => {
    text += piece.toString('latin1');
    lastAt = performance.now();
  });
  socket.on('end', () => (end = 'closed')).on('close', () => (end = 'closed'));
  try {
    for (const [i, piece] of pieces.entries()) {
      if (i > 0) await sleep(PIECES_MS);
      await connection.write(piece);
    }
    await eventually('an answer', () => end === 'closed' || performance.now() - lastAt > QUIET_MS, LIMIT_MS);
    return { text, end };
  } finally {
    socket.destroy();
  }
}

const NOT_COMPARED = /^(date|server|x-envoy-upstream-service-time|x-touch-\w+): .*\r\n/gim;
const same = ({ text, end }: Heard): [string, string] => [text.replaceAll(NOT_COMPARED, ''), end];
const statusOf = ({ text }: Heard): number => Number(text.slice(9, 12));

describe.each(CHAINS)('answers to what Envoy cannot take, $name', ({ ours, edges }) => {
  const at = {} as { fx: Fixture; control: Fixture; upstream: Upstream };
  beforeAll(async () => {
    at.upstream = await startUpstream();
    const options = {
      upstream: at.upstream,
      hcm: { request_headers_timeout: '0.5s', request_timeout: '1.5s', delayed_close_timeout: '0.1s' },
    };
    at.control = await startEnvoy({ ...options, filters: [LIMIT] });
    at.fx = await startEnvoy({ ...options, filters: [LIMIT, ...ours], edges: edges ?? false, counters: true });
  });
  afterAll(async () => {
    await at.fx.stop();
    await at.control.stop();
    await at.upstream.close();
  });

  it.each(UNREADABLE)('$name: the very answer of an Envoy without us', async ({ send, status }) => {
    logsOnFailure(at);
    const [mine, bare] = await Promise.all([say(at.fx.port, send), say(at.control.port, send)]);
    expect([statusOf(bare), bare.end]).toEqual([status, 'closed']);
    expect(same(mine)).toEqual(same(bare));
  });

  it.each(REFUSED)('$name: status and end as without us', async ({ send, status }) => {
    logsOnFailure(at);
    const [mine, bare] = await Promise.all([say(at.fx.port, send), say(at.control.port, send)]);
    expect(statusOf(bare)).toBe(status);
    expect([statusOf(mine), mine.end]).toEqual([status, bare.end]);
  });

  it('an answer before what cannot be read is whole', async () => {
    logsOnFailure(at);
    const send = ['GET /hello HTTP/1.1\r\nhost: a\r\n\r\nBAD\r\n\r\n'];
    const [mine, bare] = await Promise.all([say(at.fx.port, send), say(at.control.port, send)]);
    const statuses = ({ text }: Heard) => text.match(/HTTP\/1\.1 \d{3}/g);
    expect(statuses(bare)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 400']);
    expect([statuses(mine), mine.end]).toEqual([statuses(bare), bare.end]);
  });

  it.each(OVER_HTTP2)('$name over HTTP/2: as without us', async ({ request }) => {
    logsOnFailure(at);
    const whole = { path: '/hello', timeoutMs: LIMIT_MS, ...request };
    const [mine, bare] = await Promise.all([http2(at.fx.port, whole), http2(at.control.port, whole)]);
    expect([mine.status, mine.complete]).toEqual([bare.status, bare.complete]);
  });

  it('leaves no stream behind', async () => {
    expect(await at.fx.activeStreams()).toBe(0);
  });
});
