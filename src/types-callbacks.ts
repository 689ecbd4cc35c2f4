/** Types of what a filter can ask of its stream. Part of the public API. */
import type { Attribute, AttributeTypes } from './attributes.js';
import type { StatusType } from './types.js';
import type { Chunk, HeaderInit, Json, RequestView } from './types-data.js';

/** `log.info('text')` or `log.info({ fields }, 'text')`. */
export interface LogFn {
  (msg: string): void;
  (fields: object, msg?: string): void;
}

/** Lines carry the request id, the filter's name and the worker. Those at or above the config's `log_level` also go to
 *  Envoy's log. */
export interface Logger {
  debug: LogFn;
  info: LogFn;
  warn: LogFn;
  error: LogFn;
}

/** One object for both directions of a stream, empty at first. Augment the interface to type it. */
// eslint-disable-next-line @typescript-eslint/no-empty-object-type
export interface StreamContext {}

export interface LocalReply {
  body?: Chunk;
  /** `content-length` is set by Envoy, `content-type` is text/plain unless given. Empty values are left out. */
  headers?: HeaderInit;
  /** For gRPC requests; omitted: by Envoy's mapping of the HTTP status. */
  grpcStatus?: number;
  /** Envoy's response code details (`%RESPONSE_CODE_DETAILS%`). */
  details?: string;
}

export interface CallRequest {
  path: string;
  method?: string;
  headers?: HeaderInit;
  body?: Chunk | AsyncIterable<Chunk>;
  timeoutMs?: number;
}

/**
 * What a filter can do with its stream; the second argument of `create`. After the stream's end every call that does
 * something throws `TSF_STREAM_ENDED`, naming the call and the phase; reading goes on working.
 */
export interface FilterCallbacks<A extends Attribute = never> {
  /** `x-request-id`, else one made here. */
  readonly requestId: string;
  /** More than 1 after a replay to another host. */
  readonly attempt: number;
  /** Aborts when the stream dies, not on a normal end; the reason is a StreamAbortedError. */
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly context: StreamContext;
  /** Values of the definition's `attributes`, as they were when the stream began. */
  readonly attributes: { readonly [K in A]: AttributeTypes[K] | undefined };
  /** Throws TSF_NOT_SUBSCRIBED if the request headers were never sent to the host. */
  readonly request: RequestView;
  /**
   * Answers the client itself. Before the response has begun, the reply passes this filter's own encode hooks, as in
   * Go. Throws `TSF_ALREADY_REPLIED`, `TSF_REPLY_LATE` when the response headers have gone, `TSF_REPLY_INVALID`.
   *
   * @example
   * return callbacks.sendLocalReply(403, { body: 'no\n', details: 'no_ticket' });
   */
  sendLocalReply(status: number, reply?: LocalReply): typeof StatusType.LocalReply;
  /**
   * Answers the client with a body that streams, of any length. It does not pass the filter's own encode hooks. Throws
   * as sendLocalReply does.
   *
   * @example
   * return callbacks.reply(200, { 'content-type': 'text/event-stream' }, events(callbacks.signal));
   */
  reply(
    status: number,
    headers: HeaderInit,
    body: AsyncIterable<Chunk> | Iterable<Chunk>,
  ): typeof StatusType.LocalReply;
  /** Adds milliseconds to `message_timeout` of the answer that is waited for. */
  extendTimeout(ms: number): void;
  /** Lets Envoy choose the route anew; ordered with header writes. Only while the request headers are held. */
  clearRouteCache(): void;
  /** Chooses the route anew at once; ordered with header writes. Only while the request headers are held. */
  refreshRouteCache(): void;
  /** Asks Envoy. Rejects with `TSF_PROPERTY_NOT_FOUND` when it has no value, `TSF_PROPERTY_UNKNOWN` for a bad name. */
  getProperty<K extends Attribute>(name: K): Promise<AttributeTypes[K]>;
  /** Throws `TSF_NOT_YET` in this version. */
  httpCall(cluster: string, request: Request | CallRequest): Promise<Response>;
  streamInfo(): StreamInfo;
  decoderFilterCallbacks(): DecoderCallbacks;
  encoderFilterCallbacks(): DirectionCallbacks;
}

/** Go's per-direction callbacks. */
export interface DirectionCallbacks {
  /** Goes on after a hook answered Running; once per Running, otherwise `TSF_NOT_RUNNING`. */
  continue(status: StatusType): void;
  /** In a headers hook: bytes before the body, or a body where there is none. In a trailers hook: bytes after the body.
   *  Elsewhere `TSF_WRONG_PHASE`. `streaming` is accepted as in Go and changes nothing. */
  addData(data: Chunk, streaming?: boolean): void;
  /** Sends bytes on at once, before the chunk in hand. Only in a data hook that waits (after its first `await`, or after
   *  answering Running); elsewhere `TSF_WRONG_PHASE`. */
  injectData(data: Chunk): void;
}

export interface DecoderCallbacks extends DirectionCallbacks {
  /** Throws `TSF_NOT_YET` in this version. */
  setUpstreamOverrideHost(host: string, strict?: boolean): void;
}

/** TLS of the downstream connection; strings are undefined where the certificate has no such entry. */
export interface ConnectionInfo {
  readonly mtls: boolean;
  readonly tlsVersion: string | undefined;
  readonly serverName: string | undefined;
  readonly subjectPeerCertificate: string | undefined;
  readonly subjectLocalCertificate: string | undefined;
  readonly uriSanPeerCertificate: string | undefined;
  readonly uriSanLocalCertificate: string | undefined;
  readonly dnsSanPeerCertificate: string | undefined;
  readonly dnsSanLocalCertificate: string | undefined;
  readonly sha256PeerCertificateDigest: string | undefined;
}

/** What Envoy knows of the stream, asked when called; undefined = it has no value, or not yet. */
export interface StreamInfo {
  /** Index of the Envoy worker. */
  readonly workerId: number;
  routeName(): Promise<string | undefined>;
  filterChainName(): Promise<string | undefined>;
  /** `HTTP/1.1`, `HTTP/2` … */
  protocol(): Promise<string | undefined>;
  responseCode(): Promise<number | undefined>;
  responseCodeDetails(): Promise<string | undefined>;
  attemptCount(): Promise<number | undefined>;
  /** As Envoy writes it: `address:port`. */
  downstreamLocalAddress(): Promise<string | undefined>;
  downstreamRemoteAddress(): Promise<string | undefined>;
  upstreamLocalAddress(): Promise<string | undefined>;
  upstreamRemoteAddress(): Promise<string | undefined>;
  upstreamClusterName(): Promise<string | undefined>;
  virtualClusterName(): Promise<string | undefined>;
  /** undefined on a connection without TLS. */
  downstreamSslConnection(): Promise<ConnectionInfo | undefined>;
  /** Throws `TSF_NOT_YET` in this version. */
  readonly dynamicMetadata: {
    get(ns: string): Promise<{ [key: string]: Json }>;
    set(ns: string, key: string, value: Json): void;
  };
  /** Throws `TSF_NOT_YET` in this version. */
  readonly filterState: {
    getString(key: string): Promise<string | undefined>;
    setString(key: string, value: string): void;
  };
  /** Throws `TSF_NOT_YET` in this version. */
  drainConnectionUponCompletion(): void;
}
