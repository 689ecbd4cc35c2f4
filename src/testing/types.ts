/** What tests of filters say and get. Public. */
import type { Filter } from '../api/types-definition.js';
import type { Chunk, HeaderInit, HeaderView, Json, RequestView } from '../api/types-data.js';
import type { GivenAttributes, Metadata, RecordedMetric } from './module/envoy-state.js';

export type { GivenAttributes, Metadata, RecordedMetric };

/** A piece of a body; a number is a pause in milliseconds, by `setTimeout`. */
export type Piece = Chunk | number;

/**
 * A body. A string or bytes go in one piece, with a `content-length` unless the headers have one. What is iterated goes
 * piece by piece, no faster than it is taken, and without a length. A body that throws is a peer that resets its
 * connection.
 *
 * @example
 * const chunked: TestBody = ['one ', 30, 'two'];
 */
export type TestBody = Chunk | Iterable<Piece> | AsyncIterable<Piece>;

/** One filter of a list (`filters: [...]`), with its `plugin_config`. */
export interface ListedFilter {
  readonly filter: Filter;
  readonly config?: Json;
}

/** What a mocked cluster, or the upstream, answers. */
export interface TestAnswer {
  /** Default 200. */
  readonly status?: number;
  readonly headers?: HeaderInit;
  readonly body?: TestBody;
  readonly trailers?: HeaderInit;
}

/** The request as the upstream gets it. */
export interface UpstreamRequest extends RequestView {
  /** Once: the pieces as they come. Nothing is read before it is asked for. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Of all of the body. */
  text(): Promise<string>;
  bytes(): Promise<Uint8Array>;
  /** Settles at the request's end. */
  readonly trailers: Promise<HeaderView | undefined>;
}

/**
 * What stands in the upstream's place: an answer, which comes when the request is complete, or a function, called when the
 * request's headers come. A function that throws is an upstream that resets its connection.
 *
 * @example
 * const echo: Upstream = (request) => ({ headers: { 'x-path': request.path }, body: request.body });
 */
export type Upstream = TestAnswer | ((request: UpstreamRequest) => TestAnswer | Promise<TestAnswer>);

/** A call of `callbacks.httpCall`, as the cluster gets it. */
export interface SeenCall extends RequestView {
  readonly cluster: string;
  readonly body: Uint8Array;
  readonly text: string;
}

/**
 * Answers the calls to one cluster. A function that throws is a cluster that resets; one that never settles is a slow one.
 *
 * @example
 * const auth: CallMock = (call) => ({ status: call.has('authorization') ? 200 : 401, body: 'ali' });
 */
export type CallMock =
  TestAnswer | Response | ((call: SeenCall) => TestAnswer | Response | Promise<TestAnswer | Response>);

/** What Envoy has for the stream beside its messages. Given for all requests of a test, or for one. */
export interface TestSurroundings {
  /** Default: 200 without a body. */
  readonly upstream?: Upstream;
  /** Clusters by name. A call to any other one rejects with `TSF_CALL_CLUSTER`. */
  readonly calls?: { readonly [cluster: string]: CallMock };
  /** Envoy's attributes. Those of the request itself (`request.path` …) need not be given. */
  readonly attributes?: GivenAttributes;
  /** Dynamic metadata that filters before this one have written, by namespace. */
  readonly metadata?: Metadata;
  readonly filterState?: Readonly<Record<string, string>>;
}

/** A metric that the operator would declare (`metrics` of filter_config). */
export interface TestMetric {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly labels?: readonly string[];
}

