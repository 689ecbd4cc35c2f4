/** Types of what a filter can ask of its stream. Part of the public API. */
import type { Attribute, AttributeTypes } from './attributes.js';
import type { StatusType } from './types.js';
import type { Chunk, HeaderInit, HeaderView, Json, RequestView } from './types-data.js';

/**
 * `log.info('text')` or `log.info({ fields }, 'text')`.
 *
 * @example
 * const tell: LogFn = callbacks.log.warn;
 * tell({ path: headers.path }, 'an old path');
 */
export interface LogFn {
  (msg: string): void;
  (fields: object, msg?: string): void;
}

/**
 * Lines carry the request id, the filter's name and the worker. Those at or above the config's `log_level` also go to
 * Envoy's log.
 *
 * @example
 * const log: Logger = callbacks.log;
 * log.info('a request');
 * log.debug({ agent: headers.get('user-agent') }, 'its agent');
 */
export interface Logger {
  debug: LogFn;
  info: LogFn;
  warn: LogFn;
  error: LogFn;
}

/**
 * One object for both directions of a stream, empty at first. Augment the interface to type it.
 *
 * @example
 * import { defineFilter } from 'envoy-ts-filter';
 *
 * declare module 'envoy-ts-filter' {
 *   interface StreamContext {
 *     began?: number;
 *   }
 * }
 * export default defineFilter({
 *   name: 'timer',
 *   create: (_config, { context }) => ({
 *     decodeHeaders: () => void (context.began = performance.now()),
 *     encodeHeaders: (headers) => void headers.set('x-ms', (performance.now() - (context.began ?? 0)).toFixed(1)),
 *   }),
 * });
 */
// eslint-disable-next-line @typescript-eslint/no-empty-object-type
export interface StreamContext {}

/**
 * What sendLocalReply sends besides the status.
 *
 * @example
 * const reply: LocalReply = {
 *   body: '{"error":"no ticket"}',
 *   headers: { 'content-type': 'application/json' },
 *   grpcStatus: 7,
 *   details: 'no_ticket',
 * };
 * return callbacks.sendLocalReply(403, reply);
 */
export interface LocalReply {
  /** Left out where the answer has none: to HEAD, 204, 304. */
  body?: Chunk;
  /** `content-length` is set by Envoy, `content-type` is text/plain unless given. Empty values are left out. Of a web
   *  Headers beside a body see `reply`. */
  headers?: HeaderInit;
  /** For gRPC requests; omitted: by Envoy's mapping of the HTTP status. */
  grpcStatus?: number;
  /** Envoy's response code details (`%RESPONSE_CODE_DETAILS%`). */
  details?: string;
}

/**
 * A request for `httpCall` that is no web Request.
 *
 * @example
 * const request: CallRequest = { path: '/log', headers: { 'content-type': 'text/plain' }, body: headers.path };
 * const { status } = await callbacks.httpCall('auth', request);
 * callbacks.log.info(`logged: ${status}`);
 */
export interface CallRequest {
  /** With the query; begins with `/` and is percent-encoded. */
  path: string;
  /** Default: GET, with a body POST. */
  method?: string;
  /** `host` becomes `:authority`; without it that is the cluster's name. A connection's own headers (`connection`,
   *  `te`, `upgrade` …) are left out, and so is `content-length` but for a streamed body. */
  headers?: HeaderInit;
  /** A string (UTF-8) or bytes go whole, with `content-length`. What is iterated goes piece by piece, no faster than
   *  Envoy takes it. */
  body?: Chunk | AsyncIterable<Chunk>;
  /** Sent after the body; HTTP/2 clusters and gRPC. */
  trailers?: HeaderInit;
  /** Milliseconds for all of the call, 0 to 2^31 - 1. Default 0: none. */
  timeoutMs?: number;
  /** Cancels the call; the promise, or the body that is read, rejects with the signal's reason. */
  signal?: AbortSignal;
}

