import { core, type Plugin, checkRegex, compileRegex } from '../core/index.js';
import { substitute } from '../core/regex.js';

interface Conf {
  readonly http_to_https?: boolean;
  readonly uri?: string;
  readonly regex_uri?: readonly [string, string];
  readonly ret_code: number;
  readonly encode_uri: boolean;
  readonly append_query_string: boolean;
}

const regexOf = core.lrucache.per_conf((conf: Conf) => compileRegex(conf.regex_uri?.[0] ?? ''));

export const redirect: Plugin<Conf> = {
  version: 0.1,
  priority: 900,
  name: 'redirect',
  schema: {
    type: 'object',
    properties: {
      ret_code: { type: 'integer', minimum: 200, default: 302 },
      uri: {
        type: 'string',
        minLength: 2,
        pattern: String.raw`(\\\$[0-9a-zA-Z_]+)|\$\{([0-9a-zA-Z_]+)\}|\$([0-9a-zA-Z_]+)|(\$|[^$\\]+)`,
      },
      regex_uri: { type: 'array', minItems: 2, maxItems: 2, items: { type: 'string' } },
      http_to_https: { type: 'boolean' },
      encode_uri: { type: 'boolean', default: false },
      append_query_string: { type: 'boolean', default: false },
    },
    oneOf: [{ required: ['uri'] }, { required: ['regex_uri'] }, { required: ['http_to_https'] }],
  },

  check_schema(conf) {
    const wrong = core.schema.check(this.schema, conf);
    if (wrong !== undefined) return wrong;
    if (conf.regex_uri !== undefined) {
      const [pattern, replacement] = conf.regex_uri;
      const why = checkRegex(pattern);
      if (why !== undefined) return `invalid regex_uri(${pattern}, ${replacement}), err:${why}`;
    }
    if (conf.http_to_https === true && conf.append_query_string) {
      return 'only one of `http_to_https` and `append_query_string` can be configured.';
    }
    return undefined;
  },

  rewrite(conf, ctx) {
    const { uri, regex_uri } = conf;
    if (conf.http_to_https === true) {
      if (ctx.var['scheme'] !== 'http') return undefined;
      const port = ctx.scope.attr<{ https_port?: number }>('redirect')?.https_port ?? 443;
      const host = `${String(ctx.var['host'])}${port === 443 ? '' : `:${String(port)}`}`;
      core.response.set_header(ctx, 'location', `https://${host}${String(ctx.var['request_uri'])}`);
      // Only GET and HEAD may become another method.
      return ['GET', 'HEAD'].includes(ctx.request.method) ? 301 : 308;
    }
    let target: string | undefined;
    if (uri !== undefined) target = core.utils.resolve_var(uri, ctx.var);
    else if (regex_uri !== undefined) target = substitute(core.request.get_path(ctx), regexOf(conf), regex_uri[1]);
    if (target === undefined) return undefined;
    if (conf.encode_uri) target = encodeTarget(target);
    if (conf.append_query_string && ctx.query !== '') target += `${target.includes('?') ? '&' : '?'}${ctx.query}`;
    core.response.set_header(ctx, 'location', core.utils.headerSafe(target));
    return conf.ret_code;
  },
};

/** A query that the target has of its own is encoded already. */
function encodeTarget(target: string): string {
  const at = target.indexOf('?');
  const path = at < 0 ? target : target.slice(0, at);
  return core.utils.uri_safe_encode(path) + (at < 0 ? '' : target.slice(at));
}
