/** FilterCallbacks: what the author asks of a stream. One small object per stream; the rest is made when asked for. */
import { type Attribute, type AttributeTypes, decodeAttributes } from './attributes.js';
import { FilterError } from './errors.js';
import { RequestViewImpl } from './header-views.js';
import type { RequestHeadersImpl } from './headers.js';
import { notYet, StreamInfoImpl } from './info.js';
import { makeLogger } from './logger.js';
import type { HttpStream } from './stream/stream.js';
import { StatusType } from './types.js';
import type {
  DecoderCallbacks,
  DirectionCallbacks,
  FilterCallbacks,
  LocalReply,
  Logger,
  StreamContext,
  StreamInfo,
} from './types-callbacks.js';
import type { Chunk, HeaderInit, RequestView } from './types-data.js';
import { Direction, HeaderOp } from './wire.js';

export class Callbacks implements FilterCallbacks<Attribute> {
  readonly #stream: HttpStream;
  #log: Logger | undefined;
  #context: StreamContext | undefined;
  #attributes: FilterCallbacks<Attribute>['attributes'] | undefined;
  #request: RequestView | undefined;

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
    return (this.#request ??= new RequestViewImpl(this.#requestHeaders('request')));
  }

  sendLocalReply(status: number, reply?: LocalReply): typeof StatusType.LocalReply {
    this.#stream.replies.local(status, reply);
    return StatusType.LocalReply;
  }

  reply(
    status: number,
    headers: HeaderInit,
    body: AsyncIterable<Chunk> | Iterable<Chunk>,
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
    stream.assertAlive(`getProperty(${JSON.stringify(name)})`);
    const value = await stream.queries.attribute(name);
    if (value === undefined) {
      throw new FilterError(
        'TSF_PROPERTY_NOT_FOUND',
        `getProperty(${JSON.stringify(name)}): Envoy has no value`,
        stream.phase,
      );
    }
    return value;
  }

  httpCall(): Promise<Response> {
    throw notYet('httpCall()');
  }

  streamInfo(): StreamInfo {
    const stream = this.#stream;
    return new StreamInfoImpl(stream.start.workerId, async (name) => {
      stream.assertAlive('streamInfo()');
      return stream.queries.attribute(name);
    });
  }

  decoderFilterCallbacks(): DecoderCallbacks {
    const direction = this.#direction(Direction.Request);
    return {
      ...direction,
      setUpstreamOverrideHost: () => {
        throw notYet('setUpstreamOverrideHost()');
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
    const headers = this.#stream.request?.headers;
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
    const headers = this.#requestHeaders(call);
    headers.assertHeld(call);
    headers.routeCache(op);
  }
}
