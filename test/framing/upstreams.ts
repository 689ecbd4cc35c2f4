/** All servers of the framing torture: both upstreams, the one that fetch() asks, and the end of tunnels. */
import * as h1 from 'node:http';
import * as h2 from 'node:http2';
import { createServer, type Server, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { patternBody } from '../fixture/bytes.js';
import type { Line } from '../fixture/http1.js';
import { sleep } from '../../src/testing/envoy/wait.js';
import { lines } from '../fixture/upstream.js';
import { listen } from '../support/listen.js';
import { piecesOf } from '../torture/bodies.js';
import { keyOf, TRAILER, type Arrival, type Board } from './board.js';
import type { Exchange } from './plan.js';
import { bodiless } from './strict.js';
import { upstream1 } from './upstream1.js';

function receive(stream: h2.ServerHttp2Stream, arrival: Arrival): Promise<void> {
  const pieces: Buffer[] = [];
  stream.on('trailers', (_fields, _flags, ...rest: unknown[]) => {
    arrival.trailers = lines((rest[0] as string[] | undefined) ?? []);
  });
  stream.on('data', (piece: Buffer) => pieces.push(piece));
  return new Promise((resolve) => {
    const end = (how: 'clean' | 'broken') => {
      arrival.body = Buffer.concat(pieces);
      if (arrival.end === 'open') arrival.end = how;
      resolve();
    };
    // node tells of the end also when the stream was reset
    stream.on('end', () => setImmediate(() => end(stream.aborted || stream.rstCode !== 0 ? 'broken' : 'clean')));
    stream.on('close', () => setImmediate(() => end('broken')));
  });
}

/** The bytes of an HTTP/2 frame; node's own server would not send what is not allowed. */
function frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** `:status: 204` of HPACK's static table, END_HEADERS; then DATA with END_STREAM. */
function strayBehind204(stream: h2.ServerHttp2Stream, socket: Socket): void {
  const id = stream.id!;
  socket.write(Buffer.concat([frame(1, 0x4, id, Buffer.from([0x89])), frame(0, 0x1, id, Buffer.from('stray'))]));
}

async function answer(stream: h2.ServerHttp2Stream, { number, answer: plan }: Exchange, method: string): Promise<void> {
  const { body, status, short } = plan;
  const empty = bodiless(method, status) || body.end === 'with the headers';
  for (const interim of plan.interim) stream.additionalHeaders({ ':status': interim, 'x-interim': String(interim) });
  const fields: h2.OutgoingHttpHeaders = { ':status': status, 'x-upstream': 'http2' };
  fields['content-type'] = 'application/octet-stream';
  if (status === 206) fields['content-range'] = `bytes 0-${Math.max(0, body.size - 1)}/${body.size + 10}`;
  if (body.length && status !== 204) fields['content-length'] = body.size + (short ? 7 : 0);
  const trailers = body.end === 'trailers' && !empty;
  stream.respond(fields, { endStream: empty, waitForTrailers: trailers });
  if (empty) return;
  if (trailers) stream.on('wantTrailers', () => stream.sendTrailers({ [TRAILER]: String(number) }));
  for (const piece of piecesOf(body)) {
    if (stream.destroyed) return;
    if (typeof piece !== 'number') stream.write(piece);
    else if (!plan.together) await sleep(piece);
  }
  if (body.end === 'empty frame' && !plan.together) await sleep(2);
  if (!stream.destroyed) stream.end();
}

function upstream2(board: Board): Server {
  const server = h2.createServer({ settings: { initialWindowSize: 1 << 20 } });
  const sockets = new WeakMap<object, Socket>();
  let latest: Socket | undefined;
  (server as unknown as Server).prependListener('connection', (socket: Socket) => (latest = socket));
  server.on('session', (session) => sockets.set(session, latest!));
  server.on('sessionError', () => undefined);
  server.on('stream', (stream, fields, _flags, ...rest: unknown[]) => {
    stream.on('error', () => undefined);
    const key = keyOf(String(fields[':path']));
    const method = String(fields[':method']);
    const arrival = board.arrived(key, method, lines((rest[0] as string[] | undefined) ?? []));
    const exchange = board.planOf(key);
    const received = receive(stream, arrival);
    if (exchange === undefined) {
      board.strays.push(`a request of nobody: key ${JSON.stringify(key)}`);
      return void stream.respond({ ':status': 404 }, { endStream: true });
    }
    const waited = exchange.answer.when === 'early' ? Promise.resolve() : received;
    void waited
      .then(() => {
        if (arrival.end === 'broken' || stream.destroyed) return undefined;
        if (exchange.answer.stray) return strayBehind204(stream, sockets.get(stream.session!)!);
        return answer(stream, exchange, method);
      })
      .catch(() => stream.destroy());
  });
  return server as unknown as Server;
}

/** What fetch() gets: the pattern, packed or not, with its length or in chunks. */
function side(req: h1.IncomingMessage, res: h1.ServerResponse): void {
  const query = new URL(req.url ?? '/', 'http://side').searchParams;
  const number = (name: string) => Number(query.get(name) ?? '0');
  const status = number('status');
  const plain = patternBody(number('offset'), number('size'));
  const gzip = number('gzip') === 1;
  const bytes = gzip ? gzipSync(plain) : plain;
  const bare = status === 204 || status === 304 || status === 205;
  const headers: Line[] = [
    ['x-fetched', 'yes'],
    ...(gzip ? [['content-encoding', 'gzip'] as const] : []),
    ...(number('length') === 1 && !bare ? [['content-length', String(bytes.length)] as const] : []),
  ];
  res.writeHead(status, Object.fromEntries(headers));
  if (bare) return void res.end();
  const half = bytes.length >> 1;
  res.write(bytes.subarray(0, half));
  res.end(bytes.subarray(half));
}

export interface Upstreams {
  readonly http1: number;
  readonly http2: number;
  readonly side: number;
  readonly tunnel: number;
  close(): Promise<void>;
}

export async function startUpstreams(board: Board): Promise<Upstreams> {
  const servers = [
    upstream1(board),
    upstream2(board),
    h1.createServer({ keepAliveTimeout: 120_000 }, side),
    createServer((socket) => void socket.pipe(socket)),
  ];
  const [http1, http2, fetched, tunnel] = (await Promise.all(servers.map(listen))) as [Port, Port, Port, Port];
  return {
    http1: http1.port,
    http2: http2.port,
    side: fetched.port,
    tunnel: tunnel.port,
    close: async () => {
      await Promise.all([http1, http2, fetched, tunnel].map((one) => one.close()));
    },
  };
}
type Port = Awaited<ReturnType<typeof listen>>;
