/** State that outlives a stream: per worker thread, and per process. */
import { FilterError } from './errors.js';
import { GlobalClient, type GlobalLink } from './runtime-global.js';

/**
 * Members of T that are functions, as seen from another thread.
 *
 * @example
 * // limits.js
 * let left = 100;
 * export const take = (n) => (left -= n) >= 0;
 * // filter.ts
 * import type * as Limits from './limits.js';
 *
 * const limits = (): Remote<typeof Limits> => runtime.global('limits', new URL('./limits.js', import.meta.url));
 * export default defineFilter({
 *   name: 'limit',
 *   create: (_config, callbacks) => ({
 *     async decodeHeaders() {
 *       return (await limits().take(1)) ? undefined : callbacks.sendLocalReply(429);
 *     },
 *   }),
 * });
 */
export type Remote<T> = {
  [K in keyof T]: T[K] extends (...a: infer P) => infer R ? (...a: P) => Promise<Awaited<R>> : never;
};

interface WorkerState {
  readonly values: Map<string, { readonly value: unknown }>;
  readonly globals: Map<string, { readonly url: string; readonly proxy: object }>;
  link: GlobalLink | undefined;
}

// On globalThis by a registered symbol: filters may be bundled with copies of this package, and all share one state.
const KEY = Symbol.for('envoy-ts-filter.runtime');

function state(): WorkerState {
  const holder = globalThis as { [KEY]?: WorkerState };
  return (holder[KEY] ??= { values: new Map(), globals: new Map(), link: undefined });
}

/** For the process: how this thread reaches the threads of runtime.global. */
export function linkGlobals(link: GlobalLink): void {
  state().link = link;
}

/**
 * State that outlives a stream.
 *
 * @example
 * const started = runtime.perWorker('start', () => Date.now());
 * headers.set('x-up', `${Date.now() - started} ms`);
 */
export const runtime = {
  /**
   * The same object for all filters of one worker thread; made at the first call. A reload starts new worker threads,
   * with new objects.
   *
   * @example
   * const seen = runtime.perWorker('seen paths', () => new Set<string>());
   * seen.add(headers.path);
   */
  perWorker<T>(name: string, factory: () => T): T {
    const { values } = state();
    const known = values.get(name);
    if (known !== undefined) return known.value as T;
    const value = factory();
    values.set(name, { value });
    return value;
  },

  /**
   * One per process, for all worker threads: a module (TypeScript too) on a thread of its own, reached by structured
   * clone. Survives a reload. `T` is the type of the module's exports; every exported function can be called and returns
   * a promise. Calls reject with what the function threw, or with `TSF_GLOBAL_FAILED`; a module that did not load is
   * tried again by the next call.
   *
   * @example
   * // counter.js
   * let count = 0;
   * export const add = (n) => (count += n);
   * // filter.ts
   * const counter = runtime.global<typeof import('./counter.js')>('counter', new URL('./counter.js', import.meta.url));
   * headers.set('x-count', String(await counter.add(1)));
   */
  global<T extends object>(name: string, module: URL): Remote<T> {
    const { globals } = state();
    const known = globals.get(name);
    if (known !== undefined) return known.proxy as Remote<T>;
    const link = state().link;
    if (link === undefined)
      throw new FilterError('TSF_GLOBAL_FAILED', `runtime.global("${name}"): this process has no ts-filter-host`);
    const client = new GlobalClient(name, module.href, link);
    const proxy = new Proxy(Object.create(null) as object, {
      // `then` must be absent, or awaiting the proxy itself would call it.
      get: (_target, key) => (typeof key !== 'string' || key === 'then' ? undefined : client.method(key)),
    });
    globals.set(name, { url: module.href, proxy });
    return proxy as Remote<T>;
  },
};
