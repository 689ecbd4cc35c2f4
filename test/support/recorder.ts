/**
 * A stream of a filter without a proxy: what Envoy would say is said by calls, what the filter's side says is recorded
 * as lines of text. The recorder also holds the stream to the module's rules, which drop a host that breaks them.
 */
import { packHeaders } from '../../src/base/header-block.js';
import { OutputWindow } from '../../src/channel/output-window.js';
import { type ConfigRules, FilterRegistry, type HostLogger } from '../../src/registry/index.js';
import { defineFilter } from '../../src/api/filter.js';
import type { FilterCallbacks } from '../../src/api/types-callbacks.js';
import type { StreamFilter } from '../../src/api/types.js';
import type { Filter } from '../../src/api/types-definition.js';
import {
  ActKind,
  BodyMode,
  CreditOf,
  Direction,
  EndReason,
  HeaderOp,
  HeadersTrait,
  HeaderType,
  type OpList,
  OutputFlag,
  PHASES_UNCHANGED,
  QueryKind,
  type StreamSink,
  type StreamSource,
} from '../../src/base/wire.js';

const nameOf = (table: { readonly [name: string]: number }, value: number): string =>
  Object.keys(table).find((name) => table[name] === value) ?? String(value);

export function flagsOf(flags: number): string {
  const names = Object.entries(OutputFlag).filter(([, bit]) => (flags & bit) !== 0);
  return names.map(([name]) => name).join('|');
}

export function opsText(ops: OpList): string {
  const parts: string[] = [];
  for (let i = 0; i < ops.length; i += 3) {
    parts.push(
      [nameOf(HeaderOp, ops[i] as number).toLowerCase(), ops[i + 1], ops[i + 2]].filter((x) => x !== '').join(' '),
    );
  }
  return `[${parts.join(', ')}]`;
}

const show = (bytes: Uint8Array): string => {
  const text = Buffer.from(bytes).toString('latin1');
  return text.length > 60 ? `(${String(text.length)} bytes)` : JSON.stringify(text);
};

export interface Output {
  readonly direction: Direction;
  readonly flags: number;
  readonly acknowledged: number;
  readonly bytes: Uint8Array;
}

/** What the module knows of one direction. */
interface Told {
  answered: boolean;
  outstanding: number;
  last: boolean;
  trailersAnswered: boolean;
  /** Nothing comes out of the input so far any more. */
  digested: boolean;
}

/** Records every word as a line, and notes what the module would not forgive. */
export class RecordingSink implements StreamSink {
  readonly lines: string[] = [];
  readonly outputs: Output[] = [];
  readonly violations: string[] = [];
  readonly told: [Told, Told] = [fresh(), fresh()];
  phases: number | undefined;
  /** When set, backpressure() returns it. */
  room: Promise<void> | undefined;
  private gone = false;
  /** A streamed reply goes by its credit, as a channel has it. */
  private readonly reply: OutputWindow;

  constructor(streamWindow: number = RULES.streamWindow) {
    this.reply = new OutputWindow(streamWindow, (flags, _acknowledged, bytes = new Uint8Array(0)) => {
      this.say(`replyData ${show(bytes)}${flags === OutputFlag.Last ? ' end' : ''}`);
    });
  }

  answer(type: HeaderType, mode: BodyMode, phases: number, ops: OpList): void {
    this.say(`answer ${nameOf(HeaderType, type)} ${nameOf(BodyMode, mode)} ${opsText(ops)}`);
    const told = this.told[type < 2 ? 0 : 1];
    const trailers = type === HeaderType.RequestTrailers || type === HeaderType.ResponseTrailers;
    if (trailers ? told.trailersAnswered : told.answered)
      this.violations.push(`answered twice: ${nameOf(HeaderType, type)}`);
    if (trailers) told.trailersAnswered = true;
    else told.answered = true;
    if (phases !== PHASES_UNCHANGED) {
      if (this.phases !== undefined) this.violations.push('phases told twice');
      this.phases = phases;
    }
  }

