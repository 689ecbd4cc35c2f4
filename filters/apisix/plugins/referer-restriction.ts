import { core, type Plugin } from '../core/index.js';

interface Conf {
  readonly whitelist?: readonly string[];
  readonly blacklist?: readonly string[];
  readonly message: string;
  readonly bypass_missing: boolean;
}

const hosts = { type: 'array', minItems: 1, items: { type: 'string', pattern: '^\\*?[0-9a-zA-Z-._]+$' } };

export const refererRestriction: Plugin<Conf> = {
  version: 0.1,
  priority: 2990,
  name: 'referer-restriction',
  schema: {
    type: 'object',
    properties: {
      bypass_missing: { type: 'boolean', default: false },
      whitelist: hosts,
      blacklist: hosts,
      message: { type: 'string', minLength: 1, maxLength: 1024, default: 'Your referer host is not allowed' },
    },
    oneOf: [{ required: ['whitelist'] }, { required: ['blacklist'] }],
  },

  access(conf, ctx) {
    const host = hostOf(core.request.header(ctx, 'referer'));
    const refused = [403, { message: conf.message }] as const;
    if (host === undefined) return conf.bypass_missing ? undefined : refused;
    const isListed = (conf.whitelist ?? conf.blacklist ?? []).some((pattern) => matches(host, pattern.toLowerCase()));
    return isListed === (conf.whitelist !== undefined) ? undefined : refused;
  },
};

/** undefined also for what is no URL. */
function hostOf(referer: string | undefined): string | undefined {
  if (referer === undefined || !/^https?:\/\//i.test(referer) || !URL.canParse(referer)) return undefined;
  return new URL(referer).hostname;
}

const matches = (host: string, pattern: string): boolean =>
  pattern.startsWith('*') ? host.endsWith(pattern.slice(1)) : host === pattern;
