/** A conversation over HTTP/1.1 or 1.0, by its bytes. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { Line } from '../fixture/http1.js';
import { sleep, within } from '../../src/testing/envoy/wait.js';
import { piecesOf } from '../torture/bodies.js';
import { TRAILER } from './board.js';
import { malformedHead } from './malformed.js';
import type { Client, Exchange } from './plan.js';
import { commonLines, HUNG_MS, keyFor, nothingSeen, pathOf, TUNNEL_HOST, type Seen, type Talk } from './seen.js';
import {
  all,
  bodiless,
  Cut,
  CutBody,
  framingOf,
  Incoming,
  one,
  readContent,
  readStart,
  type Content,
  type Start,
} from './strict.js';

/** How long a connection that was said to close may stay open, and how long a probe waits for stray bytes. */
const CLOSE_MS = 4_000;
const TUNNEL_TEXT = 'through the tunnel';

const versionOf = (client: Client): '1.0' | '1.1' => (client.startsWith('http1.0') ? '1.0' : '1.1');

export function headOf(exchange: Exchange, key: string, client: Client): string {
  const { request } = exchange;
  const { body } = request;
  if (request.malformed !== undefined) return malformedHead(request.malformed, exchange, key);
  const version = versionOf(client);
  const target = request.method === 'CONNECT' ? TUNNEL_HOST : pathOf(exchange, key);
  const lines: Line[] = [['host', request.method === 'CONNECT' ? TUNNEL_HOST : 'test.local']];
  lines.push(...commonLines(exchange, key));
  if (client === 'http1.0 keep-alive') lines.push(['connection', 'keep-alive']);
  if (body.end !== 'with the headers')
    lines.push(body.length ? ['content-length', String(body.size)] : ['transfer-encoding', 'chunked']);
  if (request.upgrade) lines.push(['connection', 'upgrade'], ['upgrade', 'websocket']);
  if (request.expect) lines.push(['expect', '100-continue']);
  const text = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return `${request.method} ${target} HTTP/${version}\r\n${text}\r\n`;
}

/** The body as it goes over the wire; a number is a pause. */
function* bodyOf({ number, request: { body } }: Exchange): Generator<Buffer | number> {
  if (body.end === 'with the headers') return;
  for (const piece of piecesOf(body)) {
    if (typeof piece === 'number' || body.length) yield piece;
    else yield Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]);
  }
  if (body.length) return;
  if (body.end === 'empty frame') yield 2;
  yield Buffer.from(body.end === 'trailers' ? `0\r\n${TRAILER}: ${number}\r\n\r\n` : '0\r\n\r\n');
}

/** All at once, for pipelining. */
function requestBytes(exchange: Exchange, key: string, client: Client): Buffer {
  const pieces = [...bodyOf(exchange)].filter((piece) => typeof piece !== 'number');
  return Buffer.concat([Buffer.from(headOf(exchange, key, client), 'latin1'), ...pieces]);
}

class Connection {
  readonly incoming: Incoming;

  private constructor(readonly socket: Socket) {
    socket.on('error', () => undefined);
    this.incoming = new Incoming(socket);
  }

  static async open(port: number): Promise<Connection> {
    const socket = connect({ port, host: '127.0.0.1' });
    await once(socket, 'connect');
    return new Connection(socket);
  }

  async send(exchange: Exchange, key: string, client: Client, proceed: Promise<void>): Promise<void> {
    const head = Buffer.from(headOf(exchange, key, client), 'latin1');
    if (exchange.request.together && !exchange.request.expect) {
      this.socket.write(requestBytes(exchange, key, client));
      return;
    }
    this.socket.write(head);
    if (exchange.request.expect) await Promise.race([proceed, sleep(HUNG_MS, undefined, { ref: false })]);
    for (const piece of bodyOf(exchange)) {
      if (this.socket.destroyed) return;
      if (typeof piece === 'number') await sleep(piece);
      else this.socket.write(piece);
    }
  }
}

/** Whether the peer keeps the connection, by what the answer says. */
function persists({ version, lines }: Start): boolean {
  const said = all(lines, 'connection').join(',').toLowerCase();
  if (said.includes('close')) return false;
  return version === '1.1' || said.includes('keep-alive');
}

