/** Connections to Redis: a server, a cluster, or the server that sentinels name. */
import { createHash } from 'node:crypto';
import { runtime } from 'envoy-ts-filter';
import type { Cluster, Redis } from 'ioredis';
import { core } from '../core/index.js';

export interface RedisConf {
  readonly policy: 'local' | 'redis' | 'redis-cluster' | 'redis-sentinel';
  readonly redis_host?: string;
  readonly redis_port: number;
  readonly redis_username?: string;
  readonly redis_password?: string;
  readonly redis_database: number;
  readonly redis_timeout: number;
  readonly redis_ssl: boolean;
  readonly redis_ssl_verify: boolean;
  readonly redis_cluster_nodes?: readonly string[];
  readonly redis_cluster_name?: string;
  readonly redis_cluster_ssl: boolean;
  readonly redis_cluster_ssl_verify: boolean;
  readonly redis_sentinels?: readonly { readonly host: string; readonly port: number }[];
  readonly redis_master_name?: string;
  readonly redis_role: 'master' | 'slave';
  readonly redis_connect_timeout: number;
  readonly redis_read_timeout: number;
  readonly sentinel_username?: string;
  readonly sentinel_password?: string;
}

const milliseconds = { type: 'integer', minimum: 1, default: 1000 };
export const REDIS_PROPERTIES = {
  redis_host: { type: 'string', minLength: 2 },
  redis_port: { type: 'integer', minimum: 1, default: 6379 },
  redis_username: { type: 'string', minLength: 1 },
  redis_password: { type: 'string', minLength: 0 },
  redis_database: { type: 'integer', minimum: 0, default: 0 },
  redis_timeout: milliseconds,
  redis_ssl: { type: 'boolean', default: false },
  redis_ssl_verify: { type: 'boolean', default: false },
  redis_cluster_nodes: { type: 'array', minItems: 1, items: { type: 'string', minLength: 2, maxLength: 100 } },
  redis_cluster_name: { type: 'string' },
  redis_cluster_ssl: { type: 'boolean', default: false },
  redis_cluster_ssl_verify: { type: 'boolean', default: false },
};
export const SENTINEL_PROPERTIES = {
  redis_sentinels: {
    type: 'array',
    minItems: 1,
    items: {
      type: 'object',
      properties: { host: { type: 'string', minLength: 2 }, port: { type: 'integer', minimum: 1 } },
      required: ['host', 'port'],
    },
  },
  redis_master_name: { type: 'string', minLength: 1 },
  redis_role: { type: 'string', enum: ['master', 'slave'], default: 'master' },
  redis_connect_timeout: milliseconds,
  redis_read_timeout: milliseconds,
  sentinel_username: { type: 'string', minLength: 1 },
  sentinel_password: { type: 'string', minLength: 1 },
};

const REQUIRED = {
  local: [],
  redis: ['redis_host'],
  'redis-cluster': ['redis_cluster_nodes', 'redis_cluster_name'],
  'redis-sentinel': ['redis_sentinels', 'redis_master_name'],
} as const;

/** What a policy needs beside what the schema says. */
export function checkRedis(conf: RedisConf): string | undefined {
  const isThere = REQUIRED[conf.policy].every((key) => conf[key] !== undefined);
  return isThere ? undefined : 'then clause did not match';
}

/** Threads and hosts that share a Redis count together what is configured alike. The text has secrets in it. */
export const contentId = core.lrucache.per_conf((conf: object) =>
  createHash('sha256').update(JSON.stringify(conf)).digest('base64url').slice(0, 22),
);

type Client = Redis | Cluster;
const clients = (): Map<string, Promise<Client>> => runtime.perWorker('apisix.redis', () => new Map());

const connectionOf = core.lrucache.per_conf((conf: RedisConf) => {
  const keys = ['policy', ...Object.keys(REDIS_PROPERTIES), ...Object.keys(SENTINEL_PROPERTIES)];
  return JSON.stringify(keys.map((key) => conf[key as keyof RedisConf] ?? null));
});

/** Runs a script; rejects when its answer does not come in time, also while there is no connection. */
export async function evaluate(
  conf: RedisConf,
  script: string,
  keys: readonly string[],
  args: readonly (string | number)[],
): Promise<unknown> {
  const ms = conf.policy === 'redis-sentinel' ? conf.redis_connect_timeout : conf.redis_timeout;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer from Redis in ${String(ms)} ms`)), ms);
  });
  const answer = clientOf(conf).then((client) => client.eval(script, keys.length, ...keys, ...args));
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** One connection for each thread and whatever is configured alike. */
function clientOf(conf: RedisConf): Promise<Client> {
  const name = connectionOf(conf);
  let client = clients().get(name);
  if (client === undefined) clients().set(name, (client = connect(conf)));
  return client;
}

async function connect(conf: RedisConf): Promise<Client> {
  const { Cluster, Redis } = await import('ioredis');
  const client =
    conf.policy === 'redis-cluster'
      ? new Cluster((conf.redis_cluster_nodes ?? []).slice(), {
          redisOptions: { ...sharedOptions(conf), ...tls(conf.redis_cluster_ssl, conf.redis_cluster_ssl_verify) },
        })
      : new Redis(conf.policy === 'redis-sentinel' ? sentinelOptions(conf) : serverOptions(conf));
  client.on('error', (error: Error) => core.log.error(`redis: ${error.message}`));
  return client;
}

const sharedOptions = (conf: RedisConf) => ({
  connectTimeout: conf.redis_timeout,
  commandTimeout: conf.redis_timeout,
  // A request does not wait for a server that is away.
  maxRetriesPerRequest: 0,
  ...(conf.redis_username === undefined ? {} : { username: conf.redis_username }),
  ...(conf.redis_password === undefined ? {} : { password: conf.redis_password }),
});

const tls = (used: boolean, verified: boolean) => (used ? { tls: { rejectUnauthorized: verified } } : {});

const serverOptions = (conf: RedisConf) => ({
  ...sharedOptions(conf),
  ...tls(conf.redis_ssl, conf.redis_ssl_verify),
  host: conf.redis_host!,
  port: conf.redis_port,
  db: conf.redis_database,
});

const sentinelOptions = (conf: RedisConf) => ({
  ...sharedOptions(conf),
  connectTimeout: conf.redis_connect_timeout,
  commandTimeout: conf.redis_read_timeout,
  sentinels: (conf.redis_sentinels ?? []).slice(),
  name: conf.redis_master_name!,
  role: conf.redis_role,
  db: conf.redis_database,
  ...(conf.sentinel_username === undefined ? {} : { sentinelUsername: conf.sentinel_username }),
  ...(conf.sentinel_password === undefined ? {} : { sentinelPassword: conf.sentinel_password }),
});
