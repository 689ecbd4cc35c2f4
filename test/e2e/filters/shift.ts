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
    for (let at = 0, end = 0; at < chunk.length; at = end) {
      end = at + 1 + Math.floor(Math.random() ** 3 * Math.max(chunk.length - at, 64));
      yield change(chunk.subarray(at, end));
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

function hooks({ style, pause = 0, keep = false }: ShiftConfig): object {
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
    case 'whole': {
      const change = async (data: BodyBuffer, direction: Direction) => {
        count(`shift.${style}.${direction}`);
        await sleep(pause);
        data.set((direction === 'request' ? request : response)(data.bytes()));
      };
      const data: StreamFilter = {
        decodeData: (data) => change(data, 'request'),
        encodeData: (data) => change(data, 'response'),
      };
      if (style === 'go') return data;
      const hold = (_headers: unknown, endStream: boolean) =>
        endStream ? StatusType.Continue : StatusType.StopAndBuffer;
      return { ...data, decodeHeaders: hold, encodeHeaders: hold };
    }
    default:
      return {
        transformRequest: (body: Body) => paced(style, body, request, pause),
        transformResponse: (body: Body) => paced(style, body, response, pause),
      };
  }
}

/** Bodies of both directions with a number added to each byte, in every style in which a body can be changed. */
export default defineFilter({
  name: 'shift',
  parseConfig: (raw: unknown) => raw as ShiftConfig,
  create: (config) => ({ ...hooks(config) }),
});