class Answers {
  constructor(
    private readonly connection: Connection,
    private readonly client: Client,
  ) {}

  /** The final answer to that request and all before it; `proceed` is called at the first sign of one. */
  async read(exchange: Exchange, proceed: () => void): Promise<Seen> {
    const { incoming } = this.connection;
    const interim: number[] = [];
    const faults: string[] = [];
    let start: Start | undefined;
    let content: Content = { body: Buffer.alloc(0), trailers: [] };
    const seen = (end: Seen['end'], why: string, stays: boolean): Seen => ({
      ...nothingSeen(end, why, faults),
      ...content,
      status: start?.status ?? 0,
      lines: start?.lines ?? [],
      interim,
      stays,
    });
    try {
      for (;;) {
        start = await readStart(incoming);
        if (start.status >= 200 || start.status === 101) break;
        for (const name of ['content-length', 'transfer-encoding'])
          if (one(start.lines, name) !== undefined) faults.push(`${name} in ${start.status}`);
        interim.push(start.status);
        proceed();
        start = undefined;
      }
      proceed();
      const { method } = exchange.request;
      content = await this.content(start, method, faults);
      const untilClose = incoming.ended;
      return seen('clean', '', !untilClose && persists(start) && this.client !== 'http1.0');
    } catch (error) {
      if (error instanceof CutBody) content = { body: error.body, trailers: [] };
      if (!(error instanceof Cut)) faults.push((error as Error).message);
      return seen('broken', (error as Error).message, false);
    }
  }

  private async content(start: Start, method: string, faults: string[]): Promise<Content> {
    const { incoming } = this.connection;
    const framing = framingOf(start.lines, start.version, faults);
    if (start.status === 204 && framing.kind !== 'none') faults.push(`${framing.kind} in 204`);
    if (bodiless(method, start.status)) return { body: Buffer.alloc(0), trailers: [] };
    if (framing.kind !== 'none') return readContent(incoming, framing);
    if (persists(start)) faults.push('no framing, and the connection is said to stay');
    return { body: await incoming.toEnd(), trailers: [] };
  }
}

/** The exchange has spoilt its connection for the next one, which got no answer there and one on a new connection. */
const followed = (before: Seen, why: string): Seen => ({
  ...before,
  faults: [...before.faults, `followed by: ${why}`],
  stays: false,
});
const unanswered = ({ status, end }: Seen): boolean => status === 0 && end !== 'clean';

export class Http1Talk {
  private connection: Connection | undefined;
  private readonly attempts = new Map<number, number>();
  /** Why the next exchange, sent with others, got no answer: its own fault, or the one's before. */
  private suspicion: string | undefined;

  constructor(private readonly talk: Talk) {}

  async run(): Promise<Seen[]> {
    const { exchanges, pipelined } = this.talk.conversation;
    const seen: Seen[] = [];
    try {
      while (seen.length < exchanges.length) {
        const left = exchanges.slice(seen.length);
        // what waits for a 100, or is a tunnel, cannot be followed blindly, and Envoy may close on what is malformed
        // before it has sent the answers to what came before
        const blind = left.findIndex(
          ({ request }) =>
            request.expect || request.upgrade || request.method === 'CONNECT' || request.malformed !== undefined,
        );
        const many = pipelined && blind !== 0 && this.suspicion === undefined;
        const batch = many ? left.slice(0, blind < 0 ? left.length : blind) : left.slice(0, 1);
        if (batch.length > 1) seen.push(...(await this.blindly(seen.pop(), batch)));
        else seen.push(...(await this.next(seen.pop(), batch[0]!)));
      }
    } finally {
      this.drop();
    }
    return seen;
  }

  /** Of the next try. */
  private key(exchange: Exchange): string {
    const attempt = (this.attempts.get(exchange.number) ?? -1) + 1;
    this.attempts.set(exchange.number, attempt);
    return keyFor(this.talk.prefix, exchange, attempt);
  }

  private async open(): Promise<Connection> {
    this.connection ??= await Connection.open(this.talk.port);
    return this.connection;
  }

