import type { Filter } from '../types.js';
import type { StreamSink, StreamSource, StreamStart } from '../wire.js';
import type { ConfigRules, Verdict } from './config.js';
import type { StreamDeps } from './deps.js';

/** The filters of one worker thread, their configs, and the streams that run them. */
export declare class FilterRegistry {
  /** Throws ConfigError when two definitions have one name or a value is not a filter. */
  constructor(definitions: readonly Filter[], deps: StreamDeps);
  names(): string[];
  /** Judges a config. Never rejects. */
  parse(id: number, name: string, route: boolean, json: string | undefined, rules: ConfigRules): Promise<Verdict>;
  /** The module no longer uses this config; destroyConfig runs when no stream uses it either. */
  forget(id: number): void;
  /** Never throws. A config id that is not known answers its first headers by sink.fail. */
  createStream(start: StreamStart, sink: StreamSink): StreamSource;
  /** For the process's unhandledRejection handler: logs and counts it. */
  unhandledRejection(reason: unknown): void;
  /** Ends every config; streams must have ended. */
  dispose(): void;
}
