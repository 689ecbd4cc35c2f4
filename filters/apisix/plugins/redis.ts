/** Connections to Redis. */
import { createHash } from 'node:crypto';
import { runtime } from 'envoy-ts-filter';
import type { Redis } from 'ioredis';
import { core } from '../core/index.js';
import type { RedisConf } from './limits.js';

/** Threads and hosts that share a Redis count together what is configured alike. The text has secrets in it. */
export const contentId = core.lrucache.per_conf((conf: object) =>
  createHash('sha256').update(JSON.stringify(conf)).digest('base64url').slice(0, 22),
);

const clients = (): Map<string, Promise<Redis>> => runtime.perWorker('apisix.redis', () => new Map());

/** One connection for each server, user and thread. */
export function clientOf(conf: RedisConf): Promise<Redis> {
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
