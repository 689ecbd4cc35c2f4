import { createHash, randomInt } from 'node:crypto';
import { core, type Plugin } from '../core/index.js';

const SAFE_METHODS = ['GET', 'HEAD', 'OPTIONS'];

interface Conf {
  readonly name: string;
  readonly expires: number;
  readonly key: string;
}
interface Token {
  readonly random: number;
  readonly expires: number;
  readonly sign: string;
}

export const csrf: Plugin<Conf> = {
  version: 0.1,
  priority: 2980,
  name: 'csrf',
  schema: {
    type: 'object',
    properties: {
      key: { type: 'string' },
      expires: { type: 'integer', default: 7200 },
      name: { type: 'string', default: 'apisix-csrf-token' },
    },
    required: ['key'],
  },

  access(conf, ctx) {
    if (SAFE_METHODS.includes(ctx.request.method)) return undefined;
    const refuse = (error_msg: string) => [401, { error_msg }] as const;
    const inHeader = core.request.header(ctx, conf.name);
    if (inHeader === undefined || inHeader === '') return refuse('no csrf token in headers');
    const inCookie = ctx.var[`cookie_${conf.name}`];
    if (inCookie === undefined) return refuse('no csrf cookie');
    if (inCookie !== inHeader) return refuse('csrf token mismatch');
    const why = wrongToken(conf, inHeader);
    if (why === undefined) return undefined;
    ctx.log.error(why);
    return refuse('Failed to verify the csrf token signature');
  },

  header_filter(conf, ctx) {
    const until = new Date(Date.now() + conf.expires * 1000).toUTCString();
    const cookie = `${conf.name}=${makeToken(conf)};path=/;SameSite=Lax;Expires=${until}`;
    core.response.add_header(ctx, 'set-cookie', cookie);
  },
};

/** As APISIX signs it, so that a token of either is one of both. */
const signatureOf = (random: number, expires: number, key: string): string =>
  createHash('sha256')
    .update(`{expires:${String(expires)},random:${String(random)},key:${key}}`)
    .digest('hex');

function makeToken({ key }: Conf): string {
  const random = randomInt(2 ** 47) / 2 ** 47;
  const expires = Math.floor(Date.now() / 1000);
  // A number that prints the same in both languages.
  const shown = Number(random.toFixed(14));
  const token: Token = { random: shown, expires, sign: signatureOf(shown, expires, key) };
  return Buffer.from(JSON.stringify(token)).toString('base64');
}

function wrongToken(conf: Conf, text: string): string | undefined {
  let token: Partial<Token> | null;
  try {
    token = JSON.parse(Buffer.from(text, 'base64').toString('utf8')) as Partial<Token> | null;
  } catch {
    return 'csrf token is no JSON';
  }
  const { random, expires, sign } = token ?? {};
  if (typeof random !== 'number') return 'no random in token';
  if (typeof expires !== 'number') return 'no expires in token';
  // The token says when it was made.
  if (conf.expires > 0 && Date.now() / 1000 - expires > conf.expires) return 'token has expired';
  return sign === signatureOf(random, expires, conf.key) ? undefined : 'Invalid signatures';
}
