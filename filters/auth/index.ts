import { setTimeout as sleep } from 'node:timers/promises';
import { ConfigError, defineFilter, type Json } from 'envoy-ts-filter';

interface Config {
  /** Token to user. */
  tokens: ReadonlyMap<string, string>;
  /** How long a lookup takes. */
  delay_ms: number;
}

/** Lets a request go on when its bearer token is known, with the user's name in `x-user`; else answers 401. */
export default defineFilter({
  name: 'auth',
  phases: ['decodeHeaders'],
  parseConfig: parse,
  create: (config, callbacks) => ({
    async decodeHeaders(headers) {
      // A name that the client claims for itself never passes.
      headers.delete('x-user');
      const token = /^bearer +([^ ]+) *$/i.exec(headers.get('authorization') ?? '')?.[1];
      if (token === undefined) return callbacks.sendLocalReply(401, challenge('Bearer'));

      callbacks.extendTimeout(config.delay_ms);
      const user = await lookup(token, config, callbacks.signal);
      if (user === undefined) return callbacks.sendLocalReply(401, challenge('Bearer error="invalid_token"'));
      headers.set('x-user', user);
    },
  }),
});

/** Stands for a database or a remote service. Rejects at once when the client leaves: nobody waits for the answer. */
async function lookup(token: string, config: Config, signal: AbortSignal): Promise<string | undefined> {
  await sleep(config.delay_ms, undefined, { signal });
  return config.tokens.get(token);
}

const challenge = (value: string) => ({ body: 'unauthorized\n', headers: { 'www-authenticate': value } });

function parse(raw: Json | undefined): Config {
  const { tokens = {}, delay_ms = 0 } = (raw ?? {}) as { readonly [key: string]: Json };
  if (typeof delay_ms !== 'number' || !Number.isInteger(delay_ms) || delay_ms < 0) {
    throw new ConfigError('delay_ms', 'must be a whole number of milliseconds, 0 or more');
  }
  if (typeof tokens !== 'object' || tokens === null || Array.isArray(tokens)) {
    throw new ConfigError('tokens', 'must be an object: token to user name');
  }
  const users = new Map<string, string>();
  for (const [token, user] of Object.entries(tokens)) {
    // The message does not repeat the token: it is a secret, and this goes to the log.
    if (typeof user !== 'string' || !/^[\x21-\x7e]+$/.test(user)) {
      throw new ConfigError('tokens', 'each user name must be of visible ASCII characters');
    }
    users.set(token, user);
  }
  return { tokens: users, delay_ms };
}
