/** Counters and buckets in Redis, for limit-count and limit-req. */
import { evaluate, type RedisConf } from './redis.js';
import { type Quota, windowAt, type WindowType } from './windows.js';

/** Counts one, and answers the count and the seconds that are left of its window. */
const FIXED = `
local used = redis.call('INCR', KEYS[1])
if used == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return { used, redis.call('TTL', KEYS[1]) }`;

/** Counts one unless it is too many: KEYS are this window's and that of the one before; ARGV the limit, how much of the one
 *  before counts, and the length. Answers what is left, or -1. */
const SLIDING = `
local before = tonumber(redis.call('GET', KEYS[2]) or 0) * tonumber(ARGV[2])
local used = before + tonumber(redis.call('GET', KEYS[1]) or 0) + 1
if used > tonumber(ARGV[1]) then return -1 end
redis.call('INCR', KEYS[1])
redis.call('EXPIRE', KEYS[1], 2 * tonumber(ARGV[3]))
return math.floor(tonumber(ARGV[1]) - used)`;

export async function takeFromRedis(
  conf: RedisConf,
  type: WindowType,
  key: string,
  count: number,
  window: number,
): Promise<Quota> {
  if (type === 'fixed') {
    const [used, reset] = (await evaluate(conf, FIXED, [key], [window])) as [number, number];
    return { left: count - used, reset: Math.max(reset, 0) };
  }
  const { index, passed } = windowAt(Date.now(), window);
  // In braces: a cluster keeps both in one place.
  const keys = [index, index - 1].map((one) => `{${key}}:${String(one)}`);
  const left = (await evaluate(conf, SLIDING, keys, [count, 1 - passed, window])) as number;
  return { left, reset: Math.ceil(window * (1 - passed)) };
}

/** A bucket that leaks: ARGV are the rate, the burst, the time in milliseconds, and for how many seconds it is of use.
 *  Answers the excess as text (Redis makes whole numbers of others), or -1 when the request is one too many. */
const BUCKET = `
local rate, now = tonumber(ARGV[1]), tonumber(ARGV[3])
local before = redis.call('HMGET', KEYS[1], 'excess', 'at')
local excess = 0
if before[1] then
  local leaked = math.max(now - tonumber(before[2]), 0) / 1000 * rate
  excess = math.max(tonumber(before[1]) - leaked + 1, 0)
end
if excess > tonumber(ARGV[2]) then return '-1' end
redis.call('HSET', KEYS[1], 'excess', tostring(excess), 'at', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return tostring(excess)`;

/** How many requests this one is above the rate; undefined = it is one too many. */
export async function fillInRedis(
  conf: RedisConf & { readonly rate: number; readonly burst: number },
  key: string,
): Promise<number | undefined> {
  const { rate, burst } = conf;
  const seconds = Math.ceil((burst + 1) / rate);
  const excess = Number(await evaluate(conf, BUCKET, [key], [rate, burst, Date.now(), seconds]));
  return excess < 0 ? undefined : excess;
}
