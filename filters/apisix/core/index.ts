/** What plugins import: `core`, the types, and `apisix` to make a filter of plugins. */
import * as consumer from './consumer.js';
import * as ip from './ip.js';
import { log } from './log.js';
import * as lrucache from './lrucache.js';
import * as request from './request.js';
import * as response from './response.js';
import { check } from './schema.js';
import * as utils from './utils.js';
import { register_var } from './vars.js';

export const core = {
  request,
  response,
  log,
  json: {
    encode: (value: unknown): string => JSON.stringify(value),
    decode: (text: string): unknown => JSON.parse(text),
  },
  lrucache: { new: lrucache.create, per_conf: lrucache.per_conf },
  schema: { check },
  utils,
  ctx: { register_var },
  consumer,
  ip,
} as const;

export { BodyPart } from './body-part.js';
export { Ctx, type CtxFields } from './ctx.js';
export { checkExpr, compileExpr, type Expr } from './expr.js';
export { apisix, type ApisixOptions } from './filter.js';
export type { Answer, Consumer, Exit, Plugin, Schema, SchemaType } from './plugin.js';
export { checkRegex, compileRegex } from './regex.js';
