/** Counters in Redis, for limit-count. */
import { runtime } from 'envoy-ts-filter';
import type { Redis } from 'ioredis';
import { core } from '../core/index.js';
import type { Quota } from './limit-count.js';
import type { RedisConf } from './limits.js';

/** Counts one, and answers the count and the seconds that are left of its window. */
const COUNT = `
local used = redis.call('INCR', KEYS[1])
if used == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return { used, redis.call('TTL', KEYS[1]) }`;

const clients = (): Map<string, Promise<Redis>> => runtime.perWorker('apisix.redis', () => new Map());

export async function takeFromRedis(conf: RedisConf, key: string, count: number, window: number): Promise<Quota> {
  const redis = await clientOf(conf);
  const [used, reset] = (await redis.eval(COUNT, 1, key, window)) as [number, number];
  return { left: count - used, reset: Math.max(reset, 0) };
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
