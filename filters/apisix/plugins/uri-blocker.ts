import { checkRegex, compileRegex, core, type Plugin } from '../core/index.js';

interface Conf {
  readonly block_rules: readonly string[];
  readonly rejected_code: number;
  readonly rejected_msg?: string;
  readonly case_insensitive: boolean;
}

const regexesOf = core.lrucache.per_conf(({ block_rules, case_insensitive }: Conf) =>
  block_rules.map((rule) => compileRegex(rule, case_insensitive ? 'i' : '')),
);

export const uriBlocker: Plugin<Conf> = {
  version: 0.1,
  priority: 2900,
  name: 'uri-blocker',
  schema: {
    type: 'object',
    properties: {
      block_rules: { type: 'array', items: { type: 'string', minLength: 1, maxLength: 4096 } },
      rejected_code: { type: 'integer', minimum: 200, default: 403 },
      rejected_msg: { type: 'string', minLength: 1 },
      case_insensitive: { type: 'boolean', default: false },
    },
    required: ['block_rules'],
  },

  check_schema(conf) {
    const wrong = core.schema.check(this.schema, conf);
    if (wrong !== undefined) return wrong;
    for (const rule of conf.block_rules) {
      const why = checkRegex(rule);
      if (why !== undefined) return why;
    }
    return undefined;
  },

  rewrite(conf, ctx) {
    // The path as servers read it: `/./internal/` does not pass a rule for `/internal/`.
    const target = `${core.request.get_path(ctx)}${ctx.query === '' ? '' : `?${ctx.query}`}`;
    if (!regexesOf(conf).some((regex) => regex.test(target))) return undefined;
    const { rejected_code, rejected_msg } = conf;
    return rejected_msg === undefined ? rejected_code : [rejected_code, { error_msg: rejected_msg }];
  },
};
