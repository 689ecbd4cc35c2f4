import { pipeline } from 'node:stream';
import { constants, createGunzip, createGzip } from 'node:zlib';
import { ConfigError, defineFilter, type BodyStream, type Json, type StreamFilter } from 'envoy-ts-filter';
import { acceptsGzip, isRewritable, rewriteHeaders } from './headers.js';
import { replaceAll } from './replace.js';

interface Config {
  from: Buffer;
  to: Buffer;
  /** Beyond so many bytes, counted uncompressed before and after the replacement, the response fails. */
  max_expanded_bytes: number;
}

/** Replaces text in gzip responses: expands, rewrites and compresses them piece by piece as they come. */
export default defineFilter({
  name: 'gunzip-rewrite',
  phases: ['decodeHeaders', 'encodeHeaders', 'transformResponse'],
  parseConfig: parse,
  create: (config, callbacks) => {
    const stream: Pick<StreamFilter, 'decodeHeaders' | 'encodeHeaders' | 'transformResponse'> = {
      // Only a filter that subscribes to the request's headers finds them in `callbacks.request` later.
      decodeHeaders() {},
      encodeHeaders(headers, endStream) {
        // The answer to HEAD has no body, but its headers must be those of GET.
        if (!isRewritable(headers) || (endStream && callbacks.request.method !== 'HEAD')) return;
        const compress = acceptsGzip(callbacks.request.getAll('accept-encoding'));
        rewriteHeaders(headers, compress);
        // Only this response has a transform: the body of any other flows past the host.
        stream.transformResponse = (body) => rewriteBody(body, config, compress);
      },
    };
    return stream;
  },
});

/** The code goes to the log; the client gets 500, or a reset when the headers have gone. */
class RewriteError extends Error {
  constructor(
    readonly code: 'BAD_GZIP' | 'EXPANDED_LIMIT',
    message: string,
  ) {
    super(message);
  }
}

const ignoreHere = (): void => {}; // pipeline's errors come out where its last stream is read

/** Each stage reads only as fast as the next one takes, so that memory stays small whatever the gzip expands to. */
async function* rewriteBody(body: BodyStream, config: Config, compress: boolean): AsyncGenerator<Uint8Array> {
  const expanded = pipeline(body, createGunzip({ chunkSize: 65_536 }), ignoreHere);
  const rewritten = replaceAll(bounded(expanded, config), config.from, config.to);
  const checked = bounded(rewritten, config);
  try {
    // A flush for each piece: what the upstream has sent so far does not wait in the compressor.
    yield* compress ? pipeline(checked, createGzip({ flush: constants.Z_SYNC_FLUSH }), ignoreHere) : checked;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code?.startsWith('Z_')) throw new RewriteError('BAD_GZIP', `the response is not sound gzip: ${message}`);
    throw error;
  }
}

async function* bounded(chunks: AsyncIterable<Buffer>, config: Config): AsyncGenerator<Buffer> {
  let left = config.max_expanded_bytes;
  for await (const chunk of chunks) {
    left -= chunk.length;
    if (left < 0) {
      const limit = `max_expanded_bytes (${config.max_expanded_bytes})`;
      throw new RewriteError('EXPANDED_LIMIT', `the response expands beyond ${limit}`);
    }
    yield chunk;
  }
}

const MAX_TEXT_BYTES = 1024;

function parse(raw: Json | undefined): Config {
  const { from, to, max_expanded_bytes = 64 * 1024 * 1024 } = (raw ?? {}) as { readonly [key: string]: Json };
  if (typeof max_expanded_bytes !== 'number' || !Number.isSafeInteger(max_expanded_bytes) || max_expanded_bytes < 1) {
    throw new ConfigError('max_expanded_bytes', 'must be a whole number of bytes, 1 or more');
  }
  return { from: text('from', from, 1), to: text('to', to, 0), max_expanded_bytes };
}

function text(path: string, value: Json | undefined, least: number): Buffer {
  const bytes = Buffer.from(typeof value === 'string' ? value : '');
  if (typeof value === 'string' && bytes.length >= least && bytes.length <= MAX_TEXT_BYTES) return bytes;
  throw new ConfigError(path, `must be a text of ${least} to ${MAX_TEXT_BYTES} bytes`);
}
