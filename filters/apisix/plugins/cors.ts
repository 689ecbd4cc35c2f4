import { checkRegex, compileRegex, core, type Ctx, type Plugin } from '../core/index.js';

const ALL_METHODS = 'GET,POST,PUT,DELETE,PATCH,HEAD,OPTIONS,CONNECT,TRACE';
const ORIGINS = String.raw`^(\*|\*\*|null|\w+://[^,]+(,\w+://[^,]+)*)$`;

interface Conf {
  readonly allow_origins: string;
  readonly allow_methods: string;
  readonly allow_headers: string;
  readonly expose_headers?: string;
  readonly max_age: number;
  readonly allow_credential: boolean;
  readonly allow_origins_by_regex?: readonly string[];
  readonly allow_origins_by_metadata?: readonly string[];
  readonly timing_allow_origins?: string;
  readonly timing_allow_origins_by_regex?: readonly string[];
}

declare module '../core/ctx.js' {
  interface CtxFields {
    /** As the client sent it: other plugins may change the header. */
    cors_origin?: string | undefined;
  }
}

const patterns = {
  type: 'array',
  minItems: 1,
  uniqueItems: true,
  items: { type: 'string', minLength: 1, maxLength: 4096 },
};
const regexesOf = core.lrucache.per_conf((conf: Conf) => ({
  origins: conf.allow_origins_by_regex?.map((pattern) => compileRegex(pattern)),
  timing: conf.timing_allow_origins_by_regex?.map((pattern) => compileRegex(pattern)),
}));

export const cors: Plugin<Conf> = {
  version: 0.1,
  priority: 4000,
  name: 'cors',
  schema: {
    type: 'object',
    properties: {
      allow_origins: { type: 'string', pattern: ORIGINS, default: '*' },
      allow_methods: { type: 'string', default: '*' },
      allow_headers: { type: 'string', default: '*' },
      expose_headers: { type: 'string' },
      max_age: { type: 'integer', default: 5 },
      allow_credential: { type: 'boolean', default: false },
      allow_origins_by_regex: patterns,
      allow_origins_by_metadata: { ...patterns, items: { type: 'string', minLength: 1 } },
      timing_allow_origins: { type: 'string', pattern: ORIGINS },
      timing_allow_origins_by_regex: patterns,
    },
  },
  metadata_schema: {
    type: 'object',
    properties: { allow_origins: { type: 'object', additionalProperties: { type: 'string', pattern: ORIGINS } } },
  },

  check_schema(conf, type) {
    if (type === 'metadata') return core.schema.check(this.metadata_schema!, conf);
    const wrong = core.schema.check(this.schema, conf);
    if (wrong !== undefined) return wrong;
    const { allow_origins, allow_methods, allow_headers, expose_headers, timing_allow_origins } = conf;
    const options = [allow_origins, allow_methods, allow_headers, expose_headers, timing_allow_origins];
    if (conf.allow_credential && options.includes('*')) {
      return "you can not set '*' for other option when 'allow_credential' is true";
    }
    for (const pattern of [...(conf.allow_origins_by_regex ?? []), ...(conf.timing_allow_origins_by_regex ?? [])]) {
      const why = checkRegex(pattern);
      if (why !== undefined) return why;
    }
    return undefined;
  },

  rewrite(_conf, ctx) {
    ctx.cors_origin = core.request.header(ctx, 'origin');
    return ctx.request.method === 'OPTIONS' ? 200 : undefined;
  },

  header_filter(conf, ctx) {
    const set = (name: string, value: string | number | undefined): void => core.response.set_header(ctx, name, value);
    if (conf.allow_origins !== '*') addVary(ctx);
    const timing = timingOrigin(conf, ctx.cors_origin);
    if (timing !== undefined) set('timing-allow-origin', timing);
    const origin = allowedOrigin(conf, ctx);
    if (origin === undefined) return;
    set('access-control-allow-origin', origin);
    set('access-control-allow-methods', conf.allow_methods === '**' ? ALL_METHODS : conf.allow_methods);
    set('access-control-max-age', conf.max_age);
    if (conf.expose_headers !== undefined) set('access-control-expose-headers', conf.expose_headers);
    // `**` allows what was asked for, and without a question says nothing.
    const asked = core.request.header(ctx, 'access-control-request-headers');
    if (conf.allow_headers !== '**') set('access-control-allow-headers', conf.allow_headers);
    else if (asked !== undefined) set('access-control-allow-headers', asked);
    if (conf.allow_credential) set('access-control-allow-credentials', 'true');
  },
};

function addVary(ctx: Ctx): void {
  const vary = ctx.response?.getAll('vary') ?? [];
  core.response.set_header(ctx, 'vary', [...vary, 'Origin'].join(', '));
}

function allowedOrigin(conf: Conf, ctx: Ctx): string | undefined {
  const origin = ctx.cors_origin;
  const { origins } = regexesOf(conf);
  if (origins !== undefined) {
    return origin !== undefined && origins.some((regex) => regex.test(origin)) ? origin : undefined;
  }
  const names = conf.allow_origins_by_metadata;
  if (names === undefined) return matchOrigins(conf.allow_origins, origin);
  // `*` is the default, and would leave nothing for the metadata to do.
  const own = conf.allow_origins === '*' ? undefined : matchOrigins(conf.allow_origins, origin);
  if (own !== undefined) return own;
  const known = ctx.scope.metadata<{ allow_origins?: Record<string, string> }>('cors')?.allow_origins ?? {};
  for (const name of names) {
    const found = known[name] === undefined ? undefined : matchOrigins(known[name], origin);
    if (found !== undefined) return found;
  }
  return undefined;
}

function timingOrigin(conf: Conf, origin: string | undefined): string | undefined {
  const { timing } = regexesOf(conf);
  if (timing !== undefined)
    return origin !== undefined && timing.some((regex) => regex.test(origin)) ? origin : undefined;
  return conf.timing_allow_origins === undefined ? undefined : matchOrigins(conf.timing_allow_origins, origin);
}

function matchOrigins(allowed: string, origin: string | undefined): string | undefined {
  if (allowed === '*') return '*';
  if (allowed === '**') return origin ?? '*';
  return origin !== undefined && allowed.split(',').includes(origin) ? origin : undefined;
}
