/** The torture's filters: one behaviour for each style of ours.ts, the same definition under many names. */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  defineFilter,
  perChunk,
  StatusType,
  type BodyBuffer,
  type BodyStream,
  type DirectionCallbacks,
  type HeaderMap,
  type HeadersStatus,
  type StreamFilter,
} from 'envoy-ts-filter';
import { closing, doubled, mapped, opening, thinned, type OursConfig, type Style } from '../ours.js';

/** Enough to meet every race; more would only make a large body slow. */
const PAUSES_A_BODY = 40;

type Side = 'decode' | 'encode';
type Pause = () => Promise<void> | undefined;

function pauses(most: number): Pause {
  let left = most === 0 ? 0 : PAUSES_A_BODY;
  return () => (left-- > 0 ? sleep(Math.random() * most) : undefined);
}

const generators: Partial<
  Record<Style, (tag: string, pause: Pause) => (body: BodyStream) => AsyncGenerator<Uint8Array | string>>
> = {
  generator: (tag, pause) =>
    async function* (body) {
      yield opening(tag);
      for await (const chunk of body) {
        const out = mapped(chunk, tag);
        await pause();
        yield out.subarray(0, out.length >> 1);
        await pause();
        yield out.subarray(out.length >> 1);
      }
      await pause();
      yield closing(tag);
    },
  double: (_tag, pause) =>
    async function* (body) {
      for await (const chunk of body) {
        await pause();
        yield doubled(chunk);
      }
    },
  thin: (_tag, pause) =>
    async function* (body) {
      for await (const chunk of body) {
        await pause();
        yield thinned(chunk);
      }
    },
};

/** Go's data hook, that keeps every third piece until the next one goes. */
function goData(tag: string, pause: Pause) {
  let pieces = 0;
  return async (data: BodyBuffer, endStream: boolean) => {
    await pause();
    data.set(mapped(data.bytes(), tag));
    if (endStream) data.append(closing(tag));
    return !endStream && ++pieces % 3 === 0 ? StatusType.StopAndBufferWatermark : StatusType.Continue;
  };
}

function transformStream(tag: string, pause: Pause): TransformStream<Uint8Array, Uint8Array> {
  return new TransformStream({
    transform: async (chunk, controller) => {
      await pause();
      controller.enqueue(mapped(chunk, tag));
    },
    flush: (controller) => controller.enqueue(new TextEncoder().encode(closing(tag))),
  });
}

/** What a headers hook answers, after its pause. */
function headersAnswer(style: Style, endStream: boolean): HeadersStatus {
  if (endStream) return StatusType.Continue;
  if (style === 'whole') return StatusType.StopAndBuffer;
  return style === 'go-held' ? StatusType.StopAndBufferWatermark : StatusType.Continue;
}

const OWN_LENGTH: readonly Style[] = ['go', 'go-held', 'add-data'];

/** The hooks of one direction. */
function hooks(side: Side, style: Style, { tag, headersMs, bodyMs }: OursConfig, callbacks: () => DirectionCallbacks) {
  const pause = pauses(bodyMs);
  const out: Record<string, unknown> = {};
  const atHeaders = (headers: HeaderMap, endStream: boolean) => {
    if (OWN_LENGTH.includes(style)) headers.delete('content-length');
    if (style === 'add-data') callbacks().addData(opening(tag));
    return headersAnswer(style, endStream);
  };
  if (headersMs > 0) {
    out[`${side}Headers`] = async (headers: HeaderMap, endStream: boolean) => {
      await sleep(Math.random() * headersMs);
      return atHeaders(headers, endStream);
    };
  } else if (OWN_LENGTH.includes(style) || style === 'whole') {
    out[`${side}Headers`] = atHeaders;
  }
  const transform = side === 'decode' ? 'transformRequest' : 'transformResponse';
  const generator = generators[style];
  if (generator !== undefined) out[transform] = generator(tag, pause);
  else if (style === 'per-chunk') out[transform] = perChunk((chunk) => mapped(chunk, tag));
  else if (style === 'transform-stream') out[transform] = transformStream(tag, pause);
  else if (style === 'go' || style === 'go-held') out[`${side}Data`] = goData(tag, pause);
  else if (style === 'whole') {
    out[`${side}Data`] = async (data: BodyBuffer) => {
      await pause();
      data.set(mapped(data.bytes(), tag));
      data.prepend(opening(tag));
      data.append(closing(tag));
      return StatusType.Continue;
    };
  } else if (style === 'trailers' || style === 'add-data') {
    out[`${side}Trailers`] = async () => {
      await pause();
      callbacks().addData(closing(tag));
    };
  }
  return out;
}

const torture = (name: string) =>
  defineFilter({
    name,
    parseConfig: (raw) => raw as unknown as OursConfig,
    create: (config, callbacks) =>
      ({
        ...hooks('decode', config.request, config, () => callbacks.decoderFilterCallbacks()),
        ...hooks('encode', config.response, config, () => callbacks.encoderFilterCallbacks()),
      }) as StreamFilter as object,
  });

/** A name for each place of each chain: Envoy's log names the filter that reset a stream, and that tells the chain. */
export default Array.from({ length: 48 }, (_, chain) =>
  Array.from({ length: 6 }, (_, place) => torture(`t${chain}-${place}`)),
).flat();
