import { randomInt } from 'node:crypto';
import type { Json } from 'envoy-ts-filter';
import { checkExpr, compileExpr, core, type Ctx, type Plugin } from '../core/index.js';

interface When {
  readonly percentage?: number;
  readonly vars?: readonly Json[];
}
interface Conf {
  readonly abort?: When & {
    readonly http_status: number;
    readonly body?: string;
    readonly headers?: Readonly<Record<string, string | number>>;
  };
  readonly delay?: When & { readonly duration: number };
}

const when = {
  percentage: { type: 'integer', minimum: 0, maximum: 100 },
  vars: { type: 'array', maxItems: 20, items: { type: 'array' } },
};
const exprsOf = core.lrucache.per_conf(({ vars = [] }: When) => vars.map((rule) => compileExpr(rule)));

export const faultInjection: Plugin<Conf> = {
  version: 0.1,
  priority: 11000,
  name: 'fault-injection',
  schema: {
    type: 'object',
    properties: {
      abort: {
        type: 'object',
        properties: {
          http_status: { type: 'integer', minimum: 200 },
          body: { type: 'string', minLength: 0 },
          headers: {
            type: 'object',
            minProperties: 1,
            additionalProperties: { anyOf: [{ type: 'string' }, { type: 'number' }] },
          },
          ...when,
        },
        required: ['http_status'],
      },
      delay: {
        type: 'object',
        properties: { duration: { type: 'number', minimum: 0 }, ...when },
        required: ['duration'],
      },
    },
    minProperties: 1,
  },

  check_schema(conf) {
    const wrong = core.schema.check(this.schema, conf);
    if (wrong !== undefined) return wrong;
    for (const rule of [...(conf.abort?.vars ?? []), ...(conf.delay?.vars ?? [])]) {
      const why = checkExpr(rule);
      if (why !== undefined) return why;
    }
    return undefined;
  },

  async rewrite({ abort, delay }, ctx) {
    // Both are decided before one of them takes its time.
    const delays = delay !== undefined && applies(delay, ctx);
    const aborts = abort !== undefined && applies(abort, ctx);
    if (delays) await ctx.sleep(delay.duration * 1000);
    if (!aborts) return undefined;
    for (const [name, value] of Object.entries(abort.headers ?? {})) {
      core.response.set_header(ctx, name, core.utils.headerSafe(core.utils.resolve_var(String(value), ctx.var)));
    }
    if (abort.body === undefined) return abort.http_status;
    return [abort.http_status, Buffer.from(core.utils.resolve_var(abort.body, ctx.var), 'latin1')];
  },
};

/** The dice, and then one of the conditions. */
function applies(part: When, ctx: Ctx): boolean {
  if (part.percentage !== undefined && randomInt(100) >= part.percentage) return false;
  const exprs = exprsOf(part);
  return exprs.length === 0 || exprs.some((expr) => expr(ctx.var));
}
