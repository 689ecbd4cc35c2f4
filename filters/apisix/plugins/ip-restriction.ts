import { core, type Plugin } from '../core/index.js';

interface Conf {
  readonly whitelist?: readonly string[];
  readonly blacklist?: readonly string[];
  readonly message: string;
  readonly response_code: number;
}

const ranges = { type: 'array', minItems: 1, items: core.ip.IP_OR_CIDR };
const matcherOf = core.lrucache.per_conf((conf: Conf) => new core.ip.IpMatcher(conf.whitelist ?? conf.blacklist ?? []));

export const ipRestriction: Plugin<Conf> = {
  version: 0.1,
  priority: 3000,
  name: 'ip-restriction',
  schema: {
    type: 'object',
    properties: {
      message: { type: 'string', minLength: 1, maxLength: 1024, default: 'Your IP address is not allowed' },
      response_code: { type: 'integer', minimum: 403, maximum: 404, default: 403 },
      whitelist: ranges,
      blacklist: ranges,
    },
    oneOf: [{ required: ['whitelist'] }, { required: ['blacklist'] }],
  },

  access(conf, ctx) {
    const isListed = matcherOf(conf).has(core.request.get_remote_client_ip(ctx));
    if (isListed === (conf.whitelist !== undefined)) return undefined;
    return [conf.response_code, { message: conf.message }];
  },
};
