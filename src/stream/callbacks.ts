/** FilterCallbacks: what the author asks of a stream. One small object per stream; the rest is made when asked for. */
import { isIP, isIPv6 } from 'node:net';
import { type Attribute, type AttributeTypes, decodeAttributes } from '../api/attributes.js';
import { FilterError } from '../api/errors.js';
import { RequestViewImpl } from '../headers/header-views.js';
import type { HeaderMapImpl, RequestHeadersImpl } from '../headers/headers.js';
import { StreamInfoImpl, unsupported, utf8 } from './info.js';
import { makeLogger } from './logger.js';
import { StreamMetrics } from './metrics.js';
import type { Calls } from './calls.js';
import type { StreamConfig } from './config.js';
import type { Envoy } from './envoy.js';
import type { Flow } from './flow.js';
import type { Journal } from './journal.js';
import type { Life } from './life.js';
import type { Replies } from './replies.js';
import { StatusType } from '../api/types.js';
import type {
  CallRequest,
  CallResponse,
  DecoderCallbacks,
  DirectionCallbacks,
  FilterCallbacks,
  LocalReply,
  Logger,
  LogLevel,
  Metrics,
  SecretManager,
  StreamContext,
  StreamInfo,
} from '../api/types-callbacks.js';
import type { Chunk, HeaderInit, RequestView } from '../api/types-data.js';
import { ActKind, Capability, Direction, HeaderOp, QueryKind, type StreamStart } from '../base/wire.js';

/** By Envoy's numbers. */
const LOG_LEVELS: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error', 'critical', 'off'];

/** A direction that has begun. */
type OpenFlow = Pick<Flow, 'dead' | 'headers' | 'continue' | 'addData' | 'injectData'>;

/** What callbacks reach of their stream. */
export interface CallbacksPort {
  readonly start: StreamStart;
  readonly config: StreamConfig;
  readonly life: Life;
  readonly journal: Journal;
  readonly envoy: Envoy;
  readonly calls: Pick<Calls, 'start'>;
  readonly replies: Pick<Replies, 'local' | 'streaming' | 'recreate'>;
  readonly request: OpenFlow | undefined;
  readonly response: OpenFlow | undefined;
  /** As the stream's hooks have them, else as the latest log event brought them. */
  readonly requestHeaders: HeaderMapImpl | undefined;
}

export class Callbacks implements FilterCallbacks<Attribute> {
  readonly #stream: CallbacksPort;
  #log: Logger | undefined;
  #context: StreamContext | undefined;
  #attributes: FilterCallbacks<Attribute>['attributes'] | undefined;
  #request: RequestView | undefined;
  #metrics: Metrics | undefined;

  constructor(stream: CallbacksPort) {
    this.#stream = stream;
  }

  get requestId(): string {
    return this.#stream.journal.requestId;
  }
  get attempt(): number {
    return this.#stream.start.attempt;
  }
  get signal(): AbortSignal {
    return this.#stream.life.signal;
  }
  get context(): StreamContext {
    return (this.#context ??= {});
  }

  get log(): Logger {
    if (this.#log !== undefined) return this.#log;
    const { journal, config, envoy } = this.#stream;
    return (this.#log = makeLogger(
      () => journal.logger(),
      (level, text) => {
        if (level >= config.logLevel) envoy.log(level, `${journal.filterName}: ${text}`);
      },
    ));
  }

  get attributes(): FilterCallbacks<Attribute>['attributes'] {
    const { config, start } = this.#stream;
    return (this.#attributes ??= decodeAttributes(
      config.attributes,
      start.attributes,
    ) as FilterCallbacks<Attribute>['attributes']);
  }

