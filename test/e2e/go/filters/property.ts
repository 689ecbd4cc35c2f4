import { defineFilter, FilterError, type Attribute } from 'envoy-ts-filter';

/** Go's `property` plugin: asks for the attributes that the request names and tells what it got. */
export default defineFilter({
  name: 'go-property',
  attributes: ['request.size', 'response.size', 'response.code'],
  create(_config, callbacks) {
    /** The value, or the error's code. */
    const ask = async (name: string): Promise<unknown> => {
      try {
        return await callbacks.getProperty(name as Attribute);
      } catch (e) {
        if (FilterError.is(e)) return e.code;
        throw e;
      }
    };
    const askAll = async (names: string | undefined): Promise<string> =>
      JSON.stringify(
        Object.fromEntries(
          await Promise.all((names ?? '').split('|').map(async (name) => [name, await ask(name)] as const)),
        ),
      );
    return {
      async decodeHeaders(headers) {
        const info = callbacks.streamInfo();
        headers.set('x-decode', await askAll(headers.get('x-ask-decode')));
        headers.set('x-remote', (await info.downstreamRemoteAddress()) ?? 'none');
        headers.set('x-local', (await info.downstreamLocalAddress()) ?? 'none');
      },
      async encodeHeaders(headers) {
        headers.set('x-encode', await askAll(callbacks.request.get('x-ask-encode')));
      },
      decodeData: () => undefined,
      encodeData: () => undefined,
      onLog({ attributes, request }) {
        callbacks.log.info({ go_property: request.path, attributes: { ...attributes } });
      },
    };
  },
});
