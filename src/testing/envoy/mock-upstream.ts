/** A server in the upstream's place that answers as the request's test says. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { HeaderLines } from '../../base/header-block.js';
import { piecesOf, Reader } from '../ends.js';
import { given } from '../lines.js';
import { answerLines, upstreamRequest } from '../messages.js';
import type { TestAnswer, Upstream } from '../types.js';
import { TEST_HEADER } from './config.js';

/** A request that is on its way to it. */
export interface Expected {
  readonly upstream: Upstream;
  /** Set when it comes; the latest, where it comes more than once. */
  seen: Reader | undefined;
}

export class MockUpstream {
  port = 0;
  /** By the number in TEST_HEADER. */
  readonly expected = new Map<string, Expected>();
  private readonly sockets = new Set<Socket>();
  private readonly otherwise: Upstream;
  private readonly server = createServer({ keepAliveTimeout: 60_000, requestTimeout: 0 }, (req, res) => {
    void this.handle(req, res);
  });

  /** `otherwise`: for requests that are no test's. */
  constructor(otherwise: Upstream) {
    this.otherwise = otherwise;
    this.server.on('connection', (socket: Socket) => {
      this.sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => undefined).on('close', () => this.sockets.delete(socket));
    });
  }

  async start(): Promise<void> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    this.port = (this.server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }

  private async handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    res.on('error', () => undefined);
    const expected = this.expected.get(String(req.headers[TEST_HEADER]));
    const upstream = expected?.upstream ?? this.otherwise;
    const reader = new Reader(typeof upstream === 'function' ? undefined : () => undefined);
    if (expected !== undefined) expected.seen = reader;
    reader.headers(linesOf(req), false);
    const coming = receive(req, reader);
    try {
      if (typeof upstream !== 'function') await coming;
      const answer = typeof upstream === 'function' ? await upstream(upstreamRequest(reader)) : upstream;
      await send(res, answer);
    } catch {
      res.socket?.resetAndDestroy();
    }
  }
}

function linesOf(req: IncomingMessage): HeaderLines {
  const lines = HeaderLines.from([
    [':authority', req.headers.host ?? ''],
    [':path', req.url ?? ''],
    [':method', req.method ?? ''],
    [':scheme', 'http'],
  ]);
  const own: readonly string[] = ['host', TEST_HEADER];
  for (const [name, value] of pairs(req.rawHeaders)) if (!own.includes(name)) lines.add(name, value);
  return lines;
}

export function* pairs(flat: readonly string[]): Iterable<[string, string]> {
  for (let i = 0; i + 1 < flat.length; i += 2) yield [flat[i]!.toLowerCase(), flat[i + 1]!];
}

export const trailersOf = (message: IncomingMessage): HeaderLines | undefined =>
  message.rawTrailers.length === 0 ? undefined : HeaderLines.from(pairs(message.rawTrailers));

/** Into a reader, no faster than it reads. */
export async function receive(message: IncomingMessage, reader: Reader): Promise<void> {
  try {
    for await (const piece of message as AsyncIterable<Buffer>) {
      reader.data(Uint8Array.from(piece));
      while (reader.isFull) await reader.room();
    }
    reader.end(trailersOf(message));
  } catch {
    reader.cut();
  }
}

async function send(res: ServerResponse, answer: TestAnswer): Promise<void> {
  const lines = [...answerLines(answer)].filter(([name]) => !name.startsWith(':'));
  res.writeHead(answer.status ?? 200, lines.flat());
  if (answer.body !== undefined) {
    for await (const piece of piecesOf(answer.body)) {
      if (res.destroyed) return;
      if (!res.write(piece)) await Promise.race([once(res, 'drain'), once(res, 'close')]);
    }
  }
  if (answer.trailers !== undefined) res.addTrailers([...given(answer.trailers)]);
  res.end();
}
