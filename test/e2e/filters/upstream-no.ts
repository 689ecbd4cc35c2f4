import { defineFilter } from 'envoy-ts-filter';

type Hooked = ReturnType<Parameters<typeof defineFilter>[0]['create']>;
const WITH: Record<string, Hooked> = {
  encodeHeaders: { encodeHeaders: () => undefined },
  encodeData: { encodeData: () => undefined },
  encodeTrailers: { encodeTrailers: () => undefined },
  decodeTrailers: { decodeTrailers: () => undefined },
  onLog: { onLog: () => undefined },
  'decodeData, piece by piece': { decodeData: () => undefined },
  transformRequest: {
    async *transformRequest(body) {
      yield* body;
    },
  },
  transformResponse: {
    async *transformResponse(body) {
      yield* body;
    },
  },
};

/** One hook that an upstream HTTP filter cannot have, named by the config. */
export default defineFilter({
  name: 'upstream-no',
  parseConfig: (raw) => String(raw),
  create: (hook) => WITH[hook] ?? {},
});
