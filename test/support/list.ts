/**
 * A chain without a proxy: what the module does with a stream's bodies (docs/lifecycle.md) in a few lines, so that a test
 * can say what goes in and look at what comes out.
 */
import { applyOps, HeaderLines, packHeaders } from '../../src/base/header-block.js';
import { type ConfigRules, FilterRegistry } from '../../src/registry/index.js';
import type { Filter } from '../../src/api/types-definition.js';
import {
  BodyMode,
  type Direction,
  EndReason,
  type HeaderBlock,
  HeadersTrait,
  HeaderType,
  type OpList,
  OutputFlag,
  type StreamSource,
} from '../../src/base/wire.js';
import { linesOf, type Lines, RecordingLogger, RecordingSink, REQUEST, RESPONSE, RULES, settled } from './recorder.js';

/** One direction as the module has it. */
class ModuleFlow {
  mode: BodyMode | undefined;
  ops: OpList = [];
  trailerOps: OpList = [];
  trailersAnswered = false;
  outstanding = 0;
  out: Uint8Array[] = [];
  last = false;
  bypass = false;
  /** The headers have gone on to the next filter. */
  gone = false;
  timed = false;
  trailersCame = false;
}

/** Keeps what the module would keep, beside the lines. */
export class ModuleSink extends RecordingSink {
  flows = [new ModuleFlow(), new ModuleFlow()] as const;

  override answer(type: HeaderType, mode: BodyMode, phases: number, ops: OpList): void {
    super.answer(type, mode, phases, ops);
    const flow = this.flows[type < 2 ? 0 : 1]!;
    if (type === HeaderType.RequestTrailers || type === HeaderType.ResponseTrailers) {
      flow.trailerOps.push(...ops);
      flow.trailersAnswered = true;
      return;
    }
    flow.ops.push(...ops);
    flow.mode = mode;
    flow.gone = mode === BodyMode.Pass || mode === BodyMode.Stream;
  }

  override ops(type: HeaderType, ops: OpList): void {
    super.ops(type, ops);
    const flow = this.flows[type < 2 ? 0 : 1]!;
    if (flow.gone) this.violations.push(`operations on headers that have gone on: ${this.lines.at(-1) ?? ''}`);
    flow.ops.push(...ops);
  }

  override output(
    direction: Direction,
    flags: number,
    acknowledged: number,
    bytes: Uint8Array | undefined,
    owned: boolean,
  ): void {
    super.output(direction, flags, acknowledged, bytes, owned);
    const flow = this.flows[direction];
    if ((flags & OutputFlag.Added) !== 0 && flow.mode !== undefined && !flow.trailersCame)
      this.violations.push(`added to a body that passes, so lost: ${this.lines.at(-1) ?? ''}`);
    flow.outstanding -= acknowledged;
    if (bytes !== undefined && bytes.length > 0) flow.out.push(Uint8Array.from(bytes));
    const releases = (flags & (OutputFlag.Release | OutputFlag.Last)) !== 0;
    if (flow.mode !== undefined && (releases || (bytes?.length ?? 0) > 0)) flow.gone = true;
    flow.timed = (flags & OutputFlag.Timed) !== 0;
    if ((flags & OutputFlag.Last) !== 0) flow.last = true;
    if ((flags & OutputFlag.Bypass) !== 0) flow.bypass = true;
  }
}

export interface Message {
  readonly headers?: Lines;
  readonly chunks?: readonly string[];
  readonly trailers?: Lines;
}

export interface Passed {
  readonly headers: [string, string][];
  readonly body: string;
  readonly trailers: [string, string][] | undefined;
}

export interface OpenList {
  /** The request came as HEAD. */
  readonly head?: boolean;
  readonly grpc?: boolean;
  readonly route?: number;
  readonly attributes?: Uint8Array;
}

/** One stream of the chain, driven as the module drives it. */
export class ListDriver {
  readonly sink: ModuleSink;
  readonly source: StreamSource;
  private readonly window: number;

  constructor(registry: FilterRegistry, window: number, options: OpenList = {}) {
    this.window = window;
    this.sink = new ModuleSink(window);
    this.source = registry.createStream(
      {
        configId: 1,
        routeConfigId: options.route ?? 0,
        attempt: 1,
        workerId: 0,
        grpc: options.grpc ?? false,
        upstream: false,
        observed: false,
        head: options.head ?? false,
        attributes: options.attributes ?? new Uint8Array(0),
      },
      this.sink,
    );
  }

  headers(direction: Direction, { headers, chunks = [], trailers }: Message = {}): HeaderBlock {
    const block = packHeaders(linesOf(headers ?? (direction === 0 ? REQUEST : RESPONSE)).flat());
    const type = direction === 0 ? HeaderType.Request : HeaderType.Response;
    const end = chunks.length === 0 && trailers === undefined;
    this.source.onHeaders(type, block, end ? HeadersTrait.EndStream : 0);
    return block;
  }

