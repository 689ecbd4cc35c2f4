import { core, type Ctx, type Exit, type Plugin } from '../core/index.js';
import { resolveVars } from '../core/utils.js';
import { Counters, type KeyConf, keyOf } from './limits.js';
import { takeFromRedis } from './limit-redis.js';
import { checkRedis, contentId, REDIS_PROPERTIES, type RedisConf, SENTINEL_PROPERTIES } from './redis.js';
import { type Quota, takeLocal, type Window, type WindowType } from './windows.js';

type Amount = number | string;
interface Rule {
  readonly count: Amount;
  readonly time_window: Amount;
  readonly key: string;
  readonly header_prefix?: string;
}
interface Conf extends KeyConf, RedisConf {
  readonly count?: Amount;
  readonly time_window?: Amount;
  readonly rules?: readonly Rule[];
  readonly window_type: WindowType;
  readonly group?: string;
  readonly rejected_code: number;
  readonly rejected_msg?: string;
  readonly allow_degradation: boolean;
  readonly show_limit_quota_header: boolean;
}

/** Plugin metadata: the names of the response's headers. */
interface Metadata {
  readonly limit_header: string;
  readonly remaining_header: string;
  readonly reset_header: string;
}
const NAMES: Metadata = {
  limit_header: 'X-RateLimit-Limit',
  remaining_header: 'X-RateLimit-Remaining',
  reset_header: 'X-RateLimit-Reset',
};

/** One limit as it is for one request. */
interface Limit {
  readonly key: string;
  readonly count: number;
  readonly window: number;
  readonly names: Metadata;
}
const groups = new Map<string, Counters<Window>>();
const countersOf = core.lrucache.per_conf(({ group }: Conf) => {
  if (group === undefined) return new Counters<Window>();
  let counters = groups.get(group);
  if (counters === undefined) groups.set(group, (counters = new Counters<Window>()));
  return counters;
});
const amount = {
  oneOf: [
    { type: 'integer', exclusiveMinimum: 0 },
    { type: 'string', minLength: 1 },
  ],
};

export const limitCount: Plugin<Conf> = {
  version: 0.4,
  priority: 1002,
  name: 'limit-count',
  schema: {
    type: 'object',
    properties: {
      count: amount,
      time_window: amount,
      window_type: { type: 'string', enum: ['fixed', 'sliding'], default: 'fixed' },
      rules: {
        type: 'array',
        minItems: 1,
        items: {
          type: 'object',
          properties: {
            count: amount,
            time_window: amount,
            key: { type: 'string' },
            header_prefix: { type: 'string' },
          },
          required: ['count', 'time_window', 'key'],
        },
      },
      group: { type: 'string', minLength: 1 },
      key: { type: 'string', default: 'remote_addr' },
      key_type: { type: 'string', enum: ['var', 'var_combination', 'constant'], default: 'var' },
      rejected_code: { type: 'integer', minimum: 200, maximum: 599, default: 503 },
      rejected_msg: { type: 'string', minLength: 1 },
      policy: { type: 'string', enum: ['local', 'redis', 'redis-cluster', 'redis-sentinel'], default: 'local' },
      allow_degradation: { type: 'boolean', default: false },
      show_limit_quota_header: { type: 'boolean', default: true },
      ...REDIS_PROPERTIES,
      ...SENTINEL_PROPERTIES,
    },
  },

  metadata_schema: {
    type: 'object',
    properties: {
      limit_header: { type: 'string', default: NAMES.limit_header },
      remaining_header: { type: 'string', default: NAMES.remaining_header },
      reset_header: { type: 'string', default: NAMES.reset_header },
    },
  },

  check_schema(conf, type) {
    if (type === 'metadata') return core.schema.check(this.metadata_schema!, conf);
    const wrong = core.schema.check(this.schema, conf);
    if (wrong !== undefined) return wrong;
    const hasOwn = conf.count !== undefined || conf.time_window !== undefined;
    if (conf.rules !== undefined && hasOwn) return 'count/time_window and rules cannot be specified at the same time';
    if (conf.rules === undefined && (conf.count === undefined || conf.time_window === undefined)) {
      return 'value should match only one schema, but matches none';
    }
    const keys = (conf.rules ?? []).map(({ key }) => key);
    const twice = keys.find((key, i) => keys.indexOf(key) !== i);
    if (twice !== undefined) return `duplicate key '${twice}' in rules`;
    return checkRedis(conf);
  },

  async access(conf, ctx) {
    let limits: readonly Limit[];
    try {
      limits = limitsOf(conf, ctx);
    } catch (error) {
      return degrade(conf, ctx, (error as Error).message);
    }
    if (limits.length === 0) return degrade(conf, ctx, 'failed to get rate limit rules');
    for (const limit of limits) {
      const answer = await apply(conf, ctx, limit);
      if (answer !== undefined) return answer;
    }
    return undefined;
  },
};

