import { setTimeout as sleep } from 'node:timers/promises';
import { defineFilter, perChunk, StatusType, type BodyBuffer, type Chunk, type StreamFilter } from 'envoy-ts-filter';
import { count } from './lib/counters.js';
import { SHIFT, type ShiftConfig, type Style } from './lib/shift.js';

type Direction = keyof typeof SHIFT;
type Change = (bytes: Uint8Array) => Uint8Array;
type Body = AsyncIterable<Uint8Array>;

const PIECE = 4096;
function* pieces(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PIECE) yield bytes.subarray(at, at + PIECE);
}

/** Cut anywhere, with a pause after each piece: a message of the application is never in one of them. */
async function* atRandom(body: Body, change: Change): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    let rest = chunk;
    while (rest.length > 0) {
      const length = 1 + Math.floor(Math.random() ** 3 * Math.max(rest.length, 64));
      yield change(rest.subarray(0, length));
      rest = rest.subarray(length);
      if (Math.random() < 0.7) await sleep(Math.random() * 4);
    }
  }
}

async function* paced(style: Style, body: Body, change: Change, pause: number): AsyncGenerator<Chunk> {
  if (style === 'random') return yield* atRandom(body, change);
  for await (const chunk of body) {
    const bytes = change(chunk);
    if (style === 'halves') {
      yield bytes.subarray(0, bytes.length >> 1);
      await sleep(pause);
      yield bytes.subarray(bytes.length >> 1);
      continue;
    }
    if (pause > 0) await sleep(pause);
    if (style === 'delegating') yield* pieces(bytes);
    else yield bytes;
  }
}

function through(change: Change, pause: number): TransformStream<Uint8Array, Uint8Array> {
  return new TransformStream<Uint8Array, Uint8Array>({
    async transform(chunk, controller) {
      if (pause > 0) await sleep(pause);
      controller.enqueue(change(chunk));
    },
  });
}

const transforms = (style: Style, pause: number, request: Change, response: Change): object => ({
  transformRequest: (body: Body) => paced(style, body, request, pause),
  transformResponse: (body: Body) => paced(style, body, response, pause),
});

async function changeIn(data: BodyBuffer, what: string, change: Change, pause: number): Promise<void> {
  count(`shift.${what}`);
  await sleep(pause);
  data.set(change(data.bytes()));
}

const dataHooks = (style: Style, pause: number, request: Change, response: Change): StreamFilter => ({
  decodeData: (data) => changeIn(data, `${style}.request`, request, pause),
  encodeData: (data) => changeIn(data, `${style}.response`, response, pause),
});

/** Asks for the whole body by the headers hooks, `hold` ms later. */
function holding(hold: number): object {
  const answer = async (_headers: unknown, endStream: boolean) => {
    if (hold > 0) await sleep(hold);
    return endStream ? StatusType.Continue : StatusType.StopAndBuffer;
  };
  return { decodeHeaders: answer, encodeHeaders: answer };
}

/** Keeps the first chunk by the data hook: the rest of the body makes one more call. */
function wholeByData(pause: number, request: Change, response: Change): StreamFilter {
  const called = { request: 0, response: 0 };
  const hook = async (data: BodyBuffer, endStream: boolean, direction: Direction, change: Change) => {
    await sleep(pause);
    data.set(change(data.bytes()));
    return !endStream && called[direction]++ === 0 ? StatusType.StopAndBuffer : StatusType.Continue;
  };
  return {
    decodeData: (data, endStream) => hook(data, endStream, 'request', request),
    encodeData: (data, endStream) => hook(data, endStream, 'response', response),
  };
}

function hooks({ style, pause = 0, hold = 0, keep = false }: ShiftConfig): object {
  const change =
    (direction: Direction): Change =>
    (bytes) =>
      keep ? bytes : bytes.map((byte) => (byte + SHIFT[direction]) & 255);
  const [request, response] = [change('request'), change('response')];
  switch (style) {
    case 'headers':
      return { decodeHeaders: () => Promise.resolve(), encodeHeaders: () => Promise.resolve() };
    case 'perChunk':
      return { transformRequest: perChunk(request), transformResponse: perChunk(response) };
    case 'transformStream':
      return { transformRequest: through(request, pause), transformResponse: through(response, pause) };
    case 'go':
      return dataHooks(style, pause, request, response);
    case 'whole':
      return { ...holding(hold), ...dataHooks(style, pause, request, response) };
    case 'wholeTransform':
      return { ...holding(hold), ...transforms(style, pause, request, response) };
    case 'wholeByData':
      return wholeByData(pause, request, response);
    default:
      return transforms(style, pause, request, response);
  }
}

/** Bodies of both directions with a number added to each byte, in every style in which a body can be changed. */
export default defineFilter({
  name: 'shift',
  parseConfig: (raw: unknown) => raw as ShiftConfig,
  create: (config) => ({ ...hooks(config) }),
});