  ops(type: HeaderType, ops: OpList): void {
    this.say(`ops ${nameOf(HeaderType, type)} ${opsText(ops)}`);
  }

  output(
    direction: Direction,
    flags: number,
    acknowledged: number,
    bytes: Uint8Array | undefined,
    _owned: boolean,
  ): void {
    const told = this.told[direction];
    const copy = Uint8Array.from(bytes ?? []);
    this.outputs.push({ direction, flags, acknowledged, bytes: copy });
    const parts = [
      `output ${nameOf(Direction, direction)}`,
      flagsOf(flags),
      acknowledged > 0 ? `ack ${String(acknowledged)}` : '',
    ];
    this.say([...parts, copy.length > 0 ? show(copy) : ''].filter((part) => part !== '').join(' '));
    told.outstanding -= acknowledged;
    if (told.outstanding < 0) this.violations.push(`${nameOf(Direction, direction)}: acknowledged more than was sent`);
    const added = (flags & OutputFlag.Added) !== 0;
    if (!told.answered && !added) this.violations.push(`${nameOf(Direction, direction)}: output before the answer`);
    if (told.last && copy.length > 0) this.violations.push(`${nameOf(Direction, direction)}: output after the last`);
    if (told.trailersAnswered)
      this.violations.push(`${nameOf(Direction, direction)}: output after the trailers' answer`);
    if ((flags & OutputFlag.Last) !== 0) told.last = true;
    if ((flags & OutputFlag.Digested) !== 0) {
      told.digested = true;
      if (told.outstanding > 0)
        this.violations.push(`${nameOf(Direction, direction)}: digested what is not acknowledged`);
    }
  }

  localReply(status: number, grpcStatus: number, details: string, headers: string[], body: Uint8Array): void {
    this.say(
      `localReply ${String(status)} grpc ${String(grpcStatus)} ${JSON.stringify(details)} [${pairs(headers)}] ${show(body)}`,
    );
  }

  replyHeaders(headers: string[], end: boolean): void {
    this.say(`replyHeaders [${pairs(headers)}]${end ? ' end' : ''}`);
  }

  replyData(bytes: Uint8Array, end: boolean): void {
    this.reply.output(end ? OutputFlag.Last : 0, 0, bytes, false);
  }

  credit(bytes: number): void {
    this.reply.credit(bytes);
  }

  replyTrailers(headers: string[]): void {
    this.say(`replyTrailers [${pairs(headers)}]`);
  }

  fail(type: HeaderType, text: string): void {
    this.say(`fail ${nameOf(HeaderType, type)} ${text.replace(/ \(at .*\)$/, '')}`);
  }

  query(id: number, kind: QueryKind, key: number, block: Uint8Array): void {
    const text = block.length === 0 ? '' : ` ${show(block)}`;
    this.say(`query ${String(id)} ${nameOf(QueryKind, kind)} ${String(key)}${text}`);
  }

  act(kind: ActKind, detail: number, id: number, number: number, block: Uint8Array): void {
    const text = block.length === 0 ? '' : ` ${show(block)}`;
    this.say(`act ${nameOf(ActKind, kind)} ${String(detail)} ${String(id)} ${String(number)}${text}`);
  }

  callStart(call: number, cluster: string, timeout: number, headers: readonly string[], end: boolean): void {
    this.say(`call ${String(call)} ${cluster} ${String(timeout)} ms [${pairs(headers)}]${end ? ' end' : ''}`);
  }

  callData(call: number, bytes: Uint8Array, end: boolean): void {
    this.say(`callData ${String(call)} ${show(bytes)}${end ? ' end' : ''}`);
  }

  callTrailers(call: number, headers: readonly string[]): void {
    this.say(`callTrailers ${String(call)} [${pairs(headers)}]`);
  }

  callCancel(call: number): void {
    this.say(`callCancel ${String(call)}`);
  }

  log(level: number, text: string): void {
    this.say(`log ${String(level)} ${text}`);
  }