/**
 * The web's Response, and the trailers that it has no place for.
 *
 * @example
 * const answer: CallResponse = await callbacks.httpCall('auth', { path: '/whoami' });
 * headers.set('x-user', answer.ok ? (await answer.text()).trim() : 'nobody');
 * const trailers = await answer.trailers;
 * if (trailers?.get('grpc-status') === '0') callbacks.log.info('and gRPC agrees');
 */
export interface CallResponse extends Response {
  /** Settles at the end of the body, undefined = none. Rejects as the body does. */
  readonly trailers: Promise<HeaderView | undefined>;
}

/**
 * A value for each label that the metric was declared with.
 *
 * @example
 * const labels: MetricLabels = { result: headers.has('authorization') ? 'ok' : 'none' };
 * callbacks.metrics.counter('logins').increment(1, labels);
 */
export type MetricLabels = { readonly [label: string]: string };

/**
 * A counter. Values are integers from 0 to 2^53 - 1, else `TSF_ARGUMENT_INVALID`; wrong labels throw
 * `TSF_METRIC_LABELS`. A negative step is ignored, as in Go.
 *
 * @example
 * const requests: CounterMetric = callbacks.metrics.counter('requests');
 * requests.increment();
 * headers.set('x-requests', String(await requests.get()));
 */
export interface CounterMetric {
  /** Adds n, default 1. */
  increment(n?: number, labels?: MetricLabels): void;
  /** Adds n, as in Go. */
  record(n: number, labels?: MetricLabels): void;
  /** What this module has counted since Envoy started. */
  get(labels?: MetricLabels): Promise<number>;
}

/**
 * A gauge; throws as a counter does.
 *
 * @example
 * const open: GaugeMetric = callbacks.metrics.gauge('open');
 * open.increment();
 * headers.set('x-open', String(await open.get()));
 */
export interface GaugeMetric {
  /** Adds n, default 1. A negative n is subtracted, as in Go. */
  increment(n?: number, labels?: MetricLabels): void;
  /** Subtracts n, default 1. */
  decrement(n?: number, labels?: MetricLabels): void;
  /** Sets the gauge. */
  record(value: number, labels?: MetricLabels): void;
  /** What this module has made of it since Envoy started. */
  get(labels?: MetricLabels): Promise<number>;
}

/**
 * A histogram; throws as a counter does.
 *
 * @example
 * const sizes: HistogramMetric = callbacks.metrics.histogram('path_bytes');
 * sizes.record(headers.path.length);
 */
export interface HistogramMetric {
  record(value: number, labels?: MetricLabels): void;
}

/**
 * The metrics that the filter's configuration declares by `metrics`; Envoy has them under
 * `dynamicmodulescustom.<name>`. A name that is not there, or is of another kind, throws `TSF_METRIC_UNKNOWN`. They can be
 * recorded in `onLog`, too, before its first `await`; on Envoy 1.38 that throws `TSF_STREAM_ENDED`.
 *
 * @example
 * const { metrics }: { metrics: Metrics } = callbacks;
 * metrics.gauge('open').record(1);
 */
export interface Metrics {
  counter(name: string): CounterMetric;
  gauge(name: string): GaugeMetric;
  histogram(name: string): HistogramMetric;
}

/**
 * Secrets that Envoy gets by SDS and the filter's configuration names in `secrets`.
 *
 * @example
 * const secrets: SecretManager = callbacks.secretManager();
 * const key = await secrets.getGenericSecret('api-key').catch(() => undefined); // before Envoy 1.40
 * if (key !== undefined) headers.set('x-api-key', key);
 */
export interface SecretManager {
  /** A generic secret of Envoy's, undefined = not there (yet). Rejects with `TSF_UNSUPPORTED` before Envoy 1.40. */
  getGenericSecret(name: string): Promise<string | undefined>;
}

/**
 * Envoy's words for `log_level`.
 *
 * @example
 * const verbose: readonly LogLevel[] = ['trace', 'debug'];
 * if (verbose.includes(callbacks.logLevel())) callbacks.log.debug({ headers: [...headers] }, 'all headers');
 */
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'critical' | 'off';

