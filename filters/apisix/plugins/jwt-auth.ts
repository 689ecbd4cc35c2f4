import { createPublicKey, createSecretKey, type KeyObject } from 'node:crypto';
import { compactVerify, decodeJwt, decodeProtectedHeader, type JWTPayload } from 'jose';
import { core, type Ctx, type Plugin } from '../core/index.js';
import { type AuthConf, authProperties, refuse } from './auth.js';

const SYMMETRIC = ['HS256', 'HS384', 'HS512'];
const ASYMMETRIC = ['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512', 'EdDSA'];

interface Conf extends AuthConf {
  readonly header: string;
  readonly query: string;
  readonly cookie: string;
  readonly key_claim_name: string;
  readonly store_in_ctx: boolean;
  readonly claims_to_verify?: readonly ('exp' | 'nbf')[];
}
interface ConsumerConf {
  readonly key: string;
  readonly secret?: string;
  readonly public_key?: string;
  readonly algorithm: string;
  readonly base64_secret: boolean;
  readonly lifetime_grace_period: number;
}

declare module '../core/ctx.js' {
  interface CtxFields {
    /** With `store_in_ctx`. */
    jwt_auth_payload?: JWTPayload;
  }
}

const keyOf = core.lrucache.per_conf((conf: ConsumerConf): KeyObject =>
  SYMMETRIC.includes(conf.algorithm)
    ? createSecretKey(Buffer.from(conf.secret ?? '', conf.base64_secret ? 'base64' : 'utf8'))
    : createPublicKey(conf.public_key ?? ''),
);

export const jwtAuth: Plugin<Conf> = {
  version: 0.1,
  priority: 2510,
  type: 'auth',
  name: 'jwt-auth',
  schema: {
    type: 'object',
    properties: {
      header: { type: 'string', default: 'authorization' },
      query: { type: 'string', default: 'jwt' },
      cookie: { type: 'string', default: 'jwt' },
      key_claim_name: { type: 'string', default: 'key', minLength: 1 },
      store_in_ctx: { type: 'boolean', default: false },
      claims_to_verify: { type: 'array', items: { type: 'string', enum: ['exp', 'nbf'] }, uniqueItems: true },
      ...authProperties('jwt'),
    },
  },
  consumer_schema: {
    type: 'object',
    properties: {
      key: { type: 'string', minLength: 1 },
      secret: { type: 'string', minLength: 1 },
      algorithm: { type: 'string', enum: [...SYMMETRIC, ...ASYMMETRIC], default: 'HS256' },
      exp: { type: 'integer', minimum: 1, default: 86400 },
      base64_secret: { type: 'boolean', default: false },
      lifetime_grace_period: { type: 'integer', minimum: 0, default: 0 },
    },
    dependencies: {
      algorithm: {
        oneOf: [
          { properties: { algorithm: { enum: SYMMETRIC } } },
          { properties: { public_key: { type: 'string' }, algorithm: { enum: ASYMMETRIC } }, required: ['public_key'] },
        ],
      },
    },
    required: ['key'],
  },

  check_schema(conf, type) {
    if (type !== 'consumer') return core.schema.check(this.schema, conf);
    return core.schema.check(this.consumer_schema!, conf) ?? checkConsumer(conf as unknown as ConsumerConf);
  },

  async rewrite(conf, ctx) {
    const no = (message: string, why?: unknown) => {
      if (why !== undefined) ctx.log.warn(`${message}: ${why instanceof Error ? why.message : String(why)}`);
      return refuse(conf, ctx, 'Bearer', message);
    };
    const token = takeToken(conf, ctx);
    if (token === undefined) return no('Missing JWT token in request');
    let payload: JWTPayload;
    let alg: string | undefined;
    try {
      ({ alg } = decodeProtectedHeader(token));
      payload = decodeJwt(token);
    } catch (error) {
      return no('JWT token invalid', error);
    }
    const key = payload[conf.key_claim_name];
    if (typeof key !== 'string') return no('missing user key in JWT token');
    const found = ctx.scope.find<ConsumerConf>('jwt-auth', 'key', key);
    if (found === undefined) return no('Invalid user key in JWT token');
    const wrong =
      alg === found.conf.algorithm
        ? await verify(token, payload, found.conf, conf.claims_to_verify).catch((error: unknown) => error)
        : `algorithm mismatch, expected ${found.conf.algorithm}`;
    if (wrong !== undefined) return no('failed to verify jwt', wrong);
    if (conf.store_in_ctx) ctx.jwt_auth_payload = payload;
    core.consumer.attach(ctx, found.consumer);
    return undefined;
  },
};

function checkConsumer(conf: ConsumerConf): string | undefined {
  if (SYMMETRIC.includes(conf.algorithm)) {
    if (conf.secret === undefined) return 'property "secret" is required when using HS based algorithms';
    if (conf.base64_secret && !/^[A-Za-z0-9+/]+={0,2}$/.test(conf.secret)) {
      return 'base64_secret required but the secret is not in base64 format';
    }
    return undefined;
  }
  try {
    createPublicKey(conf.public_key ?? '');
    return undefined;
  } catch (error) {
    return `invalid public_key: ${(error as Error).message}`;
  }
}

/** From the header, else the query, else the cookie; taken out of the request where that is asked for. */
function takeToken(conf: Conf, ctx: Ctx): string | undefined {
  const hide = conf.hide_credentials;
  const header = core.request.header(ctx, conf.header);
  if (header !== undefined) {
    if (hide) core.request.set_header(ctx, conf.header, undefined);
    return header.replace(/^bearer +/i, '');
  }
  const [arg] = [core.request.get_uri_args(ctx)[conf.query]].flat();
  if (arg !== undefined) {
    if (hide) core.request.remove_uri_arg(ctx, conf.query);
    return arg;
  }
  const cookie = ctx.var[`cookie_${conf.cookie}`];
  if (cookie !== undefined && hide) core.request.remove_cookie(ctx, conf.cookie);
  return cookie === undefined ? undefined : String(cookie);
}

/** What is wrong with the token, undefined when nothing is. */
async function verify(
  token: string,
  payload: JWTPayload,
  conf: ConsumerConf,
  claims: readonly string[] | undefined,
): Promise<string | undefined> {
  await compactVerify(token, keyOf(conf), { algorithms: [conf.algorithm] });
  const wanted = claims === undefined || claims.length === 0 ? ['exp', 'nbf'] : claims;
  const now = Date.now() / 1000;
  const { exp, nbf } = payload;
  const grace = conf.lifetime_grace_period;
  const isTime = (claim: unknown): boolean =>
    claim === undefined || (typeof claim === 'number' && Number.isFinite(claim));
  if (wanted.includes('exp')) {
    if (!isTime(exp)) return "'exp' claim must be a number";
    if (exp !== undefined && now >= exp + grace) return `'exp' claim expired at ${new Date(exp * 1000).toUTCString()}`;
  }
  if (wanted.includes('nbf')) {
    if (!isTime(nbf)) return "'nbf' claim must be a number";
    if (nbf !== undefined && now < nbf - grace)
      return `'nbf' claim not valid until ${new Date(nbf * 1000).toUTCString()}`;
  }
  return undefined;
}
