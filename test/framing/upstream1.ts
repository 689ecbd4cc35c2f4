/** The HTTP/1.1 upstream, by its bytes: it reads strictly and answers exactly as the exchange's plan says. */
import { createServer, type Socket } from 'node:net';
import { sleep } from '../../src/testing/envoy/wait.js';
import { piecesOf } from '../torture/bodies.js';
import { keyOf, TRAILER, type Arrival, type Board } from './board.js';
import type { AnswerPlan, Exchange } from './plan.js';
import { bodiless, Cut, CutBody, framingOf, Incoming, one, readContent, readLines, Unreadable } from './strict.js';

const REASONS = 'As Planned';

function headOf(plan: AnswerPlan, method: string): string {
  const { status, body, framing, closes, short } = plan;
  const lines = [`HTTP/1.1 ${status} ${REASONS}`, 'content-type: application/octet-stream', 'x-upstream: http1'];
  const size = body.size + (short ? 7 : 0);
  if (status === 206) lines.push(`content-range: bytes 0-${Math.max(0, body.size - 1)}/${body.size + 10}`);
  if (status === 304) lines.push('etag: "framing"');
  const bare = status === 204 || status === 304;
  const chunked = framing === 'chunked' && body.end !== 'with the headers';
  if (chunked && !bare) lines.push('transfer-encoding: chunked');
  else if ((framing === 'length' || body.end === 'with the headers') && !bare) lines.push(`content-length: ${size}`);
  if (closes || short || (framing === 'close' && !bare && method !== 'HEAD')) lines.push('connection: close');
  return `${lines.join('\r\n')}\r\n\r\n`;
}

const chunk = (piece: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]);

/** All that goes out, in order; a number is a pause. */
function* answerBytes({ number, answer }: Exchange, method: string): Generator<Buffer | number> {
  const head = Buffer.from(headOf(answer, method), 'latin1');
  const { body, framing } = answer;
  const empty = bodiless(method, answer.status) || body.end === 'with the headers';
  const chunked = framing === 'chunked' && !empty;
  const pieces: (Buffer | number)[] = empty ? [] : [...piecesOf(body)];
  const wrapped = pieces.map((piece) => (typeof piece === 'number' || !chunked ? piece : chunk(piece)));
  if (chunked) {
    if (body.end === 'empty frame') wrapped.push(2);
    const trailer = body.end === 'trailers' ? `${TRAILER}: ${number}\r\n` : '';
    wrapped.push(Buffer.from(`0\r\n${trailer}\r\n`));
  }
  if (answer.together) {
    const bytes = wrapped.filter((piece) => typeof piece !== 'number');
    yield Buffer.concat([head, ...bytes]);
  } else {
    yield head;
    yield* wrapped;
  }
}

async function write(socket: Socket, pieces: Iterable<Buffer | number>): Promise<void> {
  for (const piece of pieces) {
    if (socket.destroyed) return;
    if (typeof piece === 'number') await sleep(piece);
    else if (piece.length > 0 && !socket.write(piece))
      await new Promise<void>((resolve) => {
        const done = () => {
          socket.off('drain', done).off('close', done);
          resolve();
        };
        socket.on('drain', done).on('close', done);
      });
  }
}

/** Answers; true: the connection may be used again. */
async function answer(socket: Socket, exchange: Exchange, method: string): Promise<boolean> {
  const plan = exchange.answer;
  for (const status of plan.interim) socket.write(`HTTP/1.1 ${status} Interim\r\nx-interim: ${status}\r\n\r\n`);
  await write(socket, answerBytes(exchange, method));
  const untilClose = plan.framing === 'close' && !bodiless(method, plan.status) && plan.body.end !== 'with the headers';
  if (plan.closes || plan.short || untilClose) {
    socket.end();
    return false;
  }
  return true;
}

interface Reading {
  readonly arrival: Arrival;
  readonly key: string;
  read(): Promise<void>;
}

async function readRequest(from: Incoming, board: Board, before: Arrival | undefined): Promise<Reading> {
  const first = await from.line();
  const match = /^([A-Z]+) (\S+) HTTP\/1\.1$/.exec(first);
  if (match === null) {
    before?.faults.push(`followed by ${JSON.stringify(first.slice(0, 80))}`);
    throw new Unreadable(`no request line: ${JSON.stringify(first.slice(0, 80))}`);
  }
  const lines = await readLines(from);
  const key = keyOf(match[2]!);
  const arrival = board.arrived(key, match[1]!, lines);
  const framing = framingOf(lines, '1.1', arrival.faults);
  const read = async () => {
    try {
      const content = await readContent(from, framing);
      Object.assign(arrival, { ...content, end: 'clean' });
    } catch (error) {
      if (error instanceof CutBody) arrival.body = error.body;
      if (!(error instanceof Cut)) arrival.faults.push((error as Error).message);
      arrival.end = 'broken';
      throw error;
    }
  };
  if (one(lines, 'expect') !== undefined) from.socket.write('HTTP/1.1 100 Continue\r\n\r\n');
  return { arrival, key, read };
}

/** A websocket that sends every byte back. */
async function echo(from: Incoming): Promise<void> {
  from.socket.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n');
  while (from.waiting > 0 || (await from.more())) from.socket.write(await from.exactly(from.waiting));
  from.socket.end();
}

async function serve(socket: Socket, board: Board): Promise<void> {
  const from = new Incoming(socket);
  let before: Arrival | undefined;
  while (from.waiting > 0 || (await from.more())) {
    const { arrival, key, read } = await readRequest(from, board, before);
    before = arrival;
    const exchange = board.planOf(key);
    if (exchange === undefined) throw new Unreadable(`a request of nobody: key ${JSON.stringify(key)}`);
    if (exchange.answer.status === 101) {
      await read();
      return echo(from);
    }
    let on: boolean;
    if (exchange.answer.when === 'early') {
      const answering = answer(socket, exchange, arrival.method);
      await read();
      on = await answering;
    } else {
      await read();
      on = await answer(socket, exchange, arrival.method);
    }
    if (!on) return;
  }
  socket.end();
}

export function upstream1(board: Board) {
  return createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    serve(socket, board).catch((error: Error) => {
      if (!(error instanceof Cut)) board.strays.push(error.message);
      socket.destroy();
    });
  });
}