  extend(milliseconds: number): void {
    this.say(`extend ${String(milliseconds)}`);
  }

  backpressure(of?: CreditOf): Promise<void> | undefined {
    return this.room ?? (of === CreditOf.Reply ? this.reply.backpressure() : undefined);
  }

  /** All bytes of one direction, in order. */
  body(direction: Direction): Buffer {
    return Buffer.concat(this.outputs.filter((output) => output.direction === direction).map(({ bytes }) => bytes));
  }

  take(): string[] {
    return this.lines.splice(0);
  }

  end(): void {
    this.gone = true;
    this.reply.close();
  }

  private say(line: string): void {
    if (this.gone) this.violations.push(`said after the end: ${line}`);
    this.lines.push(line);
  }
}

const fresh = (): Told => ({ answered: false, outstanding: 0, last: false, trailersAnswered: false, digested: false });
const pairs = (flat: readonly string[]): string =>
  flat
    .map((part, i) => (i % 2 === 0 ? `${part}: ` : part))
    .join(', ')
    .replaceAll(': , ', ': ');

export type Lines = { readonly [name: string]: string | readonly string[] } | readonly (readonly [string, string])[];

export function linesOf(given: Lines): [string, string][] {
  if (Array.isArray(given)) return given.map(([name, value]: [string, string]) => [name, value]);
  return Object.entries(given as { [name: string]: string | string[] }).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((one): [string, string] => [name, one]),
  );
}

export const REQUEST = { ':method': 'POST', ':path': '/a?b=1', ':scheme': 'https', ':authority': 'example.test' };
export const RESPONSE = { ':status': '200' };

/** One line per log call: level, message, and the fields that matter here. */
export class RecordingLogger implements HostLogger {
  readonly lines: string[];
  readonly bindings: Record<string, unknown>;

  constructor(lines: string[] = [], bindings: Record<string, unknown> = {}) {
    this.lines = lines;
    this.bindings = bindings;
  }

  debug(fields: object, message = ''): void {
    this.put('debug', fields, message);
  }
  info(fields: object, message = ''): void {
    this.put('info', fields, message);
  }
  warn(fields: object, message = ''): void {
    this.put('warn', fields, message);
  }
  error(fields: object, message = ''): void {
    this.put('error', fields, message);
  }

  child(bindings: Record<string, unknown>): RecordingLogger {
    return new RecordingLogger(this.lines, { ...this.bindings, ...bindings });
  }

  private put(level: string, _fields: object, message: string): void {
    this.lines.push(`${level} ${message.replace(/ \(at .*\)$/, '')}`);
  }
}

/** A filter called f. Its hooks need not pass the compiler's checks: what they are made to refuse is tested too. */
export function filterOf(create: (callbacks: FilterCallbacks) => StreamFilter): Filter {
  return defineFilter({
    name: 'f',
    create: (_config: unknown, callbacks: FilterCallbacks) => create(callbacks) as object,
  });
}

export interface OpenOptions {
  readonly config?: unknown;
  readonly route?: unknown;
  readonly rules?: Partial<ConfigRules>;
  readonly upstream?: boolean;
  /** What follows the headers is no body. */
  readonly tunnel?: boolean;
  /** The request came as HEAD. */
  readonly head?: boolean;
  /** `observe_only`. */
  readonly observed?: boolean;
  readonly attributes?: Uint8Array;
}

export const RULES: ConfigRules = {
  allow: [],
  deny: [],
  logLevel: 2,
  streamWindow: 256 * 1024,
  maxBodyBytes: 1 << 20,
  capabilities: 0,
  metrics: [],
};

/** A stream to talk to. */
export class TestStream {
  readonly sink: RecordingSink;
  readonly source: StreamSource;

