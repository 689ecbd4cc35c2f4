import { defineFilter } from 'envoy-ts-filter';

/** Loaded and in the chain, but with no phase: nothing crosses. */
export default defineFilter({ name: 'bench-no-phase', phases: [], create: () => ({}) });
