/**
 * Plugins on the host's own streams, without Envoy: what goes upstream, and what the client gets. The module's part is
 * played in a few lines; the recorder holds the host to the module's rules meanwhile.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Filter } from '../../src/api/types-definition.js';
import { applyOps, HeaderLines, packHeaders } from '../../src/base/header-block.js';
import {
  BodyMode,
  Direction,
  EndReason,
  HeadersTrait,
  HeaderType,
  type OpList,
  OutputFlag,
  PhaseBit,
  QueryKind,
  type StreamSource,
} from '../../src/base/wire.js';
import { FilterRegistry } from '../../src/registry/index.js';
import { apisix, type Plugin } from '../../filters/apisix/core/index.js';
import { ATTRIBUTES } from '../../filters/apisix/core/ctx.js';
import { plugins as shipped } from '../../filters/apisix/plugins/index.js';
import { RecordingLogger, RecordingSink, RULES } from '../support/recorder.js';

export type Pairs = readonly (readonly [string, string])[];

export interface Given {
  readonly method?: string;
  readonly path?: string;
  readonly host?: string;
  readonly scheme?: string;
  readonly headers?: Pairs;
  readonly body?: string | Uint8Array;
  /** Envoy's idea of the client. */
  readonly remote?: string;
  readonly upstream?: {
    readonly status?: number;
    readonly headers?: Pairs;
    readonly body?: string | readonly Uint8Array[];
  };
  readonly filterState?: Readonly<Record<string, string>>;
}

export class Message {
  constructor(
    readonly lines: HeaderLines,
    readonly body: Buffer,
  ) {}
  get text(): string {
    return this.body.toString();
  }
  /** All lines of that name, with commas. */
  header(name: string): string | undefined {
    const all = this.lines.values.filter((_value, i) => this.lines.names[i] === name);
    return all.length === 0 ? undefined : all.join(', ');
  }
}

export interface Outcome {
  readonly status: number;
  readonly response: Message;
  /** undefined: the request was answered before it got there. */
  readonly request: Message | undefined;
}

/** What the host says, by direction. */
class Sink extends RecordingSink {
  readonly headerOps: [OpList, OpList] = [[], []];
  readonly modes: (BodyMode | undefined)[] = [undefined, undefined];
  readonly acknowledged: [number, number] = [0, 0];
  readonly flags: [number, number] = [0, 0];
  local: { readonly lines: HeaderLines; readonly body: Buffer } | undefined;
  failed: string | undefined;
  source: StreamSource | undefined;

  constructor(private readonly given: Given) {
    super();
  }

  override answer(type: HeaderType, mode: BodyMode, phases: number, ops: OpList): void {
    super.answer(type, mode, phases, ops);
    const direction = type < HeaderType.Response ? Direction.Request : Direction.Response;
    this.headerOps[direction].push(...ops);
    this.modes[direction] = mode;
  }
  override ops(type: HeaderType, ops: OpList): void {
    super.ops(type, ops);
    this.headerOps[type < HeaderType.Response ? Direction.Request : Direction.Response].push(...ops);
  }
  override output(
    direction: Direction,
    flags: number,
    acknowledged: number,
    bytes: Uint8Array | undefined,
    owned: boolean,
  ) {
    super.output(direction, flags, acknowledged, bytes, owned);
    this.acknowledged[direction] += acknowledged;
    this.flags[direction] |= flags;
  }
  override localReply(status: number, grpc: number, details: string, headers: string[], body: Uint8Array): void {
    super.localReply(status, grpc, details, headers, body);
    const lines = HeaderLines.fromFlat([':status', String(status), ...headers]);
    this.local = { lines, body: Buffer.from(body) };
  }
  override fail(type: HeaderType, text: string): void {
    super.fail(type, text);
    this.failed = text;
  }
  override query(id: number, kind: QueryKind, key: number, block: Uint8Array): void {
    super.query(id, kind, key, block);
    const name = Buffer.from(block).toString();
    const value = kind === QueryKind.FilterState ? this.given.filterState?.[name] : '10.9.8.7:1980';
    setImmediate(() => this.source?.onQueryAnswer(id, value !== undefined, Buffer.from(value ?? '')));
  }
}

export class Gateway {
  readonly logger = new RecordingLogger();
  private routed = false;
  private readonly registry: FilterRegistry;

  private constructor(plugins: readonly Plugin[]) {
    const filter = apisix({ plugins }) as unknown as Filter;
    this.registry = new FilterRegistry([filter], { logger: this.logger });
  }

  /** Throws what the configuration is refused with. */
  static async of(
    config: unknown,
    { route, plugins = shipped }: { route?: unknown; plugins?: readonly Plugin[] } = {},
  ) {
    const gateway = new Gateway(plugins);
    const texts = route === undefined ? [config] : [config, route];
    for (const [i, text] of texts.entries()) {
      const verdict = await gateway.registry.parse(i + 1, 'apisix', i === 1, JSON.stringify(text), RULES);
      if (!verdict.accepted) throw new Error(verdict.message);
    }
    gateway.routed = route !== undefined;
    return gateway;
  }

  /** Envoy has dropped the configuration. */
  release(): void {
    this.registry.forget(1);
  }

