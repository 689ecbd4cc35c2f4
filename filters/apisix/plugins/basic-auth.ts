import { createHash, timingSafeEqual } from 'node:crypto';
import { core, type Plugin } from '../core/index.js';
import { type AuthConf, authProperties, refuse } from './auth.js';

interface ConsumerConf {
  readonly username: string;
  readonly password: string;
}

export const basicAuth: Plugin<AuthConf> = {
  version: 0.1,
  priority: 2520,
  type: 'auth',
  name: 'basic-auth',
  schema: { type: 'object', properties: authProperties('basic') },
  consumer_schema: {
    type: 'object',
    properties: { username: { type: 'string' }, password: { type: 'string' } },
    required: ['username', 'password'],
  },

  rewrite(conf, ctx) {
    const given = core.request.header(ctx, 'authorization');
    if (conf.hide_credentials) core.request.set_header(ctx, 'authorization', undefined);
    const no = (why: string) => refuse(conf, ctx, 'Basic', why);
    if (given === undefined) return no('Missing authorization in request');
    const pair = readCredentials(given);
    if (pair === undefined) return no('Invalid authorization in request');
    const found = ctx.scope.find<ConsumerConf>('basic-auth', 'username', pair[0]);
    if (found === undefined || !same(found.conf.password, pair[1])) return no('Invalid user authorization');
    core.consumer.attach(ctx, found.consumer);
    return undefined;
  },
};

/** undefined for what is no `Basic` header. */
function readCredentials(given: string): readonly [name: string, password: string] | undefined {
  const encoded = /^basic +([A-Za-z0-9+/]+={0,2}) *$/i.exec(given)?.[1];
  if (encoded === undefined) return undefined;
  const decoded = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = decoded.indexOf(':');
  // APISIX takes a line end after the password for none of it.
  return colon < 0 ? undefined : [decoded.slice(0, colon).trim(), decoded.slice(colon + 1).trim()];
}

/** In a time that tells nothing. */
function same(a: string, b: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
