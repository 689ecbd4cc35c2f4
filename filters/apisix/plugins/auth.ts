/** What the plugins of type `auth` share. */
import type { Json } from 'envoy-ts-filter';
import { core, type Ctx, type Exit } from '../core/index.js';

export interface AuthConf {
  readonly hide_credentials: boolean;
  readonly anonymous_consumer?: string;
  readonly realm: string;
}

export const authProperties = (realm: string) => ({
  hide_credentials: { type: 'boolean', default: false },
  anonymous_consumer: { type: 'string', minLength: 1 },
  realm: { type: 'string', default: realm },
});

/** 401 with a challenge, unless there is an anonymous consumer for such requests. */
export function refuse(conf: AuthConf, ctx: Ctx, scheme: string, why: string): Exit | undefined {
  const { anonymous_consumer } = conf;
  if (anonymous_consumer !== undefined && core.consumer.attach_anonymous(ctx, anonymous_consumer)) return undefined;
  core.response.set_header(ctx, 'www-authenticate', `${scheme} realm="${conf.realm}"`);
  const message: Json = { message: anonymous_consumer === undefined ? why : 'Invalid user authorization' };
  return [401, message];
}
