/** Counters in Redis, for limit-count. */
import { runtime } from 'envoy-ts-filter';
import type { Redis } from 'ioredis';
import { core } from '../core/index.js';
import type { RedisConf } from './limits.js';
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

const clients = (): Map<string, Promise<Redis>> => runtime.perWorker('apisix.redis', () => new Map());

export async function takeFromRedis(
  conf: RedisConf,
  type: WindowType,
  key: string,
  count: number,
  window: number,
): Promise<Quota> {
  const redis = await clientOf(conf);
  if (type === 'fixed') {
    const [used, reset] = (await redis.eval(FIXED, 1, key, window)) as [number, number];
    return { left: count - used, reset: Math.max(reset, 0) };
  }
  const { index, passed } = windowAt(Date.now(), window);
  const keys = [`${key}:${String(index)}`, `${key}:${String(index - 1)}`];
  const left = (await redis.eval(SLIDING, 2, ...keys, count, 1 - passed, window)) as number;
  return { left, reset: Math.ceil(window * (1 - passed)) };
}

/** One connection for each server, user and thread. */
function clientOf(conf: RedisConf): Promise<Redis> {
  const { redis_host, redis_port, redis_username, redis_password, redis_database, redis_ssl } = conf;
  const name = JSON.stringify([redis_host, redis_port, redis_username, redis_password, redis_database, redis_ssl]);
  let client = clients().get(name);
  if (client === undefined) clients().set(name, (client = connect(conf)));
  return client;
}

async function connect(conf: RedisConf): Promise<Redis> {
  const { Redis } = await import('ioredis');
  const client = new Redis({
    host: conf.redis_host!,
    port: conf.redis_port,
    db: conf.redis_database,
    connectTimeout: conf.redis_timeout,
    commandTimeout: conf.redis_timeout,
    // A request does not wait for a server that is away.
    maxRetriesPerRequest: 0,
    ...(conf.redis_username === undefined ? {} : { username: conf.redis_username }),
    ...(conf.redis_password === undefined ? {} : { password: conf.redis_password }),
    ...(conf.redis_ssl ? { tls: { rejectUnauthorized: conf.redis_ssl_verify } } : {}),
  });
  client.on('error', (error: Error) => core.log.error(`redis ${conf.redis_host!}: ${error.message}`));
  return client;
}
