import { defineFilter, FilterError } from 'envoy-ts-filter';

/** Go's `secrets` plugin: answers with the secret that the path names. */
export default defineFilter({
  name: 'go-secrets',
  create: (_config, callbacks) => ({
    async decodeHeaders(headers) {
      try {
        const secret = await callbacks.secretManager().getGenericSecret(headers.path.slice(1));
        return callbacks.sendLocalReply(secret === undefined ? 404 : 200, { body: secret ?? '' });
      } catch (e) {
        if (!FilterError.is(e)) throw e;
        return callbacks.sendLocalReply(501, { body: e.code });
      }
    },
  }),
});
