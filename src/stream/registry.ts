/** The filters of one worker thread, their configs, and the streams that run them. */
import { ConfigError, describeError, FilterError } from '../errors.js';
import { type AnyDefinition, definitionOf } from '../filter.js';
import type { Filter } from '../types.js';
import type { StreamSink, StreamSource, StreamStart } from '../wire.js';
import { type ConfigRules, IdentifiedConfig, ParsedConfig, type StreamConfig, type Verdict } from './config.js';
import { type FilledDeps, fillDeps, type StreamDeps } from './deps.js';
import { FailedStream } from './failed.js';
import { Linger } from './linger.js';
import { HttpStream } from './stream.js';

export class FilterRegistry {
  private readonly definitions = new Map<string, AnyDefinition>();
  private readonly deps: FilledDeps;
  private readonly linger: Linger;
  private readonly configs = new Map<number, IdentifiedConfig>();
  /** By filter, scope and content: configs with the same bytes are judged once. */
  private readonly parsed = new Map<string, ParsedConfig>();
  /** Ids that are being judged; one that is forgotten meanwhile is taken out. */
  private readonly pending = new Set<number>();

  /** Throws ConfigError when two definitions have one name or a value is not a filter. */
  constructor(definitions: readonly Filter[], deps: StreamDeps) {
    this.deps = fillDeps(deps);
    this.linger = new Linger(this.deps);
    for (const filter of definitions) {
      const definition = definitionOf(filter);
      if (definition === undefined) throw new ConfigError('', 'not a filter: export default defineFilter({ … })');
      if (this.definitions.has(definition.name)) throw new ConfigError(definition.name, 'two filters have this name');
      this.definitions.set(definition.name, definition);
    }
  }

  names(): string[] {
    return [...this.definitions.keys()];
  }

  /** Judges a config. Never rejects. */
  async parse(
    id: number,
    name: string,
    route: boolean,
    json: string | undefined,
    rules: ConfigRules,
  ): Promise<Verdict> {
    const definition = this.definitions.get(name);
    if (definition === undefined) {
      const known = this.names();
      const have =
        known.length === 0 ? 'this host has none' : `this host has ${known.map((one) => `"${one}"`).join(', ')}`;
      return { accepted: false, message: `no filter is named "${name}"; ${have}` };
    }
    const key = `${route ? 'route' : 'filter'}\0${name}\0${json === undefined ? '' : `=${json}`}`;
    let parsed = this.parsed.get(key);
    if (parsed === undefined) {
      const made: ParsedConfig = new ParsedConfig(definition, route, json, this.deps, () => {
        if (this.parsed.get(key) === made) this.parsed.delete(key);
      });
      this.parsed.set(key, (parsed = made));
    }
    parsed.retain();
    this.pending.add(id);
    try {
      const value = await parsed.value;
      if (!this.pending.has(id)) {
        parsed.release();
        return { accepted: false, message: 'the config was dropped before it was judged' };
      }
      const config = new IdentifiedConfig(id, route, parsed, value, rules);
      this.configs.set(id, config);
      return config.verdict();
    } catch (e) {
      parsed.release();
      return { accepted: false, message: `filter "${name}": ${refusal(e)}` };
    } finally {
      this.pending.delete(id);
    }
  }

  /** The module no longer uses this config; destroyConfig runs when no stream uses it either. */
  forget(id: number): void {
    this.pending.delete(id);
    const config = this.configs.get(id);
    if (config === undefined) return;
    this.configs.delete(id);
    if (config.route) for (const other of this.configs.values()) other.forgetRoute(id);
    config.forget();
  }

  /** Never throws. A config id that is not known answers its first headers by sink.fail. */
  createStream(start: StreamStart, sink: StreamSink): StreamSource {
    const { configId, routeConfigId } = start;
    const base = this.configs.get(configId);
    const route = routeConfigId === 0 ? undefined : this.configs.get(routeConfigId);
    if (base === undefined || base.route || (routeConfigId !== 0 && route === undefined)) {
      const id = base === undefined || base.route ? configId : routeConfigId;
      return new FailedStream(sink, `TSF_CONFIG_UNKNOWN: this host has no config ${String(id)}`);
    }
    let config: StreamConfig;
    try {
      config = base.forStream(route);
    } catch (e) {
      const text = `${base.name}: mergeConfig: ${describeError(e)}`;
      this.deps.logger.error({ err: e, filter: base.name }, text);
      this.deps.count('filter_error', base.name);
      return new FailedStream(sink, text);
    }
    return new HttpStream(config, start, sink, this.deps, this.linger);
  }

  /** For the process's unhandledRejection handler: a rejection that nobody awaits harms no stream, but is told. */
  unhandledRejection(reason: unknown): void {
    this.deps.logger.error({ err: reason }, `a rejection that no filter awaits: ${describeError(reason)}`);
    this.deps.count('unhandled_rejection', '');
  }

  /** Ends every config; streams must have ended. */
  dispose(): void {
    for (const id of [...this.configs.keys()]) this.forget(id);
    this.pending.clear();
    this.linger.dispose();
  }
}

function refusal(e: unknown): string {
  if (FilterError.is(e) || e instanceof Error) return e.message;
  return describeError(e);
}
