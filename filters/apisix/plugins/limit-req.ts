import { core, type Plugin } from '../core/index.js';
import { Counters, type KeyConf, keyOf } from './limits.js';
import { fillInRedis } from './limit-redis.js';
import { checkRedis, contentId, REDIS_PROPERTIES, type RedisConf } from './redis.js';

interface Conf extends KeyConf, RedisConf {
  readonly rate: number;
  readonly burst: number;
  readonly rejected_code: number;
  readonly rejected_msg?: string;
  readonly nodelay: boolean;
  readonly allow_degradation: boolean;
}

/** A bucket that leaks: how many requests are above the rate, as of `at`. */
interface Bucket {
  readonly excess: number;
  readonly at: number;
  readonly until: number;
}
const bucketsOf = core.lrucache.per_conf((_conf: Conf) => new Counters<Bucket>());

export const limitReq: Plugin<Conf> = {
  version: 0.1,
  priority: 1001,
  name: 'limit-req',
  schema: {
    type: 'object',
    properties: {
      rate: { type: 'number', exclusiveMinimum: 0 },
      burst: { type: 'number', minimum: 0 },
      key: { type: 'string' },
      key_type: { type: 'string', enum: ['var', 'var_combination'], default: 'var' },
      policy: { type: 'string', enum: ['local', 'redis', 'redis-cluster'], default: 'local' },
      rejected_code: { type: 'integer', minimum: 200, maximum: 599, default: 503 },
      rejected_msg: { type: 'string', minLength: 1 },
      nodelay: { type: 'boolean', default: false },
      allow_degradation: { type: 'boolean', default: false },
      ...REDIS_PROPERTIES,
    },
    oneOf: [{ required: ['rate', 'burst', 'key'] }],
  },

  check_schema(conf) {
    return core.schema.check(this.schema, conf) ?? checkRedis(conf);
  },

  async access(conf, ctx) {
    let excess: number | undefined;
    try {
      excess = await fill(conf, keyOf(conf, ctx));
    } catch (error) {
      ctx.log.error(`failed to limit req: ${(error as Error).message}`);
      return conf.allow_degradation ? undefined : 500;
    }
    if (excess === undefined) {
      const { rejected_code, rejected_msg } = conf;
      return rejected_msg === undefined ? rejected_code : [rejected_code, { error_msg: rejected_msg }];
    }
    const seconds = excess / conf.rate;
    if (seconds >= 0.001 && !conf.nodelay) await ctx.sleep(seconds * 1000);
    return undefined;
  },
};

/** How many requests this one is above the rate; undefined = it is one too many. At once when the bucket is one of this
 *  thread. */
function fill(conf: Conf, key: string): number | undefined | Promise<number | undefined> {
  if (conf.policy !== 'local') return fillInRedis(conf, `apisix:limit-req:${contentId(conf)}:${key}`);
  const buckets = bucketsOf(conf);
  const now = performance.now();
  const before = buckets.get(key, now);
  const leaked = before === undefined ? 0 : ((now - before.at) / 1000) * conf.rate;
  const excess = before === undefined ? 0 : Math.max(before.excess - leaked + 1, 0);
  if (excess > conf.burst) return undefined;
  // When it is empty and one request is through, it is as good as none.
  buckets.set(key, { excess, at: now, until: now + ((excess + 1) / conf.rate) * 1000 });
  return excess;
}
