/** The states of one direction in the module. docs/lifecycle.md, "One flow", has the same table; a test compares them. */

export type FlowState =
  /** No headers yet. */
  | 'idle'
  /** The host has the headers. */
  | 'asked'
  /** The body goes to the host as it comes. */
  | 'streaming'
  /** It is gathered here, then goes to the host whole. */
  | 'gathering'
  /** The filter is out; what the host still has comes back. */
  | 'letting go'
  /** The output is complete, the input or the trailers' answer is not. */
  | 'ending'
  /** Everything goes by. */
  | 'passing'
  | 'done'
  /** A reply is in this message's place. */
  | 'replied';

export type FlowEvent =
  | 'skip'
  | 'ask'
  | 'pass'
  | 'stream'
  | 'gather'
  | 'output'
  | 'last'
  | 'let go'
  | 'again'
  | 'consumed'
  | 'trailers'
  | 'drain'
  | 'end'
  | 'reply';

export const MODULE_TRANSITIONS: readonly (readonly [FlowState, FlowEvent, FlowState])[] = [
  ['idle', 'skip', 'passing'],
  ['idle', 'ask', 'asked'],
  ['asked', 'pass', 'passing'],
  ['asked', 'stream', 'streaming'],
  ['asked', 'gather', 'gathering'],
  ['asked', 'again', 'asked'],
  ['asked', 'trailers', 'ending'],
  ['asked', 'drain', 'ending'],
  ['streaming', 'last', 'ending'],
  ['streaming', 'drain', 'ending'],
  ['streaming', 'let go', 'letting go'],
  ['streaming', 'pass', 'passing'],
  ['gathering', 'output', 'streaming'],
  ['gathering', 'last', 'ending'],
  ['gathering', 'drain', 'ending'],
  ['gathering', 'let go', 'letting go'],
  ['gathering', 'again', 'asked'],
  ['gathering', 'pass', 'passing'],
  ['letting go', 'consumed', 'passing'],
  ['letting go', 'last', 'ending'],
  ['letting go', 'trailers', 'ending'],
  ['letting go', 'drain', 'ending'],
  ['letting go', 'pass', 'passing'],
  ['passing', 'trailers', 'ending'],
  ['ending', 'pass', 'passing'],
  ['ending', 'end', 'done'],
  ['idle', 'reply', 'replied'],
  ['asked', 'reply', 'replied'],
  ['streaming', 'reply', 'replied'],
  ['gathering', 'reply', 'replied'],
  ['letting go', 'reply', 'replied'],
  ['ending', 'reply', 'replied'],
  ['passing', 'reply', 'replied'],
  ['done', 'reply', 'replied'],
];

/** undefined: the event does not belong there. */
export function nextState(from: FlowState, event: FlowEvent): FlowState | undefined {
  return MODULE_TRANSITIONS.find(([state, on]) => state === from && on === event)?.[2];
}
