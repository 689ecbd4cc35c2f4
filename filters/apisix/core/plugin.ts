/** What a plugin is: APISIX's fields and phases. */
import type { Json, MaybePromise } from 'envoy-ts-filter';
import type { BodyPart } from './body-part.js';
import type { Ctx } from './ctx.js';

/** A JSON schema, draft 7. */
export type Schema = Readonly<Record<string, unknown>>;

/** For whom a configuration is checked: a route, a consumer, or all uses of a plugin (its metadata). */
export type SchemaType = 'route' | 'consumer' | 'metadata';

/** Ends the request: a status, or `[status, body]`. A body that is no text goes out as one line of JSON. */
export type Exit = number | readonly [status: number, body?: Json | Uint8Array];

/** What a request's phase answers; nothing = the request goes on. */
export type Answer = MaybePromise<Exit | void>;

/**
 * One plugin. `C` is its configuration as it is once the schema has accepted it and filled in the defaults.
 *
 * All plugins of a stream run `rewrite`, then all run `access`, highest priority first; the first that answers ends the
 * request. The answer, like any other, passes `header_filter` and `body_filter` of all of them.
 */
export interface Plugin<C extends object = object> {
  readonly version: number;
  readonly priority: number;
  readonly name: string;
  /** `auth`: finds the consumer; its configuration can stand in a consumer's `plugins`. */
  readonly type?: 'auth';
  readonly schema: Schema;
  readonly consumer_schema?: Schema;
  readonly metadata_schema?: Schema;
  /** A message refuses the configuration. Without this method the schema alone decides. */
  check_schema?(conf: C, type: SchemaType): string | undefined;
  /** When a configuration of this thread first names the plugin, and when none does any more. */
  init?(): void;
  destroy?(): void;
  /** True: the whole body of the request is there before `rewrite` runs (`core.request.get_body`). */
  needs_body?(conf: C): boolean;
  rewrite?(conf: C, ctx: Ctx): Answer;
  access?(conf: C, ctx: Ctx): Answer;
  header_filter?(conf: C, ctx: Ctx): MaybePromise<void>;
  /** For each piece of the response's body, and once more at its end. */
  body_filter?(conf: C, ctx: Ctx, part: BodyPart): void;
  log?(conf: C, ctx: Ctx): void;
}

export interface Consumer {
  readonly username: string;
  readonly group_id?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** By plugin: its configuration, checked. */
  readonly plugins: Readonly<Record<string, object>>;
}
