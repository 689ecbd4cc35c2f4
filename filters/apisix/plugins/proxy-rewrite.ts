import { checkRegex, compileRegex, core, type Ctx, type Plugin } from '../core/index.js';
import { checkReplacement, expandCaptures } from '../core/regex.js';
import { resolveVars, type VarSource } from '../core/utils.js';
import { checkHeaders, type HeadersConf, readHeaders } from './headers-conf.js';

const METHODS = 'GET POST PUT HEAD DELETE OPTIONS MKCOL COPY MOVE PROPFIND LOCK UNLOCK PATCH TRACE'.split(' ');

interface Conf {
  readonly uri?: string;
  readonly regex_uri?: readonly string[];
  readonly method?: string;
  readonly host?: string;
  readonly headers?: HeadersConf;
  readonly use_real_request_uri_unsafe: boolean;
}

const headersOf = core.lrucache.per_conf((conf: Conf) => readHeaders(conf.headers));
/** Pairs of pattern and replacement. */
const rulesOf = core.lrucache.per_conf(({ regex_uri = [] }: Conf) =>
  regex_uri.flatMap((pattern, i) =>
    i % 2 === 0 ? [{ regex: compileRegex(pattern), to: regex_uri[i + 1] ?? '' }] : [],
  ),
);

const scalar = { oneOf: [{ type: 'string' }, { type: 'number' }] };
const values = { anyOf: [...scalar.oneOf, { type: 'array', minItems: 1, items: scalar }] };

export const proxyRewrite: Plugin<Conf> = {
  version: 0.1,
  priority: 1008,
  name: 'proxy-rewrite',
  schema: {
    type: 'object',
    properties: {
      uri: { type: 'string', minLength: 1, maxLength: 4096, pattern: String.raw`^\/.*` },
      method: { type: 'string', enum: METHODS },
      regex_uri: { type: 'array', minItems: 2, items: { type: 'string' } },
      host: { type: 'string', pattern: String.raw`^[0-9a-zA-Z-.]+(:\d{1,5})?$` },
      headers: {
        anyOf: [
          {
            type: 'object',
            minProperties: 1,
            properties: {
              add: { type: 'object', minProperties: 1, additionalProperties: values },
              set: { type: 'object', additionalProperties: values },
              remove: { type: 'array', minItems: 1, items: { type: 'string', pattern: '^[^:]+$' } },
            },
            additionalProperties: false,
          },
          { type: 'object', minProperties: 1, additionalProperties: scalar },
        ],
      },
      use_real_request_uri_unsafe: { type: 'boolean', default: false },
    },
    minProperties: 1,
  },

  check_schema(conf) {
    const wrong = core.schema.check(this.schema, conf);
    if (wrong !== undefined) return wrong;
    const { regex_uri = [] } = conf;
    if (regex_uri.length % 2 !== 0) return 'The length of regex_uri should be an even number';
    for (let i = 0; i < regex_uri.length; i += 2) {
      const [pattern, replacement] = [regex_uri[i]!, regex_uri[i + 1]!];
      const why = checkRegex(pattern) ?? checkReplacement(replacement);
      if (why !== undefined) return `invalid regex_uri(${pattern}, ${replacement}): ${why}`;
    }
    return checkHeaders(conf.headers);
  },

  rewrite(conf, ctx) {
    if (conf.host !== undefined) ctx.var['upstream_host'] = conf.host;
    const vars = withCaptures(ctx.var, rewriteUri(conf, ctx));
    const { add, set, remove } = headersOf(conf);
    const resolve = (value: string): string => core.utils.headerSafe(core.utils.resolve_var(value, vars));
    for (const [name, texts] of add) core.request.add_header(ctx, name, texts.map(resolve));
    for (const [name, texts] of set) core.request.set_header(ctx, name, texts.map(resolve));
    for (const name of remove) core.request.set_header(ctx, name, undefined);
    if (conf.method !== undefined) core.request.set_method(ctx, conf.method);
  },
};

/** `$1` beside the variables: what a client has put into one is not looked through for the other. */
const withCaptures = (vars: VarSource, captures: readonly (string | undefined)[]): VarSource =>
  new Proxy(vars, {
    get: (target, name) => {
      if (typeof name !== 'string') return undefined;
      return /^\d+$/.test(name) ? captures[Number(name)] : target[name];
    },
  });

/** A question mark that came encoded does not begin a query. */
const inPath = (path: string): string => path.replaceAll('?', '%3F');

/** Sets where the request goes; answers the groups of the pattern that matched. */
function rewriteUri(conf: Conf, ctx: Ctx): readonly (string | undefined)[] {
  const raw = conf.use_real_request_uri_unsafe;
  const subject = raw ? ctx.path : inPath(core.request.get_path(ctx));
  if (conf.uri !== undefined) {
    const { text } = resolveVars(conf.uri, ctx.var, (value, name) => (name === 'uri' ? inPath(value) : value));
    setUri(ctx, text, raw);
    return [];
  }
  for (const { regex, to } of rulesOf(conf)) {
    const found = regex.exec(subject);
    if (found === null) continue;
    const head = subject.slice(0, found.index);
    const tail = subject.slice(found.index + found[0].length);
    setUri(ctx, head + expandCaptures(to, found) + tail, raw);
    return found;
  }
  return [];
}

/** The path that plugins made is decoded, and its bytes may be anything; the query is as they wrote it. */
function setUri(ctx: Ctx, target: string, raw: boolean): void {
  const at = target.indexOf('?');
  const path = at < 0 ? target : target.slice(0, at);
  const own = at < 0 ? '' : target.slice(at + 1);
  const query = [own, ctx.query].filter((part) => part !== '').join('&');
  const encoded = raw ? core.utils.headerSafe(path) : core.utils.uri_safe_encode(path);
  ctx.var['upstream_uri'] = encoded + (query === '' ? '' : `?${core.utils.headerSafe(query).replaceAll(' ', '%20')}`);
}