/**
 * What a filter can do with its stream; the second argument of `create`. After the stream's end every call that does
 * something throws `TSF_STREAM_ENDED`, naming the call and the phase; reading goes on working.
 *
 * @example
 * import { defineFilter, type FilterCallbacks } from 'envoy-ts-filter';
 *
 * class Ticket {
 *   constructor(readonly callbacks: FilterCallbacks<'source.address'>) {}
 *   decodeHeaders() {
 *     if (this.callbacks.request.has('authorization')) return;
 *     this.callbacks.log.info(`no ticket from ${this.callbacks.attributes['source.address']}`);
 *     return this.callbacks.sendLocalReply(401);
 *   }
 * }
 * export default defineFilter({
 *   name: 'ticket',
 *   attributes: ['source.address'],
 *   create: (_config, callbacks) => new Ticket(callbacks),
 * });
 */
export interface FilterCallbacks<A extends Attribute = never> {
  /** `x-request-id`, else one made here. */
  readonly requestId: string;
  /** 1; with `failure_mode: replay` one more each time that a lost host may have seen this stream before. What hooks did
   *  there beside their answers (metadata, metrics, calls, writes to a database) stays done. */
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
   * Answers the client with a body that streams, of any length; null is none. It does not pass the filter's own encode
   * hooks. Throws as sendLocalReply does.
   *
   * `content-length` need not be given: an array's is known. One that is given must be true, else `TSF_LENGTH_WRONG` and a
   * broken answer. Answers to HEAD, 204 and 304 have no body; an iterator of one is closed before it begins.
   *
   * A web Headers beside a body is taken for that of a `fetch`, which has decoded the body: `content-encoding` and
   * `content-length` are left out, and the answer of a fetch can be given as it is. An answer of `httpCall` is not decoded and keeps
   * them. A body that the filter has encoded itself takes its headers as an object or a list of pairs.
   *
   * @example
   * const found = await fetch('data:text/plain,from elsewhere');
   * return callbacks.reply(found.status, found.headers, found.body);
   *
   * @example
   * async function* ticks() {
   *   for (let i = 0; i < 3 && !callbacks.signal.aborted; i++) {
   *     yield `data: ${i}\n\n`;
   *     await new Promise((resolve) => setTimeout(resolve, 10));
   *   }
   * }
   * return callbacks.reply(200, { 'content-type': 'text/event-stream' }, ticks());
   */
  reply(
    status: number,
    headers: HeaderInit,
    body: AsyncIterable<Chunk> | Iterable<Chunk> | null,
  ): typeof StatusType.LocalReply;
  /**
   * Adds milliseconds to `message_timeout` of the answer that is waited for.
   *
   * @example
   * callbacks.extendTimeout(30_000);
   * await callbacks.httpCall('auth', { path: '/slow', timeoutMs: 30_000 });
   */
  extendTimeout(ms: number): void;
  /**
   * Lets Envoy choose the route anew; ordered with header writes. Only while the request headers are held.
   *
   * @example
   * headers.path = '/v2' + headers.path;
   * callbacks.clearRouteCache();
   */
  clearRouteCache(): void;
  /**
   * Chooses the route anew at once; ordered with header writes. Only while the request headers are held.
   *
   * @example
   * headers.host = 'tenant-a.local';
   * callbacks.refreshRouteCache();
   * headers.set('x-route', (await callbacks.streamInfo().routeName()) ?? 'none');
   */
  refreshRouteCache(): void;
  /**
   * Asks Envoy, after the header writes so far: what it answers is what they made of it. Rejects with
   * `TSF_PROPERTY_NOT_FOUND` when it has no value, `TSF_PROPERTY_UNKNOWN` for a name that is none of its attributes,
   * `TSF_PROPERTY_STRUCTURED` for a map or a message.
   *
   * @example
   * headers.set('x-forwarded-by', await callbacks.getProperty('destination.address'));
   */
  getProperty<K extends Attribute>(name: K): Promise<AttributeTypes[K]>;
  /**
   * A request of the filter's own to one of Envoy's clusters, with its load balancing, TLS and connection pools. Resolves
   * when the answer's headers come; the body streams. Of a web Request its path and query go, its host as `:authority`,
   * and its signal cancels. Cancelling the body cancels the call, and so does the end of the stream.
   *
   * Rejects, or errors the body, with `TSF_CALL_CLUSTER` (no such cluster), `TSF_CALL_FAILED` (reset, timeout, refused),
   * `TSF_CALL_LIMIT` (more than 32 MiB of the answer unread), a StreamAbortedError when the stream ends,
   * `TSF_ARGUMENT_INVALID` and the codes of bad headers when the request cannot be made.
   *
   * @example
   * const answer = await callbacks.httpCall('auth', {
   *   path: '/verify',
   *   headers: { authorization: callbacks.request.get('authorization') ?? '' },
   *   timeoutMs: 500,
   * });
   * if (!answer.ok) callbacks.sendLocalReply(403, { body: 'no\n' });
   */
  httpCall(cluster: string, request: Request | CallRequest): Promise<CallResponse>;
  /**
   * Ends this stream and begins it anew with the request headers as they are, earlier writes included: new filter
   * instances, as after an internal redirect. Like a reply: once, answer LocalReply, and nothing may follow. Envoy
   * can do it while it has the request's body whole: it waits for the end of the body, and when the body has gone on
   * (an encode hook of a request that had one) the stream fails with 500 `ts_filter_recreate_refused`. Throws as
   * sendLocalReply does. What the new instance must know, keep outside the stream (`runtime.perWorker`).
   *
   * @example
   * export default defineFilter({
   *   name: 'retry-login',
   *   create: (_config, callbacks) => ({
   *     encodeHeaders: (headers) => (headers.status === 401 ? callbacks.recreateStream() : undefined),
   *   }),
   * });
   */
  recreateStream(): typeof StatusType.LocalReply;
  /**
   * Counters, gauges and histograms in Envoy's own statistics.
   *
   * @example
   * callbacks.metrics.counter('logins').increment(1, { result: 'ok' });
   */
  readonly metrics: Metrics;
  /**
   * Secrets that Envoy gets by SDS.
   *
   * @example
   * const key = await callbacks.secretManager().getGenericSecret('api-key').catch(() => undefined);
   * if (key === undefined) return callbacks.sendLocalReply(503, { details: 'no_api_key' });
   */
  secretManager(): SecretManager;
  /**
   * The configuration's `log_level`: lines of `log` at or above it also go to Envoy's log.
   *
   * @example
   * if (callbacks.logLevel() === 'debug') callbacks.log.debug({ headers: [...headers] }, 'request');
   */
  logLevel(): LogLevel;
  /**
   * What Envoy knows of the stream.
   *
   * @example
   * const { workerId } = callbacks.streamInfo();
   * callbacks.log.info(`on Envoy's worker ${workerId}`);
   */
  streamInfo(): StreamInfo;
  /**
   * What can be done with the request.
   *
   * @example
   * callbacks.decoderFilterCallbacks().addData('a body for a request without one');
   */
  decoderFilterCallbacks(): DecoderCallbacks;
  /**
   * What can be done with the response.
   *
   * @example
   * encodeTrailers() {
   *   callbacks.encoderFilterCallbacks().addData('-- end --');
   * }
   */
  encoderFilterCallbacks(): DirectionCallbacks;
}