  /** On the connection of the one before; if there came no answer, on a new one, to tell whose fault it is. */
  private async next(before: Seen | undefined, exchange: Exchange): Promise<Seen[]> {
    if (before === undefined) return [await this.single(exchange)];
    const why = this.suspicion ?? (await this.tried(exchange));
    if (typeof why !== 'string') return [before, why];
    this.suspicion = undefined;
    this.drop();
    const again = await this.single(exchange);
    return [unanswered(again) ? before : followed(before, why), again];
  }

  /** What was seen, or why there was nothing on a connection that had been used before. */
  private async tried(exchange: Exchange): Promise<Seen | string> {
    const used = this.connection !== undefined;
    const seen = await this.single(exchange);
    return used && unanswered(seen) ? seen.why : seen;
  }

  private async single(exchange: Exchange): Promise<Seen> {
    const connection = await this.open();
    const { client } = this.talk.conversation;
    let proceed = () => {};
    const proceeding = new Promise<void>((resolve) => {
      proceed = resolve;
    });
    const sending = connection.send(exchange, this.key(exchange), client, proceeding);
    const seen = await this.bounded(new Answers(connection, client).read(exchange, proceed));
    if (seen.end === 'clean') await Promise.race([sending, sleep(HUNG_MS, undefined, { ref: false })]);
    else sending.catch(() => undefined);
    return this.numbered(exchange, await this.afterwards(connection, exchange, seen));
  }

  /** Requests in one write; those that get no answer because the connection was closed are for a next try. */
  private async blindly(before: Seen | undefined, batch: readonly Exchange[]): Promise<Seen[]> {
    const used = before !== undefined && this.connection !== undefined;
    const seen: Seen[] = before === undefined ? [] : [before];
    const connection = await this.open();
    const { client } = this.talk.conversation;
    connection.socket.write(Buffer.concat(batch.map((one) => requestBytes(one, this.key(one), client))));
    const answers = new Answers(connection, client);
    for (const [i, exchange] of batch.entries()) {
      const answer = await this.bounded(answers.read(exchange, () => undefined));
      if ((i > 0 || used) && unanswered(answer)) {
        this.suspicion = answer.why;
        this.drop();
        break;
      }
      const last = i === batch.length - 1 || !answer.stays;
      seen.push(this.numbered(exchange, last ? await this.afterwards(connection, exchange, answer) : answer));
      if (last) break;
    }
    return seen;
  }

  private numbered(exchange: Exchange, seen: Seen): Seen {
    return { ...seen, attempt: this.attempts.get(exchange.number) ?? 0 };
  }

  private drop(): void {
    this.connection?.socket.destroy();
    this.connection = undefined;
  }

  private bounded(reading: Promise<Seen>): Promise<Seen> {
    return within(HUNG_MS, 'the answer', reading).catch((error: Error) => nothingSeen('hung', error.message));
  }

  private async afterwards(connection: Connection, exchange: Exchange, seen: Seen): Promise<Seen> {
    const { incoming } = connection;
    const faults = [...seen.faults];
    const tunnels = seen.status === 101 || (exchange.request.method === 'CONNECT' && seen.status === 200);
    if (tunnels && seen.end === 'clean') {
      faults.push(...(await this.tunnel(connection)));
    } else if (seen.stays) {
      if (incoming.waiting > 0) faults.push(`stray bytes: ${incoming.shown}`);
      if (incoming.ended) faults.push('closed, and did not say so');
      if (faults.length === 0) return seen;
    } else if (seen.end === 'clean') {
      const closing = (async () => {
        while (!incoming.ended && incoming.waiting === 0 && (await incoming.more()));
        return true;
      })();
      const closed = await Promise.race([closing, sleep(CLOSE_MS, false, { ref: false })]);
      if (!closed) faults.push('said that it closes, and did not');
      if (incoming.waiting > 0) faults.push(`stray bytes: ${incoming.shown}`);
    }
    this.drop();
    return { ...seen, faults, stays: false };
  }

  private async tunnel({ socket, incoming }: Connection): Promise<string[]> {
    socket.write(TUNNEL_TEXT);
    const back = await within(2_000, 'the tunnel', incoming.exactly(TUNNEL_TEXT.length)).catch((error: Error) => error);
    if (back instanceof Error) return [`tunnel: ${back.message}`];
    const text = back.toString('latin1');
    return text === TUNNEL_TEXT ? [] : [`tunnel: ${JSON.stringify(text)}`];
  }
}
