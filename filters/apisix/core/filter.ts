/** The filter: runs the plugins of a stream in APISIX's phases. */
import {
  type BodyStream,
  defineFilter,
  type Filter,
  type FilterCallbacks,
  type Json,
  type LogEntry,
  type RequestHeaders,
  type ResponseHeaders,
  StatusType,
  type StreamFilter,
  type StreamTransform,
  type TransformContext,
} from 'envoy-ts-filter';
import { BodyPart } from './body-part.js';
import type { Chain, Use } from './chain.js';
import { type Config, parseConfig } from './config.js';
import { ATTRIBUTES, Ctx, type CtxAttribute } from './ctx.js';
import type { Answer, Exit, Plugin } from './plugin.js';
import { PluginRegistry } from './registry.js';

export interface ApisixOptions {
  /** The filter's name in Envoy's configuration. */
  readonly name?: string;
  readonly plugins: readonly Plugin[];
}

/** A filter that runs these plugins. */
export function apisix({ name = 'apisix', plugins }: ApisixOptions): Filter<Config> {
  const registry = new PluginRegistry(plugins);
  return defineFilter({
    name,
    attributes: ATTRIBUTES,
    parseConfig: (raw: Json | undefined, cx) => parseConfig(raw, cx, registry),
    mergeConfig: (filter, route) => filter.merge(route),
    create: (config, callbacks) => hooksOf(new Exchange(config, callbacks), config),
  });
}

type Hooks = Pick<StreamFilter, 'decodeHeaders' | 'encodeHeaders' | 'onLog'> & {
  transformRequest?: StreamTransform<RequestHeaders>;
  transformResponse?: StreamTransform<ResponseHeaders>;
};

/** Only the hooks that the plugins need are sent to the host. */
function hooksOf(exchange: Exchange, { isFixed, chain }: Config): Hooks {
  const hooks: Hooks = {
    decodeHeaders: (headers, end) => exchange.decodeHeaders(headers, end),
    encodeHeaders: (headers, end) => exchange.encodeHeaders(headers, end),
  };
  if (!isFixed || chain.needsBody) hooks.transformRequest = (body, cx) => exchange.transformRequest(body, cx);
  if (!isFixed || chain.body_filter.length > 0)
    hooks.transformResponse = (body, cx) => exchange.transformResponse(body, cx);
  if (!isFixed || chain.log.length > 0) hooks.onLog = (entry) => exchange.onLog(entry);
  return hooks;
}

/** One stream. */
class Exchange {
  private ctx: Ctx | undefined;
  private chain: Chain | undefined;
  /** The request's phases wait for its body. */
  private bodyWanted = false;
  private parts: BodyPart[] | undefined;

  constructor(
    private readonly config: Config,
    private readonly callbacks: FilterCallbacks<CtxAttribute>,
  ) {}

  async decodeHeaders(headers: RequestHeaders, end: boolean) {
    this.ctx = new Ctx(this.callbacks, headers, this.config.scope);
    const found = await this.findChain();
    if (found === undefined) {
      return this.callbacks.sendLocalReply(500, { details: 'apisix_config_refused' });
    }
    this.chain = found;
    if (found.needsBody && !end) {
      this.bodyWanted = true;
      return StatusType.StopAndBuffer;
    }
    return this.runRequest(this.ctx, found);
  }

  async *transformRequest(body: BodyStream, cx: TransformContext<RequestHeaders>) {
    const { ctx, chain } = this;
    if (!this.bodyWanted || ctx === undefined || chain === undefined) {
      cx.bypass();
      return;
    }
    const pieces: Uint8Array[] = [];
    for await (const piece of body) pieces.push(piece);
    ctx.body = Buffer.concat(pieces);
    const answer = await this.runRequest(ctx, chain);
    if (answer === StatusType.Continue) yield ctx.body;
  }

  async encodeHeaders(headers: ResponseHeaders, end: boolean): Promise<void> {
    const { ctx, chain } = this;
    if (ctx === undefined || chain === undefined) return;
    ctx.respond(headers);
    if (chain.asksUpstream && ctx.upstream !== undefined) {
      ctx.upstream.address = await this.callbacks.getProperty('upstream.address').catch(() => undefined);
    }
    for (const { plugin, conf } of running(chain.header_filter, ctx)) await plugin.header_filter?.(conf, ctx);
    if (end && chain.body_filter.length > 0 && mayHaveBody(ctx, headers.status)) {
      const body = this.filterBody(ctx, chain, '', true);
      if (body.length > 0) this.callbacks.encoderFilterCallbacks().addData(body);
    }
  }

