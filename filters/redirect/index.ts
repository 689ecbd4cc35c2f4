import { ConfigError, defineFilter, type Json } from 'envoy-ts-filter';

interface Config {
  /** The answer's status. */
  ret_code: number;
  /** Goes into `location` as it is. */
  uri: string;
}

/** Answers every request with a redirect; the config has the shape of APISIX's plugin of that name. */
export default defineFilter({
  name: 'redirect',
  phases: ['decodeHeaders'],
  parseConfig: (raw) => parse({ ret_code: 302 }, raw),
  parseRouteConfig: (raw) => toObject(raw),
  mergeConfig: (parent, child) => parse(parent, child),
  create: (config, callbacks) => ({
    decodeHeaders: () => callbacks.sendLocalReply(config.ret_code, { headers: { location: config.uri } }),
  }),
});

function parse(defaults: Partial<Config>, raw: Json | undefined): Config {
  const { ret_code, uri } = { ...defaults, ...toObject(raw) };
  if (typeof ret_code !== 'number' || !Number.isInteger(ret_code) || ret_code < 300 || ret_code > 399) {
    throw new ConfigError('ret_code', 'must be a whole number from 300 to 399');
  }
  // No spaces or control characters: a header value that could not be written, or would split.
  if (typeof uri !== 'string' || !/^[\x21-\x7e]+$/.test(uri)) {
    throw new ConfigError('uri', 'must be a URI: visible ASCII characters, at least one');
  }
  return { ret_code, uri };
}

function toObject(raw: Json | undefined): { readonly [key: string]: Json } {
  if (raw === undefined || raw === null) return {};
  if (typeof raw !== 'object' || Array.isArray(raw)) throw new ConfigError('', 'must be an object');
  return raw as { readonly [key: string]: Json };
}
