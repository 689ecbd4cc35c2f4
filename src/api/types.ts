/** Types of a filter and its hooks. Part of the public API. */
import type { Attribute, AttributeTypes } from './attributes.js';
import type {
  BodyBuffer,
  HeaderMap,
  HeaderView,
  MaybePromise,
  RequestHeaders,
  RequestView,
  ResponseHeaders,
  Transform,
} from './types-data.js';

/**
 * What a hook answers; the words and numbers of Envoy's Golang filter.
 *
 * @example
 * decodeHeaders(headers, endStream) {
 *   return endStream ? StatusType.Continue : StatusType.StopAndBuffer;
 * },
 * decodeData(data) {
 *   data.set(data.text().trim());
 * },
 */
export const StatusType = {
  /** Goes on later, by `continue(status)`. A hook that returns a promise need not say so. */
  Running: 0,
  /** A reply was made (`sendLocalReply`, `reply`). */
  LocalReply: 1,
  /** Goes on now. Answering nothing means the same. */
  Continue: 2,
  /** From a headers hook: holds everything until the whole body is there; then the data hook is called once, or the
   *  transform gets one chunk. From a data hook: keeps this chunk; the rest of the body makes one more call, and then all
   *  goes on in order. Bounded by `max_body_bytes`: over it 413 (request) or 500 (response). */
  StopAndBuffer: 3,
  /** From a headers hook: holds the headers until the first byte of the body goes on. From a data hook: keeps this
   *  chunk, hands over the next. */
  StopAndBufferWatermark: 4,
  /** Data hooks only: drops this chunk. */
  StopNoBuffer: 5,
} as const;
type S = typeof StatusType;
export type StatusType = S[keyof S];
export type HeadersStatus = Exclude<StatusType, S['StopNoBuffer']>;
export type TrailersStatus = S['Running' | 'LocalReply' | 'Continue'];
/** No value = Continue. A promise = Running; its value is the continue status. */
export type Answer<T extends StatusType> = MaybePromise<T | void>;

/**
 * One filter on one stream: what `create` returns. Every member is optional, and only the phases that it has are sent
 * to the host. Per direction a filter has either the data hook or the transform, not both.
 *
 * A hook that throws or rejects fails the stream with 500 `error happened in filter`, or resets it when the response
 * headers have gone; nothing else is harmed.
 *
 * @example
 * import { defineFilter, perChunk, type RequestHeaders, type StreamFilter } from 'envoy-ts-filter';
 *
 * class Meter implements StreamFilter {
 *   #bytes = 0;
 *   decodeHeaders(headers: RequestHeaders) {
 *     headers.delete('x-internal');
 *   }
 *   transformRequest = perChunk((chunk) => {
 *     this.#bytes += chunk.length;
 *     return chunk;
 *   });
 *   onDestroy() {
 *     console.log(`${this.#bytes} bytes`);
 *   }
 * }
 * export default defineFilter({ name: 'meter', create: () => new Meter() });
 */
export interface StreamFilter {
  /** `endStream`: no body follows. Answering StopAndBuffer or StopAndBufferWatermark then is a mistake of the filter. */
  decodeHeaders?(headers: RequestHeaders, endStream: boolean): Answer<HeadersStatus>;
  /** One piece of the request's body. With trailers to come, the last piece has `endStream` false. */
  decodeData?(data: BodyBuffer, endStream: boolean): Answer<StatusType>;
  /** After the last byte of the body. */
  decodeTrailers?(trailers: HeaderMap): Answer<TrailersStatus>;
  encodeHeaders?(headers: ResponseHeaders, endStream: boolean): Answer<HeadersStatus>;
  encodeData?(data: BodyBuffer, endStream: boolean): Answer<StatusType>;
  encodeTrailers?(trailers: HeaderMap): Answer<TrailersStatus>;
  transformRequest?: Transform<RequestHeaders>;
  transformResponse?: Transform<ResponseHeaders>;
  /** When Envoy has taken the request's headers, before decodeHeaders of any filter. Needs the module's access logger
   *  with `flush_access_log_on_new_request` (docs/lifecycle.md, "Log hooks"). Log hooks are never awaited; what they throw
   *  or reject with is logged and harms nothing. An event for which the ring has no room is lost. */
  onLogDownstreamStart?(entry: LogEntry): void;
  /** Every `access_log_flush_interval` while the stream lives. Needs the module's access logger. */
  onLogDownstreamPeriodic?(entry: LogEntry): void;
  /** When Envoy writes the access log, once, for every stream that a host had begun. Envoy's stream is over then: calls that
   *  need it fail with `TSF_STREAM_ENDED`, but declared attributes can be read and asked for. */
  onLog?(entry: LogEntry): void;
  /** After onLog. */
  onStreamComplete?(): void;
  /** Once, last, never awaited. */
  onDestroy?(reason: 'complete' | 'reset' | 'host_drain'): void;
}

/**
 * What a log hook gets: the stream as it is at that moment, for `onLog` as it was in the end.
 *
 * @example
 * const { request, response, attributes }: LogEntry = entry;
 * const sent = attributes['response.size'] ?? 0;
 * callbacks.log.info(`${request.path}: ${response?.get(':status') ?? 'no response'}, ${String(sent)} bytes`);
 */
export interface LogEntry {
  /** The definition's `attributes` as they are now; those that it does not declare are undefined. Reading them costs
   *  nothing more, also when the stream is over. */
  readonly attributes: { readonly [K in Attribute]: AttributeTypes[K] | undefined };
  request: RequestView;
  requestTrailers?: HeaderView;
  response?: HeaderView;
  responseTrailers?: HeaderView;
}

/**
 * What can stand in a definition's `phases`.
 *
 * @example
 * const phases = ['decodeHeaders', 'onLog'] as const satisfies readonly Phase[];
 * export default defineFilter({
 *   name: 'quiet',
 *   phases,
 *   create: (_config, { log }) => ({ onLog: ({ response }) => log.info(response?.get(':status') ?? 'no response') }),
 * });
 */
export type Phase = Exclude<keyof StreamFilter, 'onDestroy'>;