export interface TestFilterOptions extends TestSurroundings {
  /** `plugin_config` of the route; `mergeConfig` gets it. Not for lists. */
  readonly routeConfig?: Json;
  readonly metrics?: readonly TestMetric[];
  readonly secrets?: Readonly<Record<string, string>>;
  /** Which headers the filter may write. */
  readonly headers?: { readonly allow?: readonly string[]; readonly deny?: readonly string[] };
  /** `message_timeout`, default 5000. Fake timers fake it, too. */
  readonly messageTimeoutMs?: number;
  /** `stream_window`, default 256 KiB. */
  readonly streamWindow?: number;
  /** `max_body_bytes`, default 1 MiB. */
  readonly maxBodyBytes?: number;
  /** `max_pending_output`, default 32 MiB. */
  readonly maxPendingOutput?: number;
  /** `ring_bytes`, a power of two, default 1 MiB. */
  readonly ringBytes?: number;
}

/** One request. */
export interface TestRequest extends TestSurroundings {
  /** Default GET, with a body POST. */
  readonly method?: string;
  /** `:authority`, default `test.local`. */
  readonly host?: string;
  /** Default `http`. */
  readonly scheme?: string;
  readonly headers?: HeaderInit;
  readonly body?: TestBody;
  readonly trailers?: HeaderInit;
  /** Awaited before the client takes the next piece: a slow reader. */
  readonly onPiece?: (piece: Uint8Array) => void | Promise<void>;
  /** The client leaves when it aborts. */
  readonly signal?: AbortSignal;
}

/** A message as its receiver got it. */
export interface SeenMessage {
  /** Without pseudo-headers. */
  readonly headers: HeaderView;
  readonly body: Uint8Array;
  /** The body as UTF-8. */
  readonly text: string;
  /** As they came. */
  readonly pieces: readonly Uint8Array[];
  readonly trailers: HeaderView | undefined;
  /** It ended as it should. */
  readonly complete: boolean;
}

/** What the upstream got. */
export interface SeenRequest extends SeenMessage {
  readonly method: string;
  readonly path: string;
  readonly host: string;
}

/** A line of `callbacks.log`, or of the host's. */
export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** What the client got: the same from `testFilter` and from `startEnvoy`. */
export interface Answered extends SeenMessage {
  /** 0: none had come when the stream ended. */
  readonly status: number;
  json(): unknown;
  /** It is complete, and was made by the filter, by the module or by Envoy, not by the upstream. */
  readonly localReply: boolean;
  /** Envoy's response code details: `via_upstream`, those of a reply, or why the client was reset (`ts_filter_timeout` …). */
  readonly details: string | undefined;
  /** The latest, where it was tried more than once; undefined: the upstream was never asked. */
  readonly upstream: SeenRequest | undefined;
}

/** What requests can be sent to, with a proxy or without: one table of cases serves both. */
export interface Target {
  request(path?: string, request?: TestRequest): Promise<Answered>;
}

/**
 * A row of a table that runs with a proxy and without.
 *
 * @example
 * const cases: readonly TestCase[] = [
 *   { name: 'says hello', request: () => ({ upstream: { body: 'hello' } }), check: ({ text }) => assert.equal(text, 'hello') },
 * ];
 * for (const { name, path, request, check } of cases)
 *   test(name, async () => check(await target.request(path, request?.())));
 */
export interface TestCase {
  readonly name: string;
  /** Default `/`. */
  readonly path?: string;
  /** Made for each run: bodies that are iterated are used up. */
  readonly request?: () => TestRequest;
  /** Throws for what is wrong. */
  readonly check: (answer: Answered) => void;
}

/** What `testFilter` can tell besides. */
export interface TestResponse extends Answered {
  /** What the filter threw, the first of it. */
  readonly error: unknown;
  readonly logs: readonly LogLine[];
  /** Lines that went to Envoy's log. */
  readonly envoyLog: readonly { readonly level: number; readonly text: string }[];
  /** Of all requests of this test so far. */
  readonly metrics: readonly RecordedMetric[];
  /** With what was given. */
  readonly metadata: Metadata;
  readonly filterState: Readonly<Record<string, string>>;
  readonly calls: readonly SeenCall[];
  /** By `setUpstreamOverrideHost`. */
  readonly overrideHost: string | undefined;
  /** By `drainConnectionUponCompletion`. */
  readonly drainsConnection: boolean;
}
