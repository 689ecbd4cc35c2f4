import { setTimeout as sleep } from 'node:timers/promises';
import { defineFilter, perChunk, StatusType, type Chunk, type FilterCallbacks, type HeaderMap } from 'envoy-ts-filter';

type Style = 'headers' | 'perChunk' | 'generator' | 'go' | 'whole' | 'hold' | 'bypass' | 'late';

interface Config {
  tag: string;
  style: Style;
  /** What a route sets is seen in the request. */
  note?: string;
}

const parse = (raw: unknown): Config => ({ tag: 'x', style: 'headers', ...(raw as Partial<Config> | undefined) });
const next = (chunk: Uint8Array): Uint8Array => chunk.map((byte) => (byte + 1) & 255);

/**
 * One of several in a chain: it writes its tag to every map, treats bodies by its style, and does what the request asks
 * of its tag: `x-do: b decodeHeaders reply`.
 */
export default defineFilter({
  name: 'member',
  parseConfig: parse,
  parseRouteConfig: (raw) => (raw ?? {}) as Partial<Config>,
  mergeConfig: (own, route): Config => ({ ...own, ...route }),
  create: ({ tag, style, note }, callbacks) => {
    const mark = (map: HeaderMap): void => {
      map.set('x-order', `${map.get('x-order') ?? ''}${tag}`);
      map.add('x-each', tag);
    };
    const doing = wish(callbacks, tag);
    const held = style === 'whole' ? StatusType.StopAndBuffer : StatusType.StopAndBufferWatermark;
    const stops = style === 'whole' || style === 'hold';
    return {
      async decodeHeaders(headers, endStream) {
        mark(headers);
        if (note !== undefined) headers.add('x-note', `${tag}: ${note}`);
        const done = await doing('decodeHeaders', (chunk) => callbacks.decoderFilterCallbacks().addData(chunk));
        return done ?? (stops && !endStream ? held : StatusType.Continue);
      },
      async encodeHeaders(headers, endStream) {
        mark(headers);
        const done = await doing('encodeHeaders', (chunk) => callbacks.encoderFilterCallbacks().addData(chunk));
        return done ?? (stops && !endStream ? held : StatusType.Continue);
      },
      async decodeTrailers(trailers) {
        mark(trailers);
        await doing('decodeTrailers', (chunk) => callbacks.decoderFilterCallbacks().addData(chunk));
      },
      async encodeTrailers(trailers) {
        mark(trailers);
        await doing('encodeTrailers', (chunk) => callbacks.encoderFilterCallbacks().addData(chunk));
      },
      ...bodies(style, tag, doing),
    };
  },
});

type Doing = (phase: string, add?: (chunk: Chunk) => void) => Promise<typeof StatusType.LocalReply | undefined>;

function wish(callbacks: FilterCallbacks, tag: string): Doing {
  return async (phase, add) => {
    const [who, when, what] = (callbacks.request.get('x-do') ?? '').split(' ');
    if (who !== tag || when !== phase) return undefined;
    switch (what) {
      case 'reply-late':
        await sleep(5);
        return callbacks.sendLocalReply(418, { body: `late ${tag}`, headers: { 'x-by': tag }, details: `by_${tag}` });
      case 'reply':
        return callbacks.sendLocalReply(403, { body: `no ${tag}`, headers: { 'x-by': tag }, details: `by_${tag}` });
      case 'reply-empty':
        return callbacks.sendLocalReply(429, { headers: { 'x-by': tag } });
      case 'stream':
        return callbacks.reply(200, { 'x-by': tag }, [`line ${tag}\n`, 'and one more\n']);
      case 'throw':
        throw new Error(`${tag} was told to`);
      case 'add':
        add?.(`+${tag}`);
        return undefined;
      default:
        return undefined;
    }
  };
}

function bodies(style: Style, tag: string, doing: Doing): object {
  switch (style) {
    case 'headers':
      return {};
    case 'perChunk':
      return { transformRequest: perChunk(next), transformResponse: perChunk(next) };
    case 'go': {
      const hook = (chunk: { bytes(): Uint8Array; set(bytes: Uint8Array): void }): undefined => {
        chunk.set(next(chunk.bytes()));
      };
      return { decodeData: hook, encodeData: hook };
    }
    default: {
      const transform = (phase: string) =>
        async function* (
          body: AsyncIterable<Uint8Array>,
          ctx: { bypass(): void; headers: HeaderMap },
        ): AsyncGenerator<Chunk> {
          if ((await doing(phase)) !== undefined) return;
          if (style === 'late') {
            const all: Uint8Array[] = [];
            for await (const chunk of body) all.push(chunk);
            yield Buffer.concat(all);
          } else if (style === 'bypass') {
            for await (const chunk of body) {
              yield `${tag}?`;
              yield chunk;
              break;
            }
            ctx.bypass();
          } else {
            let first = true;
            for await (const chunk of body) {
              if (first && style === 'hold') ctx.headers.set('x-held', tag);
              if (first) yield `<${tag}`;
              first = false;
              yield next(chunk);
            }
            yield `${tag}>`;
          }
        };
      return { transformRequest: transform('transformRequest'), transformResponse: transform('transformResponse') };
    }
  }
}
