import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import type { Json } from 'envoy-ts-filter';
import { checkExpr, compileExpr, compileRegex, core, type Plugin } from '../core/index.js';
import { expandCaptures } from '../core/regex.js';
import { checkHeaders, type HeadersConf, readHeaders } from './headers-conf.js';

interface BodyFilter {
  readonly regex: string;
  readonly scope: 'once' | 'global';
  readonly replace: string;
  readonly options: string;
}
interface Conf {
  readonly status_code?: number;
  readonly body?: string;
  readonly body_base64: boolean;
  readonly headers?: HeadersConf;
  readonly vars?: Json;
  readonly filters?: readonly BodyFilter[];
  readonly max_resp_body_size: number;
}

declare module '../core/ctx.js' {
  interface CtxFields {
    /** response-rewrite's vars hold for this response; `encoding` is what its body came in. */
    response_rewrite?: { readonly applies: boolean; readonly encoding: string | undefined };
  }
}

const isBase64 = (text: string): boolean =>
  text !== '' && /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/.test(text);

const exprOf = core.lrucache.per_conf((conf: Conf) => compileExpr(conf.vars ?? []));
const headersOf = core.lrucache.per_conf((conf: Conf) => readHeaders(conf.headers));
const bodyOf = core.lrucache.per_conf((conf: Conf) =>
  Buffer.from(conf.body ?? '', conf.body_base64 ? 'base64' : 'utf8'),
);
const regexesOf = core.lrucache.per_conf((conf: Conf) =>
  (conf.filters ?? []).map(({ regex, options, scope, replace }) => {
    const compiled = compileRegex(core.utils.latin1(regex), options);
    return {
      regex: scope === 'global' ? new RegExp(compiled.source, `${compiled.flags}g`) : compiled,
      replace: core.utils.latin1(replace),
    };
  }),
);

export const responseRewrite: Plugin<Conf> = {
  version: 0.1,
  priority: 899,
  name: 'response-rewrite',
  schema: {
    type: 'object',
    properties: {
      status_code: { type: 'integer', minimum: 200, maximum: 598 },
      body: { type: 'string' },
      body_base64: { type: 'boolean', default: false },
      headers: {
        anyOf: [
          {
            type: 'object',
            minProperties: 1,
            properties: {
              add: { type: 'array', minItems: 1, items: { type: 'string', pattern: '^[^:]+:[^:]*[^/]$' } },
              set: {
                type: 'object',
                minProperties: 1,
                additionalProperties: { anyOf: [{ type: 'string' }, { type: 'number' }] },
              },
              remove: { type: 'array', minItems: 1, items: { type: 'string', pattern: '^[^:]+$' } },
            },
            additionalProperties: false,
          },
          {
            type: 'object',
            minProperties: 1,
            additionalProperties: { anyOf: [{ type: 'string' }, { type: 'number' }, { type: 'object' }] },
          },
        ],
      },
      vars: { type: 'array' },
      filters: {
        type: 'array',
        minItems: 1,
        items: {
          type: 'object',
          required: ['regex', 'replace'],
          properties: {
            regex: { type: 'string', minLength: 1 },
            scope: { type: 'string', enum: ['once', 'global'], default: 'once' },
            replace: { type: 'string' },
            options: { type: 'string', default: 'jo' },
          },
        },
      },
      max_resp_body_size: { type: 'integer', minimum: 1, default: 67108864 },
    },
    minProperties: 1,
    dependencies: { body: { not: { required: ['filters'] } }, filters: { not: { required: ['body'] } } },
  },

  check_schema(conf) {
    const wrong = core.schema.check(this.schema, conf);
    // With both, APISIX names them together.
    if (wrong !== undefined) return wrong.replace(/"(?:body|filters)"(?=: value wasn't)/, '"filters|body"');
    if (conf.body_base64 && !isBase64(conf.body ?? '')) return 'invalid base64 content';
    const vars = conf.vars === undefined ? undefined : checkExpr(conf.vars);
    if (vars !== undefined) return `failed to validate the 'vars' expression: ${vars}`;
    for (const { regex, options } of conf.filters ?? []) {
      try {
        compileRegex(regex, options);
      } catch (error) {
        return (error as Error).message;
      }
    }
    return checkHeaders(conf.headers);
  },

  header_filter(conf, ctx) {
    const applies = exprOf(conf)(ctx.var);
    ctx.response_rewrite = { applies, encoding: core.response.get_header(ctx, 'content-encoding') };
    if (!applies) return;
    if (conf.status_code !== undefined) core.response.set_status(ctx, conf.status_code);
    if (conf.body !== undefined || conf.filters !== undefined) core.response.clear_header_as_body_modified(ctx);
    const { add, set, remove } = headersOf(conf);
    const resolved = (value: string): string => core.utils.headerSafe(core.utils.resolve_var(value, ctx.var));
    for (const [name, values] of add) core.response.add_header(ctx, name, values.map(resolved));
    for (const [name, values] of set) core.response.set_header(ctx, name, values.map(resolved));
    for (const name of remove) core.response.set_header(ctx, name, undefined);
  },

  body_filter(conf, ctx, part) {
    const state = ctx.response_rewrite;
    if (state?.applies !== true) return;
    if (conf.filters !== undefined) {
      const whole = core.response.hold_body_chunk(ctx, part, conf.max_resp_body_size);
      if (whole === undefined) return;
      let text = decoded(whole, state.encoding, (why) => ctx.log.error(why)).toString('latin1');
      for (const { regex, replace } of regexesOf(conf)) {
        text = text.replace(regex, (...found: (string | undefined)[]) => expandCaptures(replace, found));
      }
      part.data = Buffer.from(text, 'latin1');
    } else if (conf.body !== undefined) {
      part.data = part.eof ? bodyOf(conf) : '';
    }
  },
};

/** The body without its compression; what cannot be decompressed stays as it is. */
function decoded(body: Buffer, encoding: string | undefined, complain: (why: string) => void): Buffer {
  if (encoding === undefined || encoding === 'identity') return body;
  try {
    if (encoding === 'gzip') return gunzipSync(body, { maxOutputLength: 1 << 30 });
    if (encoding === 'br') return brotliDecompressSync(body, { maxOutputLength: 1 << 30 });
    complain(`filters may not work as expected due to unsupported compression encoding type: ${encoding}`);
  } catch (error) {
    complain(`filters may not work as expected: the body is no ${encoding}: ${(error as Error).message}`);
  }
  return body;
}