/**
 * Go's per-direction callbacks.
 *
 * @example
 * const request: DirectionCallbacks = callbacks.decoderFilterCallbacks();
 * setTimeout(() => request.continue(StatusType.Continue), 10);
 * return StatusType.Running;
 */
export interface DirectionCallbacks {
  /**
   * Goes on after a hook answered Running; once per Running, otherwise `TSF_NOT_RUNNING`.
   *
   * @example
   * decodeHeaders() {
   *   setImmediate(() => callbacks.decoderFilterCallbacks().continue(StatusType.Continue));
   *   return StatusType.Running;
   * }
   */
  continue(status: StatusType): void;
  /**
   * In a headers hook: bytes before the body, or a body where there is none. In a trailers hook: bytes after the body.
   * Elsewhere `TSF_WRONG_PHASE`. `streaming` is accepted as in Go and changes nothing.
   *
   * @example
   * encodeHeaders() {
   *   callbacks.encoderFilterCallbacks().addData('-- begin --\n');
   * }
   */
  addData(data: Chunk, streaming?: boolean): void;
  /**
   * Sends bytes on at once, before the chunk in hand. Only in a data hook that waits (after its first `await`, or after
   * answering Running); elsewhere `TSF_WRONG_PHASE`.
   *
   * @example
   * async decodeData() {
   *   await Promise.resolve();
   *   callbacks.decoderFilterCallbacks().injectData('before each piece: ');
   * }
   */
  injectData(data: Chunk): void;
}

