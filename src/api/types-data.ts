/** Types of what flows through a filter: headers, bodies, transforms. Part of the public API. */

/** A value or a promise of it. */
export type MaybePromise<T> = T | Promise<T>;

/**
 * Any JSON value.
 *
 * @example
 * const answer: Json = { path: headers.path, names: [...headers].map(([name]) => name) };
 * return callbacks.sendLocalReply(200, { body: JSON.stringify(answer) });
 */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/**
 * What an author may emit. Strings are sent as UTF-8. Emitted memory must not change until the next step: the next
 * `yield`, the next call of a `perChunk` function, the hook's end.
 *
 * @example
 * const parts: Chunk[] = ['text, ', new Uint8Array([0x62, 0x79, 0x74, 0x65, 0x73])];
 * for (const part of parts) data.append(part);
 */
export type Chunk = Uint8Array | string;

/**
 * Headers or trailers, to read. Not the web's Headers: pseudo-headers (`:path`, `:status` …), duplicate lines and
 * their order are kept. Names compare without case. Values are latin1, one code unit per byte, as they came.
 *
 * @example
 * const view: HeaderView = headers;
 * for (const [name, value] of view) callbacks.log.debug(`${name}: ${value}`);
 * if (view.getAll('cookie').length > 1) callbacks.log.info('several cookie lines');
 */
export interface HeaderView extends Iterable<[name: string, value: string]> {
  /** First line of that name, as in Go. `host` finds `:authority` in request headers. */
  get(name: string): string | undefined;
  /** All lines of that name, in order (Go: `values`). */
  getAll(name: string): string[];
  /** First line of that name as bytes; a copy. */
  getRaw(name: string): Uint8Array | undefined;
  has(name: string): boolean;
  /** Number of lines, pseudo-headers included. */
  readonly size: number;
  /** As the web's Headers, without pseudo-headers; a copy. */
  toHeaders(): Headers;
}

/**
 * Headers or trailers that can be written as long as they are held: until the hook that got them has answered
 * Continue, or after StopAndBuffer and StopAndBufferWatermark until the first byte of the body goes on. Reads see
 * earlier writes. Every write may throw
 * - `TSF_HEADERS_SENT`: they went on;
 * - `TSF_HEADER_EMPTY`: the value is '', which Envoy cannot write;
 * - `TSF_HEADER_INVALID`: the name is no HTTP token, or the value has CR, LF, NUL or a code unit above 0xff;
 * - `TSF_HEADER_PSEUDO`: requests may `set` `:path :method :scheme :authority`, responses `:status` (200–599); no
 *   pseudo-header can be deleted or added a second time;
 * - `TSF_HEADER_REFUSED`: the operator's `headers.allow` / `headers.deny` forbid it.
 *
 * @example
 * const map: HeaderMap = headers;
 * map.set('x-one', '1').add('x-many', 'a').add('x-many', 'b').delete('x-secret');
 */
export interface HeaderMap extends HeaderView {
  /** Replaces all lines of that name by one. */
  set(name: string, value: string): this;
  /** One more line. Envoy itself joins the lines of some well-known headers with a comma. */
  add(name: string, value: string): this;
  /** Removes all lines of that name (Go: `del`). */
  delete(name: string): this;
}

/** The request line, from the pseudo-headers; '' when one is absent. */
export interface RequestLine {
  scheme: string;
  method: string;
  /** With the query. Writing it does not choose another route: see `callbacks.clearRouteCache`. */
  path: string;
  /** `:authority` */
  host: string;
}

/**
 * What decodeHeaders gets.
 *
 * @example
 * if (headers.method === 'GET' && headers.path.startsWith('/old/')) {
 *   headers.path = headers.path.replace('/old/', '/new/');
 *   callbacks.clearRouteCache();
 * }
 */
export interface RequestHeaders extends HeaderMap, RequestLine {}

/**
 * Request headers to read, at any time of the stream.
 *
 * @example
 * encodeHeaders(headers) {
 *   const request: RequestView = callbacks.request;
 *   headers.set('x-asked', `${request.method} ${request.path}`);
 * }
 */
export interface RequestView extends HeaderView, Readonly<RequestLine> {}

/**
 * What encodeHeaders gets.
 *
 * @example
 * if (headers.status === 404) headers.status = 410;
 */
