/** `core.lrucache`: what is dear to make is made once. */

export interface LruOptions {
  /** How many values are kept. */
  readonly count?: number;
  /** For how many seconds. */
  readonly ttl?: number;
}

/** Answers the value of a key, made anew when the version is another one or the time is over. */
export type LruCache = <T>(key: string, version: unknown, create: () => T) => T;

export function create({ count = 1024, ttl = 300 }: LruOptions = {}): LruCache {
  const entries = new Map<string, { readonly version: unknown; readonly until: number; readonly value: unknown }>();
  return <T>(key: string, version: unknown, make: () => T): T => {
    const now = performance.now();
    const known = entries.get(key);
    entries.delete(key);
    const fresh = known !== undefined && known.version === version && known.until > now;
    const entry = fresh ? known : { version, until: now + ttl * 1000, value: make() };
    entries.set(key, entry);
    if (entries.size > count) entries.delete(entries.keys().next().value!);
    return entry.value as T;
  };
}

/** What is made of a plugin's configuration, once for each. */
export function per_conf<C extends object, T>(make: (conf: C) => T): (conf: C) => T {
  const made = new WeakMap<C, { readonly value: T }>();
  return (conf) => {
    let found = made.get(conf);
    if (found === undefined) {
      found = { value: make(conf) };
      made.set(conf, found);
    }
    return found.value;
  };
}
