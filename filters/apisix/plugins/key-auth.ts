import { core, type Plugin } from '../core/index.js';
import { type AuthConf, authProperties, refuse } from './auth.js';

interface Conf extends AuthConf {
  readonly header: string;
  readonly query: string;
}

export const keyAuth: Plugin<Conf> = {
  version: 0.1,
  priority: 2500,
  type: 'auth',
  name: 'key-auth',
  schema: {
    type: 'object',
    properties: {
      header: { type: 'string', default: 'apikey' },
      query: { type: 'string', default: 'apikey' },
      ...authProperties('key'),
    },
  },
  consumer_schema: { type: 'object', properties: { key: { type: 'string' } }, required: ['key'] },

  rewrite(conf, ctx) {
    const inHeader = core.request.header(ctx, conf.header);
    const args = inHeader === undefined || conf.hide_credentials ? core.request.get_uri_args(ctx) : {};
    const key = inHeader ?? [args[conf.query]].flat()[0];
    const credential =
      key === undefined ? undefined : ctx.scope.find('key-auth', 'key', Buffer.from(key, 'latin1').toString());
    // A header hides the argument: only what was the credential is taken out, unless it was none.
    if (conf.hide_credentials) {
      if (inHeader !== undefined) core.request.set_header(ctx, conf.header, undefined);
      if (inHeader === undefined || credential === undefined) core.request.remove_uri_arg(ctx, conf.query);
    }
    if (credential !== undefined) return core.consumer.attach(ctx, credential.consumer);
    const why = key === undefined ? 'Missing API key in request' : 'Invalid API key in request';
    return refuse(conf, ctx, 'apikey', why);
  },
};
