import { defineFilter } from 'envoy-ts-filter';

/** Go's `passthrough` plugin (PassThroughStreamFilter): a filter without hooks. */
export default defineFilter({ name: 'go-passthrough', create: () => ({}) });