function degrade(conf: Conf, ctx: Ctx, why: string): Exit | undefined {
  ctx.log.error(why);
  return conf.allow_degradation ? undefined : [500, { error_msg: 'failed to limit count' }];
}

async function apply(conf: Conf, ctx: Ctx, limit: Limit): Promise<Exit | undefined> {
  let quota: Quota;
  try {
    quota = await take(conf, limit);
  } catch (error) {
    return degrade(conf, ctx, `failed to limit count: ${(error as Error).message}`);
  }
  if (conf.show_limit_quota_header) {
    core.response.set_header(ctx, limit.names.limit_header, limit.count);
    core.response.set_header(ctx, limit.names.remaining_header, Math.max(quota.left, 0));
    core.response.set_header(ctx, limit.names.reset_header, quota.reset);
  }
  if (quota.left >= 0) return undefined;
  const { rejected_code, rejected_msg } = conf;
  return rejected_msg === undefined ? rejected_code : [rejected_code, { error_msg: rejected_msg }];
}

/** At once when the counter is one of this thread. */
function take(conf: Conf, { key, count, window }: Limit): Quota | Promise<Quota> {
  const name = `${String(window)}:${key}`;
  const type = conf.window_type;
  if (conf.policy === 'local') return takeLocal(countersOf(conf), type, name, count, window);
  return takeFromRedis(conf, type, `apisix:limit-count:${conf.group ?? contentId(conf)}:${name}`, count, window);
}

function limitsOf(conf: Conf, ctx: Ctx): readonly Limit[] {
  if (conf.rules === undefined) {
    const [count, window] = [valueOf(conf.count ?? 0, ctx), valueOf(conf.time_window ?? 0, ctx)];
    const names = ctx.scope.metadata<Metadata>('limit-count') ?? NAMES;
    return [{ key: keyOf(conf, ctx), count, window, names }];
  }
  return conf.rules.flatMap((rule, i) => {
    const { text, resolved } = resolveVars(rule.key, ctx.var);
    // A rule is for requests that have what it counts by.
    if (resolved === 0) return [];
    const names = namesFor(rule.header_prefix ?? String(i + 1));
    return [{ key: text, count: valueOf(rule.count, ctx), window: valueOf(rule.time_window, ctx), names }];
  });
}

/** With rules, each has headers of its own. */
const namesFor = (prefix: string): Metadata => ({
  limit_header: `X-${prefix}-RateLimit-Limit`,
  remaining_header: `X-${prefix}-RateLimit-Remaining`,
  reset_header: `X-${prefix}-RateLimit-Reset`,
});

/** Numbers from variables come from clients: nothing else than a whole number above 0 passes. */
function valueOf(amount: Amount, ctx: Ctx): number {
  if (typeof amount === 'number') return amount;
  const value = Number(core.utils.resolve_var(amount, ctx.var));
  if (!(value > 0)) throw new Error('resolved value must be a positive number');
  if (!Number.isInteger(value)) throw new Error('resolved value must be an integer');
  if (!Number.isSafeInteger(value)) throw new Error('resolved value exceeds safe integer range');
  return value;
}