export interface ResponseHeaders extends HeaderMap {
  /** 200–599 when written. */
  status: number;
}

/**
 * What the headers of a reply or a call can be given as.
 *
 * @example
 * const cookies: HeaderInit = { 'content-type': 'text/plain', 'set-cookie': ['a=1', 'b=2'] };
 * return callbacks.sendLocalReply(200, { headers: cookies, body: 'hello\n' });
 */
export type HeaderInit =
  Headers | Iterable<readonly [string, string]> | { readonly [name: string]: string | readonly string[] };

/**
 * One piece of a body in a data hook, Go's BufferInstance. Valid until the hook settles; then every member throws
 * `TSF_BUFFER_GONE`.
 *
 * @example
 * if (data.text().startsWith('\ufeff')) data.drain(3);
 * if (endStream) data.append('-- end --\n');
 */
export interface BodyBuffer {
  /** Bytes (Go: `len()`). */
  readonly length: number;
  /** A copy of all bytes. */
  bytes(): Uint8Array;
  /** A copy, decoded as UTF-8; broken sequences become U+FFFD. */
  text(): string;
  /** Replaces everything. */
  set(data: Chunk): void;
  append(data: Chunk): void;
  prepend(data: Chunk): void;
  /** Removes the first n bytes. n ≤ 0 does nothing, too large an n removes all. */
  drain(n: number): void;
}

/**
 * The body of a message, for a transform. One-shot. Asking for the next chunk acknowledges the one before, which is
 * what lets more of the body come. `break` does not cancel: iterate again to go on. When the stream dies it rejects
 * with StreamAbortedError, it never just ends. Chunks are plain Uint8Arrays on memory of their own, never empty.
 *
 * @example
 * const size = body.contentLength;
 * callbacks.log.info(size === undefined ? 'of unknown size' : `${size} bytes`);
 * for await (const chunk of body) yield chunk;
 */
export interface BodyStream extends AsyncIterable<Uint8Array> {
  /** From the `content-length` that came, if it had one. */
  readonly contentLength?: number;
}

/**
 * The second argument of a transform.
 *
 * @example
 * for await (const chunk of body) {
 *   yield chunk;
 *   if (ctx.headers.has('x-only-first')) {
 *     ctx.bypass();
 *     return;
 *   }
 * }
 * const trailers = await ctx.trailers;
 * trailers?.set('x-seen', 'yes');
 */
export interface TransformContext<H extends HeaderMap> {
  /** The headers of the message; writable until they went on. */
  readonly headers: H;
  /** Settles at the end of the input; undefined = the message has none. */
  readonly trailers: Promise<HeaderMap | undefined>;
  /** The same as `callbacks.signal`. */
  readonly signal: AbortSignal;
  /** After the transform returns, the rest of the body flows past the host, unchanged. */
  bypass(): void;
}

/** An async generator, or any function that returns an async iterable. */
export type StreamTransform<H extends HeaderMap> = (body: BodyStream, ctx: TransformContext<H>) => AsyncIterable<Chunk>;

/** Only a type: what tells a ChunkTransform from other objects. */
export declare const chunkBrand: unique symbol;
/** Made by `perChunk`. */
export interface ChunkTransform {
  readonly [chunkBrand]: true;
}

/**
 * How a body is changed while it streams: an async generator, `perChunk(fn)`, or a TransformStream (an instance is good
 * for one stream, so make it inside `create`). Returning before the input's end ends the body there.
 *
 * Transforms do not run for messages without a body (headers-only, answers to HEAD, 204, 304) nor on upgraded streams.
 *
 * @example
 * async *transformResponse(body, ctx) {
 *   const decoder = new TextDecoder();
 *   for await (const chunk of body) yield decoder.decode(chunk, { stream: true }).toUpperCase();
 *   yield decoder.decode();
 * }
 *
 * @example
 * export default defineFilter({
 *   name: 'gzip',
 *   create: () => ({
 *     encodeHeaders: (headers) => void headers.set('content-encoding', 'gzip'),
 *     transformResponse: new CompressionStream('gzip') as TransformStream<Uint8Array, Uint8Array>,
 *   }),
 * });
 */
export type Transform<H extends HeaderMap> =
  StreamTransform<H> | ChunkTransform | TransformStream<Uint8Array, Uint8Array>;