/**
 * Go's callbacks of the request.
 *
 * @example
 * const request: DecoderCallbacks = callbacks.decoderFilterCallbacks();
 * const host = headers.get('x-host');
 * if (host !== undefined) request.setUpstreamOverrideHost(host, true);
 */
export interface DecoderCallbacks extends DirectionCallbacks {
  /**
   * Chooses the upstream host: an IP address and a port, as `10.0.0.1:80` or `[::1]:80`, else `TSF_ARGUMENT_INVALID`.
   * Only before the request headers go on. `strict`: no other host will do when the cluster does not have this one.
   *
   * @example
   * callbacks.decoderFilterCallbacks().setUpstreamOverrideHost('10.0.0.1:8080');
   */
  setUpstreamOverrideHost(host: string, strict?: boolean): void;
}

/**
 * TLS of the downstream connection; strings are undefined where the certificate has no such entry.
 *
 * @example
 * const tls: ConnectionInfo | undefined = await callbacks.streamInfo().downstreamSslConnection();
 * headers.set('x-client', tls?.subjectPeerCertificate ?? 'unknown');
 */
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

/**
 * What Envoy knows of the stream, asked when called; undefined = it has no value, or not yet.
 *
 * @example
 * async encodeHeaders(headers) {
 *   const info: StreamInfo = callbacks.streamInfo();
 *   headers.set('x-upstream', (await info.upstreamRemoteAddress()) ?? 'none');
 * }
 */
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
  /** Of the client, as Envoy's `%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%`: what a limit per client goes by, since each of its
   *  connections has a port of its own. */
  downstreamRemoteAddressWithoutPort(): Promise<string | undefined>;
  upstreamLocalAddress(): Promise<string | undefined>;
  upstreamRemoteAddress(): Promise<string | undefined>;
  upstreamClusterName(): Promise<string | undefined>;
  virtualClusterName(): Promise<string | undefined>;
  /** undefined on a connection without TLS. */
  downstreamSslConnection(): Promise<ConnectionInfo | undefined>;
  /**
   * Dynamic metadata, by which filters and access logs speak to each other (`%DYNAMIC_METADATA(ns:key)%`).
   *
   * @example
   * const { dynamicMetadata } = callbacks.streamInfo();
   * dynamicMetadata.set('my-filter', 'tier', 'gold');
   * const { tier } = await dynamicMetadata.get('my-filter');
   */
  readonly dynamicMetadata: {
    /** All of a namespace; an empty object when it has nothing. Envoy does not tell what is nested: such values are
     *  null here. */
    get(ns: string): Promise<{ [key: string]: Json }>;
    /** Numbers, strings, booleans and lists of one of them go everywhere; null, objects, empty and mixed lists throw
     *  `TSF_UNSUPPORTED` before Envoy 1.40, and a list is there to stay: a second one for its key is
     *  ignored, with a warning in Envoy's log. What is no JSON, or nested deeper than 30, throws `TSF_ARGUMENT_INVALID`. */
    set(ns: string, key: string, value: Json): void;
  };
  /**
   * Filter state: strings for other filters and for access logs (`%FILTER_STATE(key:PLAIN)%`).
   *
   * @example
   * callbacks.streamInfo().filterState.setString('tenant', 'acme');
   */
  readonly filterState: {
    /** undefined = not set. */
    getString(key: string): Promise<string | undefined>;
    /** Read-only from then on: Envoy ignores a second set of one key, with a warning in its log. */
    setString(key: string, value: string): void;
  };
  /** The downstream connection is closed once this stream is complete: `connection: close`, GOAWAY. */
  drainConnectionUponCompletion(): void;
}
