/** Types of a filter's definition: what `defineFilter` takes and what it makes. Part of the public API. */
import type { Attribute } from './attributes.js';
import type { Phase, StreamFilter } from './types.js';
import type { FilterCallbacks, Logger } from './types-callbacks.js';
import type { Json, MaybePromise } from './types-data.js';

/** Refuses a schema beside parseConfig. */
export type OneConfigStyle = { schema?: never } | { parseConfig?: never };
/** No value has this type: what TypeScript shows where a filter has a mistake. */
declare class Mistake<Mend extends string> {
  private readonly mend: Mend;
}
/** Refuses both body styles in one direction. */
export type OneBodyStyle = (
  | { decodeData?: Mistake<'has decodeData and transformRequest: one or the other'> }
  | { transformRequest?: Mistake<'has decodeData and transformRequest: one or the other'> }
) &
  (
    | { encodeData?: Mistake<'has encodeData and transformResponse: one or the other'> }
    | { transformResponse?: Mistake<'has encodeData and transformResponse: one or the other'> }
  );
/** Refuses hooks outside the declared phases. */
export type Only<P> = { [K in Phase]?: K extends P ? StreamFilter[K] : Mistake<`add ${K} to phases`> };
type Wrong<F> = Exclude<Extract<keyof F, `${'decode' | 'encode' | 'transform' | 'on'}${string}`>, keyof StreamFilter>;
/** Refuses names that look like hooks and are none. */
export type Misspelt<F> = [Wrong<F>] extends [never] ? unknown : { [K in Wrong<F>]: Mistake<`${K} is no hook`> };

/**
 * The Standard Schema interface: zod, valibot, arktype …
 *
 * @example
 * import { z } from 'zod';
 * import { defineFilter, type StandardSchema } from 'envoy-ts-filter';
 *
 * const schema: StandardSchema<{ greeting: string }> = z.object({ greeting: z.string() }).prefault({ greeting: 'hi' });
 * export default defineFilter({
 *   name: 'greet',
 *   schema,
 *   create: ({ greeting }) => ({ encodeHeaders: (headers) => void headers.set('x-greeting', greeting) }),
 * });
 */
export interface StandardSchema<Out> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    // The one `any` of the public types: libraries declare this result in ways that no narrower type accepts.
    // eslint-disable-next-line @typescript-eslint/no-explicit-any
    readonly validate: (value: unknown) => any;
    readonly types?: { readonly output: Out } | undefined;
  };
}

/**
 * What `defineFilter` takes. C is the config, R a route's config.
 *
 * @example
 * export default defineFilter({
 *   name: 'tagged',
 *   parseConfig: async (raw) => ({ tags: Array.isArray(raw) ? raw.map(String) : ['none'] }),
 *   mergeConfig: (parent, child) => ({ tags: [...parent.tags, ...child.tags] }),
 *   attributes: ['request.id'],
 *   phases: ['decodeHeaders'],
 *   create: ({ tags }, { attributes }) => ({
 *     decodeHeaders(headers) {
 *       for (const tag of tags) headers.add('x-tag', `${tag} ${attributes['request.id'] ?? ''}`);
 *     },
 *   }),
 * });
 */
export interface FilterDefinition<C, R, A extends Attribute, P extends Phase, F> {
  /** The name in Envoy's configuration (`filter_name`). */
  readonly name: string;
  /** schema or parseConfig, not both. Throwing or failing rejects the config. */
  readonly schema?: StandardSchema<C>;
  /** `raw`: `plugin_config`, undefined when not given. TypeScript takes C from here before it looks at what uses it only
   *  when this stands above `create`, `mergeConfig` and `destroyConfig`, or writes its parameters' types
   *  (`raw: Json | undefined`). The same holds for parseRouteConfig and `mergeConfig`. */
  parseConfig?(raw: Json | undefined, cx: ConfigContext): MaybePromise<C>;
  /** A route's config. Omitted: it is parsed as the filter's own. */
  parseRouteConfig?(raw: Json | undefined, cx: ConfigContext): MaybePromise<R>;
  /** Joins the filter's config with a route's, once per pair. Omitted: the route's replaces the filter's. */
  mergeConfig?(parent: NoInfer<C>, child: NoInfer<R>): NoInfer<C>;
  /** Once per parsed config, when Envoy has dropped it and no stream uses it. Not called for results of mergeConfig,
   *  nor for what parseRouteConfig returned. */
  destroyConfig?(config: NoInfer<C>): void;
  /** Sent with the headers, synchronous in callbacks.attributes. */
  readonly attributes?: readonly A[];
  /** The only phases ever sent. Omitted: each stream's first answer tells which hooks its filter has. */
  readonly phases?: readonly P[];
  /** True: the response's hooks need nothing that the request's hooks have left in the instance (`this`, variables of
   *  `create`, `callbacks.context`), so that a new instance on another host may run them. With `failure_mode: replay` a response is
   *  then replayed when its host is lost, though the request was answered; `callbacks.attempt` tells. */
  readonly stateless?: boolean;
  /** Makes the filter of one stream. On every stream's path: keep it light. */
  create(config: NoInfer<C>, callbacks: FilterCallbacks<A>): F & Only<P> & OneBodyStyle & Misspelt<F>;
}

/**
 * A defined filter; the default export of a filter's file.
 *
 * @example
 * const marks: Filter[] = ['x-a', 'x-b'].map((name) =>
 *   defineFilter({ name, create: () => ({ decodeHeaders: (headers) => void headers.set(name, 'yes') }) }),
 * );
 * export default marks;
 */
export interface Filter<C = unknown> {
  readonly name: string;
  /** Only a type. */
  readonly __config?: C;
}

/**
 * Where a config is parsed.
 *
 * @example
 * async parseConfig(raw, cx: ConfigContext) {
 *   cx.log.info(`a config of the ${cx.scope}`);
 *   cx.signal.addEventListener('abort', () => cx.log.info('and it is gone'));
 *   return raw;
 * }
 */
export interface ConfigContext {
  readonly scope: 'filter' | 'route';
  /** Aborts when Envoy has dropped the config. */
  readonly signal: AbortSignal;
  readonly log: Logger;
}
