/** The plugins of a stream, by phase and priority. */
import type { Json } from 'envoy-ts-filter';
import { compileExpr, type Expr } from './expr.js';
import type { Consumer, Plugin } from './plugin.js';

/** APISIX's `_meta`, which stands beside a plugin's own keys. */
export interface Meta {
  readonly disable?: boolean;
  readonly priority?: number;
  readonly filter?: Json;
  readonly error_response?: Json;
}

/** A plugin with its configuration. */
export class Use {
  readonly priority: number;
  readonly error_response: Json | undefined;
  private readonly condition: Expr | undefined;

  constructor(
    readonly plugin: Plugin,
    readonly conf: object,
    meta: Meta = {},
  ) {
    this.priority = meta.priority ?? plugin.priority;
    this.error_response = meta.error_response;
    if (meta.filter !== undefined) this.condition = compileExpr(meta.filter);
  }

  runs(vars: Parameters<Expr>[0]): boolean {
    return this.condition === undefined || this.condition(vars);
  }
}

/** Those of `over` replace the plugins of the same name. */
export function mergeUses(base: readonly Use[], over: readonly Use[]): Use[] {
  const names = new Set(over.map((use) => use.plugin.name));
  return [...base.filter((use) => !names.has(use.plugin.name)), ...over];
}

type Phase = 'rewrite' | 'access' | 'header_filter' | 'body_filter' | 'log';

export class Chain {
  readonly rewrite: readonly Use[];
  readonly access: readonly Use[];
  readonly header_filter: readonly Use[];
  readonly body_filter: readonly Use[];
  readonly log: readonly Use[];
  readonly needsBody: boolean;
  /** Some configuration speaks of the upstream, whose address costs a question. */
  readonly asksUpstream: boolean;
  private readonly ofConsumers = new WeakMap<Consumer, Chain>();

  constructor(private readonly uses: readonly Use[]) {
    const sorted = [...uses].sort((a, b) => b.priority - a.priority);
    const having = (phase: Phase): Use[] => sorted.filter((use) => use.plugin[phase] !== undefined);
    this.rewrite = having('rewrite');
    this.access = having('access');
    this.header_filter = having('header_filter');
    this.body_filter = having('body_filter');
    this.log = having('log');
    this.needsBody = uses.some(({ plugin, conf }) => plugin.needs_body?.(conf) ?? false);
    this.asksUpstream = uses.some(({ conf }) => /upstream_addr|balancer_(ip|port)/.test(JSON.stringify(conf)));
  }

  /** With the plugins of a consumer, which go before the route's. */
  of(consumer: Consumer, uses: readonly Use[]): Chain {
    let chain = this.ofConsumers.get(consumer);
    if (chain === undefined) {
      chain = new Chain(mergeUses(this.uses, uses));
      this.ofConsumers.set(consumer, chain);
    }
    return chain;
  }
}
