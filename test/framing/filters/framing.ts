/** The filter of the framing torture: what the request says in `x-ours` (ours.ts), under several names and phases. */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  defineFilter,
  perChunk,
  sameLength,
  StatusType,
  type BodyBuffer,
  type BodyStream,
  type DirectionCallbacks,
  type FilterCallbacks,
  type HeaderMap,
  type HeadersStatus,
  type Phase,
  type ResponseHeaders,
  type StreamFilter,
  type TransformContext,
} from 'envoy-ts-filter';
import { patternBody } from '../../fixture/bytes.js';
import { closing, doubled, mapped, opening, thinned } from '../../torture/ours.js';
import type { Acts, Reply, Style } from '../ours.js';

interface Config {
  readonly tag: string;
  /** Of the server that fetch() asks. */
  readonly sidePort: number;
}

/** What a request without `x-ours` meets: hooks that change nothing. */
const OTHERWISE: Acts = { request: 'go-look', response: 'go-look' };
const PAUSE_MS = 2;

function actsOf(callbacks: FilterCallbacks, tag: string): Acts {
  try {
    const text = callbacks.request.get(`x-ours-${tag.toLowerCase()}`);
    return text === undefined ? OTHERWISE : (JSON.parse(text) as Acts);
  } catch {
    return OTHERWISE;
  }
}

type Generator = (body: BodyStream, context: TransformContext<HeaderMap>) => AsyncGenerator<Uint8Array | string>;

const generator = (tag: string): Generator =>
  async function* (body) {
    yield opening(tag);
    for await (const chunk of body) yield mapped(chunk, tag);
    yield closing(tag);
  };

function generators(style: Style, tag: string): Generator | undefined {
  switch (style) {
    case 'generator':
    case 'generator-whole':
      return generator(tag);
    case 'generator-look':
      return async function* (body) {
        for await (const chunk of body) yield chunk;
      };
    case 'bypass':
      // eslint-disable-next-line require-yield -- nothing is made before the rest flows past
      return async function* (_body, context) {
        context.bypass();
      };
    case 'bypass-late':
      return async function* (body, context) {
        for await (const chunk of body) {
          yield chunk;
          break;
        }
        context.bypass();
      };
    case 'double':
      return async function* (body) {
        for await (const chunk of body) yield doubled(chunk);
      };
    case 'thin':
      return async function* (body) {
        for await (const chunk of body) yield thinned(chunk);
      };
    default:
      return undefined;
  }
}

function dataHook(style: Style, tag: string): StreamFilter['decodeData'] {
  const change = (data: BodyBuffer, endStream: boolean): void => {
    if (style === 'go-look' || style === 'whole-look') return;
    if (style === 'go-drop') return data.set('');
    data.set(mapped(data.bytes(), tag));
    if (style === 'whole-go') data.prepend(opening(tag));
    if (style === 'whole-go' || (style === 'go-end' && endStream)) data.append(closing(tag));
  };
  let calls = 0;
  return (data, endStream) => {
    change(data, endStream);
    return style === 'whole-data' && !endStream && calls++ === 0 ? StatusType.StopAndBuffer : StatusType.Continue;
  };
}

function transformStream(tag: string): TransformStream<Uint8Array, Uint8Array> {
  return new TransformStream({
    transform: (chunk, controller) => controller.enqueue(mapped(chunk, tag)),
    flush: (controller) => controller.enqueue(new TextEncoder().encode(closing(tag))),
  });
}

const WHOLE: readonly Style[] = ['whole-go', 'whole-look', 'generator-whole'];
const DATA: readonly Style[] = [
  'go-look',
  'whole-look',
  'go-map',
  'go-end',
  'go-drop',
  'go-watermark',
  'whole-go',
  'whole-data',
];

function headersAnswer(style: Style, endStream: boolean): HeadersStatus {
  if (endStream) return StatusType.Continue;
  if (WHOLE.includes(style)) return StatusType.StopAndBuffer;
  return style === 'go-watermark' ? StatusType.StopAndBufferWatermark : StatusType.Continue;
}

/** The transform or data hook, and the trailers hook, of one direction. */
function bodyHooks(side: 'decode' | 'encode', style: Style, tag: string, callbacks: () => DirectionCallbacks) {
  const hooks: Record<string, unknown> = {};
  const transform = side === 'decode' ? 'transformRequest' : 'transformResponse';
  const made = generators(style, tag);
  if (made !== undefined) hooks[transform] = made;
  else if (style === 'per-chunk') hooks[transform] = perChunk((chunk) => mapped(chunk, tag));
  else if (style === 'per-chunk-look') hooks[transform] = perChunk((chunk) => chunk);
  else if (style === 'per-chunk-same') hooks[transform] = perChunk((chunk) => mapped(chunk, tag), { sameLength: true });
  else if (style === 'per-chunk-same-look') hooks[transform] = perChunk((chunk) => chunk, { sameLength: true });
  else if (style === 'go-same') hooks[`${side}Data`] = sameLength((data) => data.set(mapped(data.bytes(), tag)));
  else if (style === 'transform-stream') hooks[transform] = transformStream(tag);
  else if (DATA.includes(style)) hooks[`${side}Data`] = dataHook(style, tag);
  else if (style === 'trailers' || style === 'add-in-trailers') {
    hooks[`${side}Trailers`] = (trailers: HeaderMap) => {
      if (style === 'trailers') trailers.set(`x-seen-${side}`, tag);
      else callbacks().addData(closing(tag));
    };
  }
  return hooks;
}

