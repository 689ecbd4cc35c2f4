import { randomBytes, randomUUID } from 'node:crypto';
import { customAlphabet, nanoid } from 'nanoid';
import { v7 as uuidv7 } from 'uuid';
import { core, type Plugin } from '../core/index.js';

const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIGKLMNOPQRSTUVWXYZ0123456789';
const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

interface Conf {
  readonly header_name: string;
  readonly include_in_response: boolean;
  readonly algorithm: 'uuid' | 'uuidv7' | 'nanoid' | 'range_id' | 'ksuid';
  readonly range_id?: { readonly char_set: string; readonly length: number };
}

declare module '../core/ctx.js' {
  interface CtxFields {
    /** By header. */
    request_ids?: Record<string, string>;
  }
}

const makerOf = core.lrucache.per_conf(({ algorithm, range_id }: Conf): (() => string) => {
  switch (algorithm) {
    case 'uuid':
      return randomUUID;
    case 'uuidv7':
      return () => uuidv7();
    case 'nanoid':
      return () => nanoid();
    case 'range_id':
      return customAlphabet(range_id?.char_set ?? LETTERS, range_id?.length ?? 16);
    case 'ksuid':
      return ksuid;
  }
});

export const requestId: Plugin<Conf> = {
  version: 0.1,
  priority: 12015,
  name: 'request-id',
  schema: {
    type: 'object',
    properties: {
      header_name: { type: 'string', default: 'X-Request-Id' },
      include_in_response: { type: 'boolean', default: true },
      algorithm: { type: 'string', enum: ['uuid', 'nanoid', 'range_id', 'ksuid', 'uuidv7'], default: 'uuid' },
      range_id: {
        type: 'object',
        properties: {
          length: { type: 'integer', minimum: 6, default: 16 },
          char_set: { type: 'string', minLength: 6, default: LETTERS },
        },
        default: {},
      },
    },
  },

  rewrite(conf, ctx) {
    let id = core.request.header(ctx, conf.header_name);
    if (id === undefined || id === '') {
      id = makerOf(conf)();
      core.request.set_header(ctx, conf.header_name, id);
    }
    ctx.var['apisix_request_id'] = id;
    (ctx.request_ids ??= {})[conf.header_name] = id;
  },

  header_filter(conf, ctx) {
    const id = ctx.request_ids?.[conf.header_name];
    if (!conf.include_in_response || id === undefined) return;
    if (core.response.get_header(ctx, conf.header_name) === undefined)
      core.response.set_header(ctx, conf.header_name, id);
  },
};

const KSUID_EPOCH = 1_400_000_000;

/** Seconds since 2014 and 16 random bytes, as 27 digits of base 62. */
function ksuid(): string {
  const bytes = Buffer.alloc(20);
  bytes.writeUInt32BE(Math.floor(Date.now() / 1000) - KSUID_EPOCH);
  randomBytes(16).copy(bytes, 4);
  let number = BigInt(`0x${bytes.toString('hex')}`);
  let text = '';
  for (; number > 0n; number /= 62n) text = BASE62[Number(number % 62n)]! + text;
  return text.padStart(27, '0');
}
