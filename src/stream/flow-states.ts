/** The states of one direction of a stream in the host. docs/lifecycle.md holds the same table; a test compares them. */

export type FlowState =
  /** No headers yet, or headers for information only. */
  | 'idle'
  /** The headers hook has the headers. */
  | 'asking'
  /** The body, if any, flows past the filter. */
  | 'passing'
  /** All of the body is awaited before the filter gets any of it. */
  | 'gathering'
  /** The body goes through the filter. */
  | 'streaming'
  /** The filter is out; what was on its way here goes back as it is. */
  | 'letting go'
  /** The filter's output is complete, and so the module was told. */
  | 'made'
  /** The same, but the trailers hook may add to it: the module is told after that. */
  | 'withheld'
  /** The trailers hook has the trailers. */
  | 'trailers'
  /** The same, and the end of the body is told after it. */
  | 'closing'
  | 'done'
  /** No more answers from here: failed, replied or ended. */
  | 'dead';

export type FlowEvent =
  | 'headers'
  /** The headers hook has settled: what becomes of the body. */
  | 'pass'
  | 'stream'
  | 'gather'
  /** All of a gathered body is here. */
  | 'whole'
  | 'let go'
  /** The last output. */
  | 'make'
  /** The last output, with a trailers hook to come. */
  | 'withhold'
  | 'trailers'
  /** The trailers hook has settled. */
  | 'answer'
  | 'kill';

export const FLOW_TRANSITIONS: readonly (readonly [FlowState, FlowEvent, FlowState])[] = [
  ['idle', 'headers', 'asking'],
  ['asking', 'pass', 'passing'],
  ['asking', 'stream', 'streaming'],
  ['asking', 'gather', 'gathering'],
  ['gathering', 'whole', 'streaming'],
  ['streaming', 'let go', 'letting go'],
  ['streaming', 'make', 'made'],
  ['streaming', 'withhold', 'withheld'],
  ['idle', 'trailers', 'trailers'],
  ['passing', 'trailers', 'trailers'],
  ['letting go', 'trailers', 'trailers'],
  ['made', 'trailers', 'trailers'],
  ['withheld', 'trailers', 'closing'],
  ['trailers', 'answer', 'done'],
  ['closing', 'answer', 'done'],
  ['idle', 'kill', 'dead'],
  ['asking', 'kill', 'dead'],
  ['passing', 'kill', 'dead'],
  ['gathering', 'kill', 'dead'],
  ['streaming', 'kill', 'dead'],
  ['letting go', 'kill', 'dead'],
  ['made', 'kill', 'dead'],
  ['withheld', 'kill', 'dead'],
  ['trailers', 'kill', 'dead'],
  ['closing', 'kill', 'dead'],
  ['done', 'kill', 'dead'],
];

const NEXT = new Map<FlowState, Map<FlowEvent, FlowState>>();
for (const [from, event, to] of FLOW_TRANSITIONS) {
  let row = NEXT.get(from);
  if (row === undefined) NEXT.set(from, (row = new Map()));
  row.set(event, to);
}

/** undefined: the event does not belong there. */
export function nextState(from: FlowState, event: FlowEvent): FlowState | undefined {
  return NEXT.get(from)?.get(event);
}
