/**
 * The upstreams of the torture, HTTP/1.1 and HTTP/2. Each answers a message as its plan says and keeps what came of the
 * request, and whether its end was a clean one.
 */
import * as h1 from 'node:http';
import * as h2 from 'node:http2';
import { setImmediate as turn } from 'node:timers/promises';
import type { Server } from 'node:net';
import { sleep } from '../../src/testing/envoy/wait.js';
import { listen } from '../support/listen.js';
import { piecesOf } from './bodies.js';
import type { MessagePlan } from './plan.js';

export const TRAILER = 'x-torture-trailer';

/** What a message came to at the upstream. */
export interface Arrival {
  body: Buffer;
  /** open: neither an end nor a reset came. */
  end: 'open' | 'clean' | 'broken';
  trailer: string | undefined;
  /** The trailer could have come: the message had no content-length. */
  trailersPossible: boolean;
  ended: Promise<void>;
}

/** The messages that are on their way, by their key in the path. */
export class Board {
  readonly plans = new Map<string, MessagePlan>();
  readonly arrivals = new Map<string, Arrival[]>();
}

type Req = h1.IncomingMessage | h2.Http2ServerRequest;
/** HTTP/2's has the same methods, but node's types do not agree. */
type Res = h1.ServerResponse;

/** Node says that an HTTP/2 stream has ended also when it was reset, and only then that it was aborted. */
async function endedClean(req: Req): Promise<boolean> {
  if (!('stream' in req)) return req.complete;
  await turn();
  return !req.stream.aborted && req.stream.rstCode === 0;
}

function receive(req: Req): Arrival {
  const pieces: Buffer[] = [];
  let finish = () => {};
  const arrival: Arrival = {
    body: Buffer.alloc(0),
    end: 'open',
    trailer: undefined,
    trailersPossible: req.headers['content-length'] === undefined,
    ended: new Promise((resolve) => {
      finish = resolve;
    }),
  };
  const end = (how: 'clean' | 'broken') => {
    if (arrival.end !== 'open') return;
    arrival.end = how;
    arrival.body = Buffer.concat(pieces);
    const trailer = req.trailers[TRAILER];
    arrival.trailer = trailer === undefined ? undefined : String(trailer);
    finish();
  };
  req.on('data', (piece: Buffer) => pieces.push(piece));
  let deciding = false;
  req.on('end', () => {
    deciding = true;
    void endedClean(req).then((clean) => end(clean ? 'clean' : 'broken'));
  });
  for (const event of ['aborted', 'error', 'close'])
    req.on(event, () => {
      if (!deciding) end('broken');
    });
  return arrival;
}

async function write(res: Res, bytes: Buffer): Promise<void> {
  if (res.write(bytes)) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      res.off('drain', done).off('close', done);
      resolve();
    };
    res.on('drain', done).on('close', done);
  });
}

/** Whether the answer may go on: an early or late one does not outlive its request. */
const goesOn = (res: Res, { answer }: MessagePlan, { end }: Arrival): boolean =>
  !res.destroyed && (answer === 'rash' || end !== 'broken');

async function answer(res: Res, plan: MessagePlan, arrival: Arrival): Promise<void> {
  const { response, answer: when } = plan;
  const headersOnly = response.end === 'with the headers';
  // an early answer's end waits for the request's, so its headers cannot carry it
  if (when === 'late' || (headersOnly && when === 'early')) await arrival.ended;
  if (!goesOn(res, plan, arrival)) return void res.destroy();
  res.setHeader('content-type', 'application/octet-stream');
  const http1 = res instanceof h1.ServerResponse;
  if (response.length || (headersOnly && http1)) res.setHeader('content-length', String(response.size));
  if (headersOnly) return void res.end();
  const pieces = [...piecesOf(response)];
  if (typeof pieces[0] !== 'object') res.flushHeaders();
  const last = pieces.findLastIndex((piece) => typeof piece !== 'number');
  for (const [i, piece] of pieces.entries()) {
    if (res.destroyed) return;
    if (typeof piece === 'number') await sleep(piece);
    else {
      if (when === 'early' && i === last) await arrival.ended;
      await write(res, piece);
    }
  }
  if (when === 'early') await arrival.ended;
  if (!goesOn(res, plan, arrival)) return void res.destroy();
  if (response.end === 'trailers') res.addTrailers({ [TRAILER]: String(plan.index) });
  res.end();
}

function handler(board: Board) {
  return (req: Req, answering: h1.ServerResponse | h2.Http2ServerResponse): void => {
    const res = answering as Res;
    const key = (req.url ?? '').slice(3);
    res.on('error', () => undefined);
    const arrival = receive(req);
    const plan = board.plans.get(key);
    if (plan === undefined) return void res.writeHead(404).end();
    board.arrivals.set(key, [...(board.arrivals.get(key) ?? []), arrival]);
    answer(res, plan, arrival).catch(() => res.destroy());
  };
}

export interface Receivers {
  readonly http1: number;
  readonly http2: number;
  close(): Promise<void>;
}

export async function startReceivers(board: Board): Promise<Receivers> {
  const handle = handler(board);
  const plain = h1.createServer({ keepAliveTimeout: 120_000, requestTimeout: 0 }, handle);
  const framed = h2.createServer({ settings: { initialWindowSize: 1 << 20 } }, handle);
  const [one, two] = await Promise.all([listen(plain), listen(framed as unknown as Server)]);
  return {
    http1: one.port,
    http2: two.port,
    close: async () => {
      await Promise.all([one.close(), two.close()]);
    },
  };
}
