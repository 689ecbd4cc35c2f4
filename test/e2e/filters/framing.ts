import {
  defineFilter,
  perChunk,
  sameLength,
  StatusType,
  type BodyStream,
  type Chunk,
  type FilterCallbacks,
  type HeadersStatus,
  type StreamFilter,
  type TransformContext,
  type HeaderMap,
} from 'envoy-ts-filter';

/** How a body goes through the filter. */
export type Style =
  'hook' | 'perChunk' | 'generator' | 'through' | 'bypass' | 'whole' | 'watermark' | 'sameHook' | 'samePerChunk';
export interface Half {
  style?: Style;
  /** Behind the body. */
  more?: string;
  /** Written as content-length by the headers hook. */
  length?: string;
  /** addData in the headers hook. */
  add?: string;
}
export interface FramingConfig {
  request?: Half;
  response?: Half;
  /** Of the response, set by encodeHeaders. */
  status?: number;
  /** A request whose query has `reply` is answered so by decodeHeaders, one with `replace` by encodeHeaders. */
  reply?: 'whole' | 'streamed' | 'late';
  replyStatus?: number;
  replyHeaders?: Record<string, string>;
  /** Instead of a reply of its own: what a fetch of the request's path from there brings. */
  fetch?: string;
  /** Milliseconds before the reply. */
  pause?: number;
}

const REPLY = 'a reply of thirty-one bytes ...';

/** Bodies and replies in every style, by its config. */
export default defineFilter({
  name: 'framing',
  parseConfig: (raw) => (raw ?? {}) as FramingConfig,
  create(config, callbacks) {
    const request = styled(config.request ?? {});
    const response = styled(config.response ?? {});
    const filter: StreamFilter = {
      decodeHeaders(headers, endStream) {
        if (config.reply !== undefined && headers.path.includes('reply')) return reply(config, callbacks);
        const { length, add } = config.request ?? {};
        if (length !== undefined) headers.set('content-length', length);
        if (add !== undefined) callbacks.decoderFilterCallbacks().addData(add);
        return endStream ? StatusType.Continue : answer(config.request);
      },
      encodeHeaders(headers, endStream) {
        if (config.reply !== undefined && callbacks.request.path.includes('replace')) return reply(config, callbacks);
        const { length, add } = config.response ?? {};
        if (config.status !== undefined) headers.status = config.status;
        if (length !== undefined) headers.set('content-length', length);
        if (add !== undefined) callbacks.encoderFilterCallbacks().addData(add);
        return endStream ? StatusType.Continue : answer(config.response);
      },
      ...(request.hook && { decodeData: request.hook }),
      ...(request.transform && { transformRequest: request.transform }),
      ...(response.hook && { encodeData: response.hook }),
      ...(response.transform && { transformResponse: response.transform }),
    };
    // which style it has in a direction is not for the types to know
    return filter as Pick<StreamFilter, 'decodeHeaders' | 'encodeHeaders'>;
  },
});

const answer = (half: Half | undefined): HeadersStatus =>
  half?.style === 'whole'
    ? StatusType.StopAndBuffer
    : half?.style === 'watermark'
      ? StatusType.StopAndBufferWatermark
      : StatusType.Continue;

interface Styled {
  hook?: NonNullable<StreamFilter['decodeData']>;
  transform?: NonNullable<StreamFilter['transformRequest']> & NonNullable<StreamFilter['transformResponse']>;
}

function styled({ style, more }: Half): Styled {
  switch (style) {
    case 'hook':
    case 'whole':
      return {
        hook(data, endStream) {
          if (endStream && more !== undefined) data.append(more);
        },
      };
    case 'sameHook':
      return {
        hook: sameLength((data, endStream) => {
          if (endStream && more !== undefined) data.append(more);
        }),
      };
    case 'samePerChunk':
      return {
        transform: perChunk((chunk, last) => (last && more !== undefined ? [chunk, more] : chunk), {
          sameLength: true,
        }),
      };
    case 'perChunk':
      return {
        transform: perChunk((chunk, last) => (last && more !== undefined ? [chunk, more] : chunk)),
      };
    case 'through':
      return {
        transform: new TransformStream<Uint8Array, Uint8Array>({
          flush(controller) {
            if (more !== undefined) controller.enqueue(Buffer.from(more));
          },
        }),
      };
    case 'bypass':
      return {
        // eslint-disable-next-line require-yield -- it lets go of all of it
        async *transform(_body: BodyStream, ctx: TransformContext<HeaderMap>): AsyncGenerator<Chunk> {
          await Promise.resolve();
          ctx.bypass();
        },
      };
    case 'generator':
    case 'watermark':
      return {
        async *transform(body: BodyStream): AsyncGenerator<Chunk> {
          for await (const chunk of body) yield chunk;
          if (more !== undefined) yield more;
        },
      };
    default:
      return {};
  }
}

function reply(
  config: FramingConfig,
  callbacks: FilterCallbacks,
): typeof StatusType.LocalReply | Promise<typeof StatusType.LocalReply> {
  if (config.fetch !== undefined) return fetched(config, callbacks);
  const { pause, ...rest } = config;
  if (pause !== undefined)
    return new Promise((resolve) => setTimeout(resolve, pause)).then(() => reply(rest, callbacks));
  const status = config.replyStatus ?? 200;
  const headers = config.replyHeaders ?? {};
  if (config.reply === 'whole') return callbacks.sendLocalReply(status, { headers, body: REPLY });
  return callbacks.reply(status, headers, config.reply === 'late' ? late() : [REPLY.slice(0, 9), REPLY.slice(9)]);
}

async function fetched(config: FramingConfig, callbacks: FilterCallbacks): Promise<typeof StatusType.LocalReply> {
  const { status, headers, body } = await fetch(new URL(callbacks.request.path, config.fetch));
  if (config.reply !== 'whole') return callbacks.reply(status, headers, body);
  return callbacks.sendLocalReply(status, { headers, body: await new Response(body).text() });
}

async function* late(): AsyncGenerator<Chunk> {
  yield REPLY.slice(0, 9);
  await new Promise((resolve) => setTimeout(resolve, 30));
  yield REPLY.slice(9);
}
