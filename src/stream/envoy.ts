/** What one stream says to Envoy and asks of it. Nothing of its message is said once the stream is over. */
import type { Attribute, AttributeTypes } from '../api/attributes.js';
import type { StreamAbortedError } from '../api/errors.js';
import type { ActKind, BodyMode, Direction, HeaderType, OpList, QueryKind, StreamSink } from '../base/wire.js';
import type { FlowPort } from '../body/output.js';
import type { Instance } from './instance.js';
import type { Life } from './life.js';
import type { LogEvents } from './log.js';
import { Queries } from './queries.js';

/** The stream around it. */
export interface EnvoyStream {
  readonly sink: StreamSink;
  readonly instance: Instance;
  /** Undefined: no log event has come. */
  readonly maybeEvents: LogEvents | undefined;
  /** Header writes that wait go first, so that Envoy answers and acts by what the filter sees. */
  flushWrites(): void;
}

export class Envoy implements FlowPort {
  private readonly stream: EnvoyStream;
  private readonly sink: StreamSink;
  private readonly life: Life;
  private maybeQueries: Queries | undefined;

  constructor(stream: EnvoyStream, life: Life) {
    this.stream = stream;
    this.sink = stream.sink;
    this.life = life;
  }

  // ---- FlowPort ----

  answer(type: HeaderType, mode: BodyMode, ops: OpList): void {
    if (!this.life.over) this.sink.answer(type, mode, this.stream.instance.phasesToTell(), ops);
  }

  ops(type: HeaderType, ops: OpList): void {
    if (!this.life.over) this.sink.ops(type, ops);
  }

  output(
    direction: Direction,
    flags: number,
    acknowledged: number,
    bytes: Uint8Array | undefined,
    owned: boolean,
  ): void {
    if (!this.life.over) this.sink.output(direction, flags, acknowledged, bytes, owned);
  }

  backpressure(direction: Direction): Promise<void> | undefined {
    return this.sink.backpressure(direction);
  }

  // ---- acts and questions ----

  /** Arguments as in the schema's Act, by kind. */
  act(kind: ActKind, detail: number, id: number, number: number, block: Uint8Array): void {
    if (!this.life.gone) this.stream.flushWrites();
    this.sink.act(kind, detail, id, number, block);
  }

  /** undefined = Envoy has no value. Arguments as in the schema's Query, by kind. */
  query<T>(kind: QueryKind, key: number, block: Uint8Array, decode: (bytes: Uint8Array) => T): Promise<T | undefined> {
    this.stream.flushWrites();
    return this.queries.ask(kind, key, block, decode);
  }

  /** undefined = Envoy has no value. Once the stream is over, what onLog was told answers. */
  attribute<K extends Attribute>(name: K, call: string): Promise<AttributeTypes[K] | undefined> {
    const { life } = this;
    const { maybeEvents: events } = this.stream;
    if (events?.final === true && events.declares(name)) return Promise.resolve(events.attributes[name]);
    life.assertAlive(call, life.gone ? `; declare ${JSON.stringify(name)} in \`attributes\` to have it in onLog` : '');
    this.stream.flushWrites();
    return this.queries.attribute(name);
  }

  /** A line for Envoy's log. */
  log(level: number, text: string): void {
    if (this.life.ended === undefined) this.sink.log(level, text);
  }

  extendTimeout(milliseconds: number): void {
    this.sink.extend(milliseconds);
  }

  // ---- from Envoy ----

  answered(id: number, found: boolean, bytes: Uint8Array): void {
    this.maybeQueries?.answer(id, found, bytes);
  }

  end(error: () => StreamAbortedError): void {
    this.maybeQueries?.end(error);
  }

  private get queries(): Queries {
    return (this.maybeQueries ??= new Queries(this.sink));
  }
}
