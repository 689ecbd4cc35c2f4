import { ConfigError, defineFilter, StatusType, type Json } from 'envoy-ts-filter';

interface Config {
  readonly accounts: string;
}

function parseConfig(raw: Json | undefined): Config {
  const { accounts } = (raw ?? {}) as { readonly accounts?: Json };
  if (typeof accounts !== 'string') throw new ConfigError('accounts', 'must be the name of a cluster');
  return { accounts };
}

export default defineFilter({
  name: 'go-tenant',
  parseConfig,
  create(config, callbacks) {
    let tenant = '';
    return {
      async decodeHeaders(headers, endStream) {
        const authorization = headers.get('authorization');
        if (authorization === undefined) {
          return callbacks.sendLocalReply(401, {
            body: 'no token\n',
            headers: { 'www-authenticate': 'Bearer' },
            details: 'no_token',
          });
        }
        const answer = await callbacks.httpCall(config.accounts, {
          path: '/tenant',
          headers: { authorization },
          timeoutMs: 500,
        });
        tenant = (await answer.text()).trim();
        if (!answer.ok) return callbacks.sendLocalReply(403, { body: 'unknown token\n', details: 'unknown_token' });

        headers.delete('authorization');
        headers.set('x-tenant', tenant);
        callbacks.streamInfo().dynamicMetadata.set('tenant', 'name', tenant);
        return endStream ? StatusType.Continue : StatusType.StopAndBuffer;
      },

      // Called once, with the whole body; content-length follows.
      decodeData(buffer) {
        let order: { [key: string]: Json };
        try {
          order = JSON.parse(buffer.text()) as { [key: string]: Json };
        } catch {
          return callbacks.sendLocalReply(400, { body: 'not JSON\n', details: 'not_json' });
        }
        buffer.set(JSON.stringify({ ...order, tenant }));
        return StatusType.Continue;
      },
    };
  },
});
