/** Filters in a real Envoy. */
export * from './child.js';
export { accessLogger, cluster, dynamicModule, dynamicModulePerRoute, NO_PORT } from './config.js';
export type * from './options.js';
export type { AccessEntry } from './access-log.js';
export { Processes, STOP_MS } from './processes.js';
