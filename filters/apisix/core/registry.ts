/** The plugins there are, and their `init` and `destroy`. */
import type { Plugin } from './plugin.js';

export class PluginRegistry {
  private readonly plugins = new Map<string, Plugin>();
  /** How many configurations name a plugin. */
  private readonly counts = new Map<Plugin, number>();

  constructor(plugins: readonly Plugin[]) {
    for (const plugin of plugins) {
      if (this.plugins.has(plugin.name)) throw new Error(`plugin ${plugin.name} is there twice`);
      this.plugins.set(plugin.name, plugin);
    }
  }

  get(name: string): Plugin | undefined {
    return this.plugins.get(name);
  }

  /** What one configuration uses, until the signal says that it is gone. */
  hold(signal: AbortSignal): PluginHold {
    return new PluginHold(this, signal);
  }

  begin(plugin: Plugin): void {
    const count = this.counts.get(plugin) ?? 0;
    if (count === 0) plugin.init?.();
    this.counts.set(plugin, count + 1);
  }

  end(plugin: Plugin): void {
    const count = (this.counts.get(plugin) ?? 0) - 1;
    this.counts.set(plugin, count);
    if (count === 0) plugin.destroy?.();
  }
}

export class PluginHold {
  private readonly held = new Set<Plugin>();

  constructor(
    private readonly registry: PluginRegistry,
    signal: AbortSignal,
  ) {
    signal.addEventListener('abort', () => {
      for (const plugin of this.held) registry.end(plugin);
      this.held.clear();
    });
  }

  get(name: string): Plugin | undefined {
    return this.registry.get(name);
  }

  use(name: string): Plugin | undefined {
    const plugin = this.registry.get(name);
    if (plugin !== undefined && !this.held.has(plugin)) {
      this.registry.begin(plugin);
      this.held.add(plugin);
    }
    return plugin;
  }
}