async function* inPieces({ size, offset, pieces, pieceMs }: Reply): AsyncGenerator<Uint8Array> {
  const bytes = patternBody(offset, size);
  const most = Math.max(1, Math.ceil(size / pieces));
  for (let at = 0; at < size; at += most) {
    if (pieceMs > 0) await sleep(pieceMs);
    yield bytes.subarray(at, at + most);
  }
}

async function replies(reply: Reply, callbacks: FilterCallbacks, sidePort: number) {
  const { status, size, offset, headers, kind } = reply;
  if (kind === 'whole') {
    return callbacks.sendLocalReply(status, { body: patternBody(offset, size), headers });
  }
  if (kind === 'streamed') return callbacks.reply(status, headers, inPieces(reply));
  const query = `status=${status}&size=${size}&offset=${offset}&gzip=${reply.gzip ? 1 : 0}&length=${reply.length ? 1 : 0}`;
  const answer = await fetch(`http://127.0.0.1:${sidePort}/?${query}`, { signal: callbacks.signal });
  return callbacks.reply(answer.status, answer.headers, answer.body ?? []);
}

/** A reply that needs no await is made inside the hook itself. */
function replyNow(reply: Reply, callbacks: FilterCallbacks, sidePort: number) {
  if (reply.ms < 0 && reply.kind === 'whole')
    return callbacks.sendLocalReply(reply.status, {
      body: patternBody(reply.offset, reply.size),
      headers: reply.headers,
    });
  if (reply.ms < 0 && reply.kind === 'streamed') return callbacks.reply(reply.status, reply.headers, inPieces(reply));
  const slept = reply.ms > 0 ? sleep(reply.ms) : Promise.resolve();
  return slept.then(() => replies(reply, callbacks, sidePort));
}

function headersHook(acts: Acts, side: 'decode' | 'encode', callbacks: FilterCallbacks, { tag, sidePort }: Config) {
  const style = side === 'decode' ? acts.request : acts.response;
  const length = side === 'decode' ? acts.requestLength : acts.responseLength;
  const { reply } = acts;
  const status = side === 'encode' ? acts.status : undefined;
  const replying = reply?.at === `${side}Headers` ? reply : undefined;
  const needed = style.startsWith('headers') || style === 'add-data' || headersAnswer(style, false) !== 2;
  if (!needed && length === undefined && status === undefined && replying === undefined) return undefined;
  const answer = (headers: HeaderMap, endStream: boolean) => {
    if (replying !== undefined) return replyNow(replying, callbacks, sidePort);
    headers.set(`x-seen-${side}`, tag);
    if (status !== undefined) (headers as ResponseHeaders).status = status;
    if (length === '') headers.delete('content-length');
    else if (length !== undefined) headers.set('content-length', length);
    const direction = side === 'decode' ? callbacks.decoderFilterCallbacks() : callbacks.encoderFilterCallbacks();
    if (style === 'add-data') direction.addData(opening(tag));
    return headersAnswer(style, endStream);
  };
  if (style !== 'headers-async') return answer;
  return async (headers: HeaderMap, endStream: boolean) => {
    await sleep(PAUSE_MS);
    return answer(headers, endStream);
  };
}

function hooksOf(acts: Acts, callbacks: FilterCallbacks, config: Config): StreamFilter {
  const hooks = {
    ...bodyHooks('decode', acts.request, config.tag, () => callbacks.decoderFilterCallbacks()),
    ...bodyHooks('encode', acts.response, config.tag, () => callbacks.encoderFilterCallbacks()),
  };
  for (const side of ['decode', 'encode'] as const) {
    const hook = headersHook(acts, side, callbacks, config);
    if (hook !== undefined) hooks[`${side}Headers`] = hook;
  }
  const { reply } = acts;
  if (reply?.at === 'decodeData') hooks['decodeData'] = () => replyNow(reply, callbacks, config.sidePort);
  return hooks as StreamFilter;
}

const filter = (name: string, phases?: readonly Phase[]) =>
  defineFilter({
    name,
    parseConfig: (raw) => raw as unknown as Config,
    ...(phases === undefined ? {} : { phases }),
    create: (config, callbacks) => {
      const hooks = hooksOf(actsOf(callbacks, config.tag), callbacks, config);
      if (phases === undefined) return hooks as object;
      return Object.fromEntries(Object.entries(hooks).filter(([hook]) => phases.includes(hook as Phase)));
    },
  });

const REQUEST: readonly Phase[] = ['decodeHeaders', 'decodeData', 'decodeTrailers'];
const RESPONSE: readonly Phase[] = ['encodeHeaders', 'encodeData', 'encodeTrailers'];

export default [
  filter('framing'),
  filter('framing-a'),
  filter('framing-b'),
  filter('framing-request', REQUEST),
  filter('framing-response', RESPONSE),
  filter('framing-both', [...REQUEST, ...RESPONSE]),
];
