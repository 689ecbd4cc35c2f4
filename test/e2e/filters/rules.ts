import { ConfigError, defineFilter } from 'envoy-ts-filter';

interface Config {
  set: Record<string, string>;
  remove: string[];
}

function parse(raw: unknown): Config {
  const { set = {}, remove = [], refuse } = (raw ?? {}) as Partial<Config> & { refuse?: string };
  if (refuse !== undefined) throw new ConfigError('refuse', refuse);
  return { set, remove };
}

/** Sets and removes request headers as configured; a route's rules come on top of the filter's own. */
export default defineFilter({
  name: 'rules',
  parseConfig: parse,
  parseRouteConfig: parse,
  mergeConfig: (parent, child) => ({
    set: { ...parent.set, ...child.set },
    remove: [...parent.remove, ...child.remove],
  }),
  create: (config) => ({
    decodeHeaders(headers) {
      for (const name of config.remove) headers.delete(name);
      for (const [name, value] of Object.entries(config.set)) headers.set(name, value);
    },
  }),
});
