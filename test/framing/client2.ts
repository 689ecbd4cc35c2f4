/** A conversation over HTTP/2; node's client ends the session at whatever breaks the protocol. */
import {
  connect,
  constants,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { once } from 'node:events';
import { lines } from '../fixture/upstream.js';
import { sleep, within } from '../../src/testing/envoy/wait.js';
import type { Line } from '../fixture/http1.js';
import { piecesOf } from '../torture/bodies.js';
import { TRAILER } from './board.js';
import type { Exchange } from './plan.js';
import { commonLines, HUNG_MS, keyFor, nothingSeen, pathOf, TUNNEL_HOST, type Seen, type Talk } from './seen.js';
import { bodiless } from './strict.js';

const TUNNEL_TEXT = 'through the tunnel';

function fieldsOf(exchange: Exchange, key: string): OutgoingHttpHeaders {
  const { request } = exchange;
  const fields: OutgoingHttpHeaders =
    request.method === 'CONNECT'
      ? { ':method': 'CONNECT', ':authority': TUNNEL_HOST }
      : { ':method': request.method, ':path': pathOf(exchange, key), ':authority': 'test.local' };
  for (const [name, value] of commonLines(exchange, key)) fields[name] = value;
  if (request.body.length) fields['content-length'] = request.body.size;
  return fields;
}

async function upload(stream: ClientHttp2Stream, { request }: Exchange): Promise<void> {
  for (const piece of piecesOf(request.body)) {
    if (stream.destroyed) return;
    if (typeof piece !== 'number') stream.write(piece);
    else if (!request.together) await sleep(piece);
  }
  if (request.body.end === 'empty frame' && !request.together) await sleep(2);
  if (!stream.destroyed) stream.end();
}

/** What has come on one stream so far. */
class Heard {
  status = 0;
  lines: readonly Line[] = [];
  trailers: readonly Line[] = [];
  readonly interim: number[] = [];
  readonly pieces: Buffer[] = [];
  error = '';

  constructor(private readonly stream: ClientHttp2Stream) {
    stream.on('error', (error) => {
      this.error ||= error.message;
    });
    stream.on('headers', (fields) => this.interim.push(Number(fields[':status'])));
    stream.on('response', (fields, _flags, ...rest: unknown[]) => {
      this.status = Number(fields[':status']);
      this.lines = lines((rest[0] as string[] | undefined) ?? []);
    });
    stream.on('trailers', (_fields, _flags, ...rest: unknown[]) => {
      this.trailers = lines((rest[0] as string[] | undefined) ?? []);
    });
    stream.on('data', (piece: Buffer) => this.pieces.push(piece));
  }

  seen(method: string): Seen {
    const body = Buffer.concat(this.pieces);
    const faults: string[] = [];
    const length = this.lines.filter(([name]) => name === 'content-length');
    if (length.length > 1) faults.push(`${length.length} content-length`);
    const bare = bodiless(method, this.status);
    if (bare && body.length > 0 && method !== 'CONNECT') faults.push(`${body.length} bytes of body`);
    const { rstCode } = this.stream;
    if (rstCode !== constants.NGHTTP2_NO_ERROR) this.error ||= `reset with code ${rstCode}`;
    if (this.status === 0) this.error ||= 'no response';
    const clean = this.error === '';
    if (clean && !bare && length.length === 1 && Number(length[0]![1]) !== body.length)
      faults.push(`content-length ${length[0]![1]} and ${body.length} bytes`);
    return {
      ...nothingSeen(clean ? 'clean' : 'broken', this.error, faults),
      status: this.status,
      lines: this.lines,
      trailers: this.trailers,
      interim: this.interim,
      body,
      stays: true,
    };
  }
}

export class Http2Talk {
  private session: ClientHttp2Session | undefined;
  private sessionFault = '';

  constructor(private readonly talk: Talk) {}

  async run(): Promise<Seen[]> {
    const { exchanges, pipelined } = this.talk.conversation;
    try {
      if (!pipelined) {
        const seen: Seen[] = [];
        for (const exchange of exchanges) seen.push(await this.one(exchange));
        return seen;
      }
      await this.open();
      return await Promise.all(exchanges.map((exchange) => this.one(exchange)));
    } finally {
      this.session?.destroy();
    }
  }

  private async open(): Promise<ClientHttp2Session> {
    const known = this.session;
    if (known !== undefined && !known.closed && !known.destroyed) return known;
    const session = connect(`http://127.0.0.1:${this.talk.port}`);
    this.session = session;
    session.on('error', (error) => {
      this.sessionFault ||= `the session failed: ${error.message}`;
    });
    session.on('goaway', (code) => {
      if (code !== constants.NGHTTP2_NO_ERROR) this.sessionFault ||= `GOAWAY with code ${code}`;
    });
    await once(session, 'connect');
    return session;
  }

  private async one(exchange: Exchange): Promise<Seen> {
    const session = await this.open();
    const { request } = exchange;
    const endStream = request.body.end === 'with the headers' && request.method !== 'CONNECT';
    const trailers = request.body.end === 'trailers';
    const stream = session.request(fieldsOf(exchange, keyFor(this.talk.prefix, exchange)), {
      endStream,
      waitForTrailers: trailers,
    });
    if (trailers) stream.on('wantTrailers', () => stream.sendTrailers({ [TRAILER]: String(exchange.number) }));
    const heard = new Heard(stream);
    const closed = new Promise<void>((resolve) => stream.once('close', resolve));
    const faults: string[] = [];
    if (request.method === 'CONNECT') faults.push(...(await this.tunnel(stream, closed)));
    else if (!endStream) void upload(stream, exchange).catch(() => undefined);
    stream.on('end', () => {
      if (!stream.writableEnded) stream.close(constants.NGHTTP2_NO_ERROR);
    });
    const hung = await within(HUNG_MS, 'the answer', closed).then(
      () => false,
      () => true,
    );
    if (hung) {
      stream.close(constants.NGHTTP2_CANCEL);
      return { ...nothingSeen('hung', 'no end came'), status: heard.status, lines: heard.lines, stays: true };
    }
    const seen = heard.seen(request.method);
    if (this.sessionFault !== '') faults.push(this.sessionFault);
    this.sessionFault = '';
    return { ...seen, faults: [...seen.faults, ...faults] };
  }

  private async tunnel(stream: ClientHttp2Stream, closed: Promise<void>): Promise<string[]> {
    const answered = new Promise<number>((resolve) =>
      stream.once('response', (fields) => resolve(Number(fields[':status']))),
    );
    const status = await Promise.race([answered, closed, sleep(HUNG_MS, undefined, { ref: false })]);
    if (status !== 200) {
      if (!stream.destroyed) stream.end();
      return [];
    }
    const text = new Promise<string>((resolve) =>
      stream.once('data', (piece: Buffer) => resolve(piece.toString('latin1'))),
    );
    stream.write(TUNNEL_TEXT);
    const back = await Promise.race([text, closed, sleep(2_000, undefined, { ref: false })]);
    stream.close(constants.NGHTTP2_NO_ERROR);
    return back === TUNNEL_TEXT ? [] : [`tunnel: ${JSON.stringify(back)}`];
  }
}