  constructor(
    registry: FilterRegistry,
    private readonly options: OpenOptions = {},
    ids: { config: number; route: number } = { config: 1, route: 0 },
  ) {
    this.sink = new RecordingSink(options.rules?.streamWindow);
    this.source = registry.createStream(
      {
        configId: ids.config,
        routeConfigId: ids.route,
        attempt: 1,
        workerId: 3,
        grpc: false,
        upstream: options.upstream ?? false,
        head: options.head ?? false,
        observed: options.observed ?? false,
        attributes: options.attributes ?? new Uint8Array(0),
      },
      this.sink,
    );
  }

  private traits(end: boolean): number {
    return (end ? HeadersTrait.EndStream : 0) | (this.options.tunnel === true ? HeadersTrait.Tunnel : 0);
  }

  request(headers: Lines = REQUEST, end = false, context = false): this {
    const traits = this.traits(end) | (context ? HeadersTrait.Context : 0);
    this.source.onHeaders(HeaderType.Request, packHeaders(linesOf(headers).flat()), traits);
    return this;
  }

  response(headers: Lines = RESPONSE, end = false): this {
    this.source.onHeaders(HeaderType.Response, packHeaders(linesOf(headers).flat()), this.traits(end));
    return this;
  }

  /** `flags`: any of last, trailers. */
  data(direction: Direction, bytes: string | Uint8Array, ...flags: ('last' | 'trailers')[]): this {
    const copy = typeof bytes === 'string' ? Uint8Array.from(Buffer.from(bytes)) : Uint8Array.from(bytes);
    this.sink.told[direction].outstanding += copy.length;
    this.sink.told[direction].digested = false;
    const follows = flags.includes('trailers') ? 'trailers' : flags.includes('last') ? 'nothing' : 'more';
    this.source.onData(direction, copy, follows);
    return this;
  }

  req(bytes: string | Uint8Array, ...flags: ('last' | 'trailers')[]): this {
    return this.data(Direction.Request, bytes, ...flags);
  }

  res(bytes: string | Uint8Array, ...flags: ('last' | 'trailers')[]): this {
    return this.data(Direction.Response, bytes, ...flags);
  }

  trailers(direction: Direction, headers: Lines): this {
    const type = direction === Direction.Request ? HeaderType.RequestTrailers : HeaderType.ResponseTrailers;
    this.source.onHeaders(type, packHeaders(linesOf(headers).flat()), 0);
    return this;
  }

  end(reason: EndReason = EndReason.Complete): this {
    this.sink.end();
    this.source.onEnd(reason);
    return this;
  }

  take(): string[] {
    return this.sink.take();
  }
}

/** A registry with one filter and its parsed config (id 1), and the route's when given (id 2). */
export class Bench {
  readonly logger = new RecordingLogger();
  readonly registry: FilterRegistry;
  private readonly streams: TestStream[] = [];
  private readonly options: OpenOptions;

  private constructor(filter: Filter, options: OpenOptions) {
    this.options = options;
    this.registry = new FilterRegistry([filter], {
      logger: this.logger,
    });
  }

  static async of(filter: Filter, options: OpenOptions = {}): Promise<Bench> {
    const bench = new Bench(filter, options);
    const rules = { ...RULES, ...options.rules };
    const verdicts = [await bench.registry.parse(1, filter.name, false, json(options.config), rules)];
    if ('route' in options) verdicts.push(await bench.registry.parse(2, filter.name, true, json(options.route), rules));
    for (const verdict of verdicts) if (!verdict.accepted) throw new Error(verdict.message);
    return bench;
  }

  open(options: OpenOptions = {}): TestStream {
    const stream = new TestStream(
      this.registry,
      { ...this.options, ...options },
      { config: 1, route: 'route' in this.options ? 2 : 0 },
    );
    this.streams.push(stream);
    return stream;
  }

  /** What the module would have dropped this host for, over all streams. */
  get violations(): string[] {
    return this.streams.flatMap((stream) => stream.sink.violations);
  }
}

const json = (value: unknown): string | undefined => (value === undefined ? undefined : JSON.stringify(value));

/** Lets every promise that can settle do so. */
export async function settled(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve));
}
