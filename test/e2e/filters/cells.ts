import { defineFilter } from 'envoy-ts-filter';

/** Faults that a stream can have, by query: `?late-reply` (without any hook for responses, so that nobody here knows that one
 *  has begun), `?wrong-length`, `?recreate`, `?flood`. `hang` in its config: no verdict ever comes. */
export default defineFilter({
  name: 'cells',
  parseConfig: (raw) => ((raw as { hang?: boolean } | undefined)?.hang === true ? new Promise<object>(() => {}) : {}),
  create(_config, callbacks) {
    const asked = (what: string) => callbacks.request.path.includes(what);
    if (asked('late-reply'))
      return {
        async *transformRequest(body) {
          let pieces = 0;
          for await (const chunk of body) {
            if (++pieces > 1) callbacks.sendLocalReply(403);
            yield chunk;
          }
        },
      };
    return {
      encodeHeaders(headers) {
        if (asked('wrong-length')) headers.set('content-length', '5');
        return asked('recreate') ? callbacks.recreateStream() : undefined;
      },
      async *transformRequest(body) {
        yield* body;
      },
      async *transformResponse(body) {
        for await (const chunk of body) {
          if (asked('flood')) for (let i = 0; i < 400; i++) yield new Uint8Array(65_536);
          yield chunk;
        }
      },
    };
  },
});