  async *transformResponse(body: BodyStream, cx: TransformContext<ResponseHeaders>) {
    const { ctx, chain } = this;
    if (ctx === undefined || chain === undefined || chain.body_filter.length === 0) {
      cx.bypass();
      return;
    }
    for await (const piece of body) {
      const out = this.filterBody(ctx, chain, piece, false);
      if (out.length > 0) yield out;
    }
    const rest = this.filterBody(ctx, chain, '', true);
    if (rest.length > 0) yield rest;
  }

  onLog(entry: LogEntry): void {
    const { ctx, chain } = this;
    if (ctx === undefined || chain === undefined) return;
    ctx.entry = entry;
    if (!ctx.local) ctx.upstream ??= { status: undefined, address: undefined };
    if (ctx.upstream !== undefined) ctx.upstream.address ??= entry.attributes['upstream.address'];
    for (const { plugin, conf } of running(chain.log, ctx)) plugin.log?.(conf, ctx);
  }

  /** undefined: the plugins that the stream names are wrong, which is in the log. */
  private async findChain(): Promise<Chain | undefined> {
    const { filterState, chain } = this.config;
    if (filterState === undefined) return chain;
    const state = await this.callbacks.streamInfo().filterState.getString(filterState);
    // Envoy writes `-` for metadata that a route does not have.
    if (state === undefined || state === '' || state === '-') return chain;
    try {
      return this.config.chainOf(state);
    } catch (error) {
      this.callbacks.log.error(`filter state ${filterState}: ${(error as Error).message}`);
      return undefined;
    }
  }

  private async runRequest(ctx: Ctx, found: Chain) {
    let chain = found;
    let exit = await firstExit(chain.rewrite, ctx, ({ plugin, conf }) => plugin.rewrite?.(conf, ctx));
    const ofConsumer = ctx.consumer === undefined ? undefined : this.config.ofConsumer(ctx.consumer);
    if (exit === undefined && ctx.consumer !== undefined && ofConsumer !== undefined) {
      this.chain = chain = chain.of(ctx.consumer, ofConsumer);
      const added = chain.rewrite.filter((use) => ofConsumer.includes(use));
      exit = await firstExit(added, ctx, ({ plugin, conf }) => plugin.rewrite?.(conf, ctx));
    }
    exit ??= await firstExit(chain.access, ctx, ({ plugin, conf }) => plugin.access?.(conf, ctx));
    if (exit !== undefined) return this.reply(ctx, exit);
    ctx.applyRequest();
    return StatusType.Continue;
  }

  private reply(ctx: Ctx, { use, exit }: Ended) {
    ctx.local = true;
    const [status, own] = typeof exit === 'number' ? [exit] : exit;
    const body = status >= 400 ? (use.error_response ?? own) : own;
    const isText = typeof body === 'string' || body instanceof Uint8Array;
    return this.callbacks.sendLocalReply(status, {
      details: `apisix_${use.plugin.name.replaceAll('-', '_')}`,
      ...(body === undefined ? {} : { body: isText ? body : `${JSON.stringify(body)}\n` }),
      ...(body === undefined || isText ? {} : { headers: { 'content-type': 'application/json' } }),
    });
  }

  private filterBody(ctx: Ctx, chain: Chain, piece: Uint8Array | string, eof: boolean): Uint8Array | string {
    this.parts ??= chain.body_filter.map(() => new BodyPart());
    let data = piece;
    for (const [i, use] of chain.body_filter.entries()) {
      if (!use.runs(ctx.var)) continue;
      const part = this.parts[i]!;
      part.data = data;
      part.eof = eof;
      use.plugin.body_filter?.(use.conf, ctx, part);
      part.first = false;
      data = part.data;
    }
    return data;
  }
}

const mayHaveBody = (ctx: Ctx, status: number): boolean =>
  ctx.asked.method !== 'HEAD' && status !== 204 && status !== 304;

interface Ended {
  readonly use: Use;
  readonly exit: Exit;
}

async function firstExit(uses: readonly Use[], ctx: Ctx, run: (use: Use) => Answer): Promise<Ended | undefined> {
  for (const use of running(uses, ctx)) {
    // Most plugins answer at once.
    const answer = run(use);
    const exit = answer instanceof Promise ? await answer : answer;
    if (exit !== undefined) return { use, exit };
  }
  return undefined;
}

function* running(uses: readonly Use[], ctx: Ctx): Generator<Use> {
  for (const use of uses) if (use.runs(ctx.var)) yield use;
}
