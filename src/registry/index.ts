/**
 * What the host process uses of this folder: a registry of filters and their configs, and streams made from it.
 * Everything here lives on one worker thread; nothing is shared between threads.
 */
export { FilterRegistry } from './registry.js';
export type { ConfigRules, LoadedConfig, Verdict } from '../stream/config.js';
export type { HostLogger, StreamDeps } from '../base/deps.js';
