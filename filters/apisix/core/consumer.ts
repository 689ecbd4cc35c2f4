/** `core.consumer`: who a request is from. */
import type { Ctx } from './ctx.js';
import type { Consumer } from './plugin.js';
import { set_header } from './request.js';
import { latin1 } from './utils.js';

/** The request is this consumer's; the upstream is told so, whatever the client has claimed. */
export function attach(ctx: Ctx, consumer: Consumer): void {
  ctx.consumer = consumer;
  set_header(ctx, 'x-consumer-username', latin1(consumer.username));
  const id = consumer.labels?.['custom_id'];
  set_header(ctx, 'x-consumer-custom-id', id === undefined ? undefined : latin1(id));
}

/** For `anonymous_consumer`: false when there is no consumer of that name. */
export function attach_anonymous(ctx: Ctx, username: string): boolean {
  const consumer = ctx.scope.consumer(username);
  if (consumer === undefined) {
    ctx.log.error(`failed to get anonymous consumer ${username}`);
    return false;
  }
  attach(ctx, consumer);
  return true;
}