  async send(given: Given = {}): Promise<Outcome> {
    const sink = new Sink(given);
    const start = {
      configId: 1,
      routeConfigId: this.routed ? 2 : 0,
      attempt: 1,
      workerId: 0,
      grpc: false,
      upstream: false,
      head: given.method === 'HEAD',
      observed: false,
      attributes: attributesOf(given),
    };
    const source = this.registry.createStream(start, sink);
    sink.source = source;
    const stream = new Exchange(sink, source);
    const request = await stream.request(given);
    // The host shows a reply to its own hooks before it says it.
    const { lines, body } = upstreamOf(given);
    const response =
      request === undefined
        ? new Message(sink.local!.lines, sink.local!.body)
        : await stream.response(lines, body, given.method === 'HEAD');
    source.onLogRun(2, attributesOf(given));
    sink.end();
    source.onEnd(EndReason.Complete);
    if (sink.violations.length > 0) throw new Error(sink.violations.join('\n'));
    return { status: Number(response.header(':status')), response, request };
  }
}

class Exchange {
  constructor(
    private readonly sink: Sink,
    private readonly source: StreamSource,
  ) {}

  /** What goes upstream, undefined when the host has answered. */
  async request(given: Given): Promise<Message | undefined> {
    const { method = 'GET', path = '/', scheme = 'http', host = 'localhost', headers = [], body } = given;
    const lines = HeaderLines.from([
      [':method', method],
      [':path', path],
      [':scheme', scheme],
      [':authority', host],
      ...headers,
    ]);
    const out = await this.message(Direction.Request, lines, body === undefined ? [] : [Buffer.from(body)], false);
    return this.sink.local === undefined ? out : undefined;
  }

  async response(lines: HeaderLines, body: readonly Uint8Array[], noBody: boolean): Promise<Message> {
    const some = noBody ? [] : body.filter((piece) => piece.length > 0);
    const heard = (this.sink.phases ?? 0) & (PhaseBit.encodeHeaders | PhaseBit.transformResponse);
    if (heard === 0) return new Message(lines, Buffer.concat(some));
    return this.message(Direction.Response, lines, some, true);
  }

  private async message(direction: Direction, lines: HeaderLines, body: readonly Uint8Array[], response: boolean) {
    const { sink, source } = this;
    const type = response ? HeaderType.Response : HeaderType.Request;
    const flat = lines.names.flatMap((name, i) => [name, lines.values[i]!]);
    source.onHeaders(type, packHeaders(flat), body.length === 0 ? HeadersTrait.EndStream : 0);
    const over = () => sink.failed !== undefined || (!response && sink.local !== undefined);
    await until(() => sink.modes[direction] !== undefined || over());
    const mode = sink.modes[direction];
    let out = sink.body(direction);
    if (body.length > 0 && mode !== BodyMode.Pass && !over()) out = await this.feed(direction, body, over, mode);
    else if (body.length > 0) out = Buffer.concat([out, ...body]);
    if (sink.failed !== undefined) throw new Error(sink.failed);
    const block = applyOps(packHeaders(flat), sink.headerOps[direction]);
    return new Message(HeaderLines.of(block), out);
  }

  private async feed(direction: Direction, body: readonly Uint8Array[], over: () => boolean, mode?: BodyMode) {
    const { sink, source } = this;
    const pieces = mode === BodyMode.Whole ? [Buffer.concat(body)] : body;
    const all = Buffer.concat(pieces);
    const done = () => (sink.flags[direction] & (OutputFlag.Last | OutputFlag.Bypass)) !== 0 || over();
    for (const [i, piece] of pieces.entries()) {
      if (done()) break;
      sink.told[direction].outstanding += piece.length;
      sink.told[direction].digested = false;
      source.onData(direction, Uint8Array.from(piece), i === pieces.length - 1 ? 'nothing' : 'more');
      await sleep(0);
    }
    await until(done);
    const passed = (sink.flags[direction] & OutputFlag.Bypass) !== 0;
    return Buffer.concat([sink.body(direction), passed ? all.subarray(sink.acknowledged[direction]) : Buffer.alloc(0)]);
  }
}

function upstreamOf({ upstream = {} }: Given): { lines: HeaderLines; body: readonly Uint8Array[] } {
  const { status = 200, headers = [], body = 'hello world\n' } = upstream;
  const pieces = typeof body === 'string' ? [Buffer.from(body)] : body;
  return { lines: HeaderLines.from([[':status', String(status)], ...headers]), body: pieces };
}

function attributesOf({ remote = '127.0.0.1' }: Given): Uint8Array {
  const values: Partial<Record<(typeof ATTRIBUTES)[number], string>> = {
    'source.address': remote.includes(':') ? `[${remote}]:4711` : `${remote}:4711`,
    'destination.address': '127.0.0.1:9080',
    'request.protocol': 'HTTP/1.1',
    'xds.route_name': 'r1',
  };
  const parts = ATTRIBUTES.map((name) => {
    const text = values[name];
    const length = Buffer.alloc(4);
    length.writeUInt32LE(text === undefined ? 0xffffffff : text.length);
    return Buffer.concat([length, Buffer.from(text ?? '')]);
  });
  return Uint8Array.from(Buffer.concat(parts));
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 50; i++) {
    if (condition()) return;
    await sleep(0);
  }
  const deadline = Date.now() + 5000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error('the stream waits for something that does not come');
    await sleep(2);
  }
}
