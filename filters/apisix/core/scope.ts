/** What a configuration says beside its plugins: consumers, plugins' metadata and attributes. */
import type { Consumer } from './plugin.js';

/** A consumer, and its configuration for the plugin that found it. */
export interface Credential<C> {
  readonly consumer: Consumer;
  readonly conf: C;
}
type Index = ReadonlyMap<string, Credential<object>>;
type Objects = Readonly<Record<string, object>>;

export class Scope {
  private readonly indexes = new Map<string, Index>();

  constructor(
    readonly consumers: readonly Consumer[],
    private readonly plugin_metadata: Objects,
    private readonly plugin_attr: Objects,
  ) {}

  /** For all uses of a plugin in this configuration. */
  metadata<T extends object>(plugin: string): T | undefined {
    return this.plugin_metadata[plugin] as T | undefined;
  }

  /** What stands in APISIX's `config.yaml` below `plugin_attr`. */
  attr<T extends object>(plugin: string): T | undefined {
    return this.plugin_attr[plugin] as T | undefined;
  }

  consumer(username: string): Consumer | undefined {
    return this.consumers.find((one) => one.username === username);
  }

  /** The consumer whose configuration of that plugin has that value in that field. */
  find<C extends object>(plugin: string, field: string, value: string): Credential<C> | undefined {
    const name = `${plugin} ${field}`;
    let index = this.indexes.get(name);
    if (index === undefined) {
      index = this.indexOf(plugin, field);
      this.indexes.set(name, index);
    }
    return index.get(value) as Credential<C> | undefined;
  }

  private indexOf(plugin: string, field: string): Index {
    const index = new Map<string, Credential<object>>();
    for (const consumer of this.consumers) {
      const conf = consumer.plugins[plugin];
      const value: unknown = (conf as { [field: string]: unknown } | undefined)?.[field];
      if (conf !== undefined && typeof value === 'string') index.set(value, { consumer, conf });
    }
    return index;
  }
}
