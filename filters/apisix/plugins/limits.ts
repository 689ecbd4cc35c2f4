/** What limit-count and limit-req share: whom a request counts for, and counters of this thread. */
import { core, type Ctx } from '../core/index.js';
import { resolveVars } from '../core/utils.js';

export interface KeyConf {
  readonly key_type: 'var' | 'var_combination' | 'constant';
  readonly key: string;
}

/** Without a value, a request counts for its client's address. */
export function keyOf({ key_type, key }: KeyConf, ctx: Ctx): string {
  if (key_type === 'constant') return key;
  let value = '';
  if (key_type === 'var') value = String(ctx.var[key] ?? '');
  else {
    const { text, resolved } = resolveVars(key, ctx.var);
    if (resolved > 0) value = text;
  }
  if (value !== '') return value;
  ctx.log.info('The value of the configured key is empty, use client IP instead');
  return core.request.get_remote_client_ip(ctx) ?? '';
}

const MAX_COUNTERS = 100_000;

/** Counters that live a limited time, and of which there is a limited number: the oldest go first. */
export class Counters<T extends { readonly until: number }> {
  private readonly entries = new Map<string, T>();

  get(key: string, now: number): T | undefined {
    const found = this.entries.get(key);
    return found === undefined || found.until <= now ? undefined : found;
  }

  set(key: string, value: T): void {
    this.entries.delete(key);
    this.entries.set(key, value);
    if (this.entries.size > MAX_COUNTERS) this.entries.delete(this.entries.keys().next().value!);
  }
}