  get request(): RequestView {
    if (this.#request !== undefined) return this.#request;
    const view = new RequestViewImpl(this.#requestHeaders('request'));
    // A log event's map is not the one that the hooks will have.
    if (this.#stream.request?.headers !== undefined) this.#request = view;
    return view;
  }

  sendLocalReply(status: number, reply?: LocalReply): typeof StatusType.LocalReply {
    this.#stream.replies.local(status, reply);
    return StatusType.LocalReply;
  }

  reply(
    status: number,
    headers: HeaderInit,
    body: AsyncIterable<Chunk> | Iterable<Chunk> | null,
  ): typeof StatusType.LocalReply {
    this.#stream.replies.streaming(status, headers, body);
    return StatusType.LocalReply;
  }

  extendTimeout(ms: number): void {
    const stream = this.#stream;
    stream.life.assertAlive('extendTimeout()');
    if (!(ms >= 0 && ms <= 0x7fffffff)) {
      throw new FilterError(
        'TSF_ARGUMENT_INVALID',
        `extendTimeout(${String(ms)}): milliseconds from 0 to 2^31 - 1`,
        stream.life.phase,
      );
    }
    stream.envoy.extendTimeout(Math.ceil(ms));
  }

  clearRouteCache(): void {
    this.#routeCache('clearRouteCache()', HeaderOp.ClearRouteCache);
  }
  refreshRouteCache(): void {
    this.#routeCache('refreshRouteCache()', HeaderOp.RefreshRouteCache);
  }

  async getProperty<K extends Attribute>(name: K): Promise<AttributeTypes[K]> {
    const stream = this.#stream;
    const value = await stream.envoy.attribute(name, `getProperty(${JSON.stringify(name)})`);
    if (value === undefined) {
      throw new FilterError(
        'TSF_PROPERTY_NOT_FOUND',
        `getProperty(${JSON.stringify(name)}): Envoy has no value`,
        stream.life.phase,
      );
    }
    return value;
  }

  async httpCall(cluster: string, request: Request | CallRequest): Promise<CallResponse> {
    const stream = this.#stream;
    stream.life.assertAlive(`httpCall(${JSON.stringify(cluster)})`);
    return stream.calls.start(cluster, request);
  }

  recreateStream(): typeof StatusType.LocalReply {
    this.#stream.replies.recreate();
    return StatusType.LocalReply;
  }

  get metrics(): Metrics {
    return (this.#metrics ??= new StreamMetrics(this.#stream));
  }

  secretManager(): SecretManager {
    const stream = this.#stream;
    return {
      getGenericSecret: async (name) => {
        const call = `getGenericSecret(${JSON.stringify(name)})`;
        stream.life.assertAlive(call);
        if ((stream.config.capabilities & Capability.Secrets) === 0) throw unsupported(call, 'secrets need Envoy 1.40');
        return stream.envoy.query(QueryKind.Secret, 0, Buffer.from(name), utf8);
      },
    };
  }

  logLevel(): LogLevel {
    return LOG_LEVELS[this.#stream.config.logLevel] ?? 'off';
  }

  streamInfo(): StreamInfo {
    return new StreamInfoImpl(this.#stream);
  }

  decoderFilterCallbacks(): DecoderCallbacks {
    const stream = this.#stream;
    return {
      ...this.#direction(Direction.Request),
      setUpstreamOverrideHost: (host, strict = false) => {
        const call = `setUpstreamOverrideHost(${JSON.stringify(host)})`;
        stream.life.assertAlive(call);
        stream.life.assertDownstream(call);
        if (!isAddress(host)) {
          throw new FilterError(
            'TSF_ARGUMENT_INVALID',
            `${call}: an IP address and a port, as 10.0.0.1:80 or [::1]:80`,
            stream.life.phase,
          );
        }
        stream.envoy.act(ActKind.OverrideHost, strict ? 1 : 0, 0, 0, Buffer.from(host));
      },
    };
  }

  encoderFilterCallbacks(): DirectionCallbacks {
    return this.#direction(Direction.Response);
  }

  #direction(direction: Direction): DirectionCallbacks {
    const stream = this.#stream;
    const flow = (call: string) => {
      stream.life.assertAlive(call);
      const found = direction === Direction.Request ? stream.request : stream.response;
      if (found === undefined)
        throw new FilterError('TSF_WRONG_PHASE', `${call}: that direction has not begun`, stream.life.phase);
      if (found.dead)
        throw new FilterError('TSF_ALREADY_REPLIED', `${call}: this stream was replied to`, stream.life.phase);
      return found;
    };
    return {
      continue: (status) => {
        flow('continue()').continue(status);
      },
      addData: (data) => {
        flow('addData()').addData(data);
      },
      injectData: (data) => {
        flow('injectData()').injectData(data);
      },
    };
  }

  #requestHeaders(call: string): RequestHeadersImpl {
    const headers = this.#stream.requestHeaders;
    if (headers === undefined) {
      throw new FilterError(
        'TSF_NOT_SUBSCRIBED',
        `${call}: the request headers were never sent to this host`,
        this.#stream.life.phase,
      );
    }
    return headers as RequestHeadersImpl;
  }

  #routeCache(call: string, op: typeof HeaderOp.ClearRouteCache | typeof HeaderOp.RefreshRouteCache): void {
    this.#stream.life.assertAlive(call);
    this.#stream.life.assertDownstream(call);
    const headers = this.#requestHeaders(call);
    headers.assertHeld(call);
    headers.routeCache(op);
  }
}

function isAddress(host: unknown): boolean {
  const match = typeof host === 'string' ? /^(?:\[(.+)\]|([^:]+)):(\d{1,5})$/.exec(host) : null;
  if (match === null) return false;
  const [, v6, v4, port] = match;
  return (v6 === undefined ? isIP(v4!) === 4 : isIPv6(v6)) && Number(port) >= 1 && Number(port) <= 65535;
}
