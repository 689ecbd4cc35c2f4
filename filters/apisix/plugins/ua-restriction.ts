import { checkRegex, compileRegex, core, type Plugin } from '../core/index.js';

interface Conf {
  readonly allowlist?: readonly string[];
  readonly denylist?: readonly string[];
  readonly message: string;
  readonly bypass_missing: boolean;
}

const patterns = { type: 'array', minItems: 1, items: { type: 'string', minLength: 1 } };
const regexesOf = core.lrucache.per_conf((conf: Conf) =>
  (conf.allowlist ?? conf.denylist ?? []).map((pattern) => compileRegex(pattern)),
);

export const uaRestriction: Plugin<Conf> = {
  version: 0.1,
  priority: 2999,
  name: 'ua-restriction',
  schema: {
    type: 'object',
    properties: {
      bypass_missing: { type: 'boolean', default: false },
      allowlist: patterns,
      denylist: patterns,
      message: { type: 'string', minLength: 1, maxLength: 1024, default: 'Not allowed' },
    },
    oneOf: [{ required: ['allowlist'] }, { required: ['denylist'] }],
  },

  check_schema(conf) {
    const wrong = core.schema.check(this.schema, conf);
    if (wrong !== undefined) return wrong;
    for (const pattern of conf.allowlist ?? conf.denylist ?? []) {
      const why = checkRegex(pattern);
      if (why !== undefined) return why;
    }
    return undefined;
  },

  access(conf, ctx) {
    const agents = ctx.request.getAll('user-agent').map((agent) => agent.trim());
    const refused = [403, { message: conf.message }] as const;
    if (agents.length === 0) return conf.bypass_missing ? undefined : refused;
    const isListed = regexesOf(conf).some((regex) => agents.some((agent) => regex.test(agent)));
    return isListed === (conf.allowlist !== undefined) ? undefined : refused;
  },
};