  data(direction: Direction, text: string, last = false, trailers = false): void {
    const bytes = Uint8Array.from(Buffer.from(text, 'latin1'));
    this.sink.told[direction].outstanding += bytes.length;
    this.sink.flows[direction].outstanding += bytes.length;
    this.sink.told[direction].digested = false;
    this.source.onData(direction, bytes, !last ? 'more' : trailers ? 'trailers' : 'nothing');
  }

  trailers(direction: Direction, lines: Lines): HeaderBlock {
    const block = packHeaders(linesOf(lines).flat());
    const type = direction === 0 ? HeaderType.RequestTrailers : HeaderType.ResponseTrailers;
    this.sink.flows[direction].trailersCame = true;
    this.source.onHeaders(type, block, 0);
    return block;
  }

  end(reason: EndReason = EndReason.Complete): void {
    this.sink.end();
    this.source.onEnd(reason);
  }

  /** The whole message through the chain. inFlight: how many chunks are still on their way when the chain lets go. */
  async pass(direction: Direction, message: Message, inFlight = 0): Promise<Passed> {
    const { chunks = [], trailers } = message;
    const flow = this.sink.flows[direction];
    const block = this.headers(direction, message);
    await this.until('an answer to the headers', () => flow.mode !== undefined);
    const rest = [...chunks];
    let late = inFlight;
    const past: Uint8Array[] = [];
    let told = rest.length === 0 && trailers === undefined;
    if (flow.mode !== BodyMode.Pass && !told) {
      const whole = flow.mode === BodyMode.Whole;
      for (;;) {
        if (flow.last) {
          rest.length = 0; // drained in Envoy
        } else if (flow.bypass && late-- <= 0) {
          await this.until('all is acknowledged', () => flow.outstanding === 0);
          break;
        } else if (!whole) {
          await this.until('the window opens', () => flow.outstanding < this.window || flow.last || flow.bypass);
          if (flow.last || (flow.bypass && late < 0)) continue;
        }
        const chunk = rest.shift() ?? '';
        const last = rest.length === 0;
        this.data(direction, chunk, last, last && trailers !== undefined);
        if (last) {
          told = true;
          break;
        }
        if (chunk.length % 3 === 0) await settled();
      }
    }
    if (!told) past.push(Buffer.from(rest.join(''), 'latin1'));
    let trailerBlock: HeaderBlock | undefined;
    const before = flow.out.length;
    if (trailers !== undefined) {
      trailerBlock = this.trailers(direction, trailers);
      await this.until('an answer to the trailers', () => flow.trailersAnswered);
    }
    if (told && flow.mode !== BodyMode.Pass && chunks.length > 0) await this.until('the last output', () => flow.last);
    const parts = told ? flow.out : [...flow.out.slice(0, before), ...past, ...flow.out.slice(before)];
    return {
      headers: [...HeaderLines.of(applyOps(block, flow.ops))],
      body: Buffer.concat(parts).toString('latin1'),
      trailers: trailerBlock === undefined ? undefined : [...HeaderLines.of(applyOps(trailerBlock, flow.trailerOps))],
    };
  }

  async until(what: string, done: () => boolean): Promise<void> {
    for (let i = 0; i < 300; i++) {
      if (done()) return;
      await settled();
    }
    throw new Error(`never came: ${what}\n${this.sink.lines.slice(-40).join('\n')}`);
  }
}

/** A registry with these filters as one chain (config 1). */
export class ListBench {
  readonly logger = new RecordingLogger();
  readonly registry: FilterRegistry;
  readonly drivers: ListDriver[] = [];
  private window: number = RULES.streamWindow;

  private constructor(filters: readonly Filter[]) {
    this.registry = new FilterRegistry([...new Set(filters)], {
      logger: this.logger,
    });
  }

  static async of(filters: readonly Filter[], rules: Partial<ConfigRules> = {}): Promise<ListBench> {
    const bench = new ListBench(filters);
    bench.window = rules.streamWindow ?? RULES.streamWindow;
    const verdict = await bench.registry.parseList(
      1,
      'chain',
      filters.map(({ name }) => ({ name, config: undefined })),
      { ...RULES, ...rules },
    );
    if (!verdict.accepted) throw new Error(verdict.message);
    return bench;
  }

  open(options: OpenList = {}): ListDriver {
    const driver = new ListDriver(this.registry, this.window, options);
    this.drivers.push(driver);
    return driver;
  }

  get violations(): string[] {
    return this.drivers.flatMap((driver) => driver.sink.violations);
  }
}
