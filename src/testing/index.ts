/** `envoy-ts-filter/testing`: filters under test, without a proxy and with a real one. */
export { type FilterTest, testFilter } from './test-filter.js';
export type * from './types.js';
