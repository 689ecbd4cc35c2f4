/** `envoy-ts-filter/testing`: filters under test, without a proxy and with a real one. */
export { RunningEnvoy, startEnvoy } from './envoy/start-envoy.js';
export type * from './envoy/options.js';
export { settled } from './settled.js';
export { type FilterTest, testFilter } from './test-filter.js';
export type * from './types.js';
