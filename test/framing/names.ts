/** Names that the plan, the stage and the judge share. */
import type { StageName } from './plan.js';

/** The filters of a stage, in the order of the chain. */
export const TAGS = ['A', 'B'] as const;

/** Our filters of a stage as Envoy's log names them. */
export const FILTERS: Readonly<Record<StageName, readonly string[]>> = {
  one: ['framing'],
  edges: ['framing'],
  plain: ['framing'],
  list: ['framing-list', 'framing-a', 'framing-b'],
  two: ['framing-a', 'framing-b'],
  request: ['framing-request'],
  response: ['framing-response'],
  both: ['framing-both'],
};
