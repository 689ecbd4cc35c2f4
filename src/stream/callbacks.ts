/** FilterCallbacks: what the author asks of a stream. One small object per stream; the rest is made when asked for. */
import { isIP, isIPv6 } from 'node:net';
import { type Attribute, type AttributeTypes, decodeAttributes } from '../api/attributes.js';
import { FilterError } from '../api/errors.js';
import { RequestViewImpl } from '../headers/header-views.js';
import type { RequestHeadersImpl } from '../headers/headers.js';
import { StreamInfoImpl, unsupported, utf8 } from './info.js';
import { makeLogger } from './logger.js';
import { StreamMetrics } from './metrics.js';
import type { HttpStream } from './stream.js';
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
import { ActKind, Capability, Direction, HeaderOp, QueryKind } from '../base/wire.js';

/** By Envoy's numbers. */
const LOG_LEVELS: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error', 'critical', 'off'];

export class Callbacks implements FilterCallbacks<Attribute> {
  readonly #stream: HttpStream;
  #log: Logger | undefined;
  #context: StreamContext | undefined;
  #attributes: FilterCallbacks<Attribute>['attributes'] | undefined;
  #request: RequestView | undefined;
  #metrics: Metrics | undefined;

  constructor(stream: HttpStream) {
    this.#stream = stream;
  }

  get requestId(): string {
    return this.#stream.requestId;
  }
  get attempt(): number {
    return this.#stream.start.attempt;
  }
  get signal(): AbortSignal {
    return this.#stream.signal;
  }
  get context(): StreamContext {
    return (this.#context ??= {});
  }

  get log(): Logger {
    if (this.#log !== undefined) return this.#log;
    const stream = this.#stream;
    const { filterName: filter, start, config } = stream;
    return (this.#log = makeLogger(
      () => stream.deps.logger.child({ requestId: stream.requestId, filter, envoyWorker: start.workerId }),
      (level, text) => {
        if (level >= config.logLevel && stream.ended === undefined) stream.sink.log(level, `${filter}: ${text}`);
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
    stream.assertAlive('extendTimeout()');
    if (!(ms >= 0 && ms <= 0x7fffffff)) {
      throw new FilterError(
        'TSF_ARGUMENT_INVALID',
        `extendTimeout(${String(ms)}): milliseconds from 0 to 2^31 - 1`,
        stream.phase,
      );
    }
    stream.sink.extend(Math.ceil(ms));
  }

  clearRouteCache(): void {
    this.#routeCache('clearRouteCache()', HeaderOp.ClearRouteCache);
  }
  refreshRouteCache(): void {
    this.#routeCache('refreshRouteCache()', HeaderOp.RefreshRouteCache);
  }

  async getProperty<K extends Attribute>(name: K): Promise<AttributeTypes[K]> {
    const stream = this.#stream;
    const value = await stream.attribute(name, `getProperty(${JSON.stringify(name)})`);
    if (value === undefined) {
      throw new FilterError(
        'TSF_PROPERTY_NOT_FOUND',
        `getProperty(${JSON.stringify(name)}): Envoy has no value`,
        stream.phase,
      );
    }
    return value;
  }

  async httpCall(cluster: string, request: Request | CallRequest): Promise<CallResponse> {
    const stream = this.#stream;
    stream.assertAlive(`httpCall(${JSON.stringify(cluster)})`);
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
        stream.assertAlive(call);
        if ((stream.config.capabilities & Capability.Secrets) === 0) throw unsupported(call, 'secrets need Envoy 1.40');
        return stream.query(QueryKind.Secret, 0, Buffer.from(name), utf8);
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
        stream.assertAlive(call);
        stream.assertDownstream(call);
        if (!isAddress(host)) {
          throw new FilterError(
            'TSF_ARGUMENT_INVALID',
            `${call}: an IP address and a port, as 10.0.0.1:80 or [::1]:80`,
            stream.phase,
          );
        }
        stream.act(ActKind.OverrideHost, strict ? 1 : 0, 0, 0, Buffer.from(host));
      },
    };
  }

  encoderFilterCallbacks(): DirectionCallbacks {
    return this.#direction(Direction.Response);
  }

  #direction(direction: Direction): DirectionCallbacks {
    const stream = this.#stream;
    const flow = (call: string) => {
      stream.assertAlive(call);
      const found = direction === Direction.Request ? stream.request : stream.response;
      if (found === undefined)
        throw new FilterError('TSF_WRONG_PHASE', `${call}: that direction has not begun`, stream.phase);
      if (found.dead) throw new FilterError('TSF_ALREADY_REPLIED', `${call}: this stream was replied to`, stream.phase);
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
        this.#stream.phase,
      );
    }
    return headers as RequestHeadersImpl;
  }

  #routeCache(call: string, op: typeof HeaderOp.ClearRouteCache | typeof HeaderOp.RefreshRouteCache): void {
    this.#stream.assertAlive(call);
    this.#stream.assertDownstream(call);
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
