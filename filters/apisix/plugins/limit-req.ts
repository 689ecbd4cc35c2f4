import { core, type Ctx, type Plugin } from '../core/index.js';
import { Counters, type KeyConf, keyOf } from './limits.js';

interface Conf extends KeyConf {
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
      policy: { type: 'string', enum: ['local'], default: 'local' },
      rejected_code: { type: 'integer', minimum: 200, maximum: 599, default: 503 },
      rejected_msg: { type: 'string', minLength: 1 },
      nodelay: { type: 'boolean', default: false },
      allow_degradation: { type: 'boolean', default: false },
    },
    required: ['rate', 'burst', 'key'],
  },

  async access(conf, ctx) {
    const seconds = take(conf, ctx);
    if (seconds === undefined) {
      const { rejected_code, rejected_msg } = conf;
      return rejected_msg === undefined ? rejected_code : [rejected_code, { error_msg: rejected_msg }];
    }
    if (seconds >= 0.001 && !conf.nodelay) await ctx.sleep(seconds * 1000);
    return undefined;
  },
};

/** How long the request has to wait; undefined = it is one too many. */
function take(conf: Conf, ctx: Ctx): number | undefined {
  const buckets = bucketsOf(conf);
  const key = keyOf(conf, ctx);
  const now = performance.now();
  const before = buckets.get(key, now);
  const leaked = before === undefined ? 0 : ((now - before.at) / 1000) * conf.rate;
  const excess = before === undefined ? 0 : Math.max(before.excess - leaked + 1, 0);
  if (excess > conf.burst) return undefined;
  // When it is empty and one request is through, it is as good as none.
  buckets.set(key, { excess, at: now, until: now + ((excess + 1) / conf.rate) * 1000 });
  return excess / conf.rate;
}
