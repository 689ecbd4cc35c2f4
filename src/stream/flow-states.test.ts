import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { FLOW_TRANSITIONS, type FlowEvent, type FlowState, nextState } from './flow-states.js';

const HEAD = '| in the host, from | event | to |';

test('the table in docs/lifecycle.md is the one in the code', () => {
  const page = readFileSync(new URL('../../docs/lifecycle.md', import.meta.url), 'utf8');
  const lines = page.split('\n');
  const at = lines.indexOf(HEAD);
  expect(at).toBeGreaterThan(0);
  const after = lines.slice(at + 2);
  const rows = after.slice(
    0,
    after.findIndex((line) => !line.startsWith('|')),
  );
  const documented = rows.map((row) => row.slice(2, -2).split(' | '));
  expect(documented.map(String).sort()).toEqual(FLOW_TRANSITIONS.map(String).sort());
});

test('an event leads to one state, and every state but the first is reached', () => {
  const seen = new Set<string>();
  const reached = new Set<FlowState>(['idle']);
  for (const [from, event, to] of FLOW_TRANSITIONS) {
    expect(seen.has(`${from}, ${event}`)).toBe(false);
    seen.add(`${from}, ${event}`);
    reached.add(to);
    expect(nextState(from, event)).toBe(to);
  }
  for (const [from] of FLOW_TRANSITIONS) expect(reached).toContain(from);
});

test('what is not in the table goes nowhere', () => {
  const states = new Set(FLOW_TRANSITIONS.flatMap(([from, , to]) => [from, to]));
  const events = new Set<FlowEvent>(FLOW_TRANSITIONS.map(([, event]) => event));
  let refused = 0;
  for (const from of states) for (const event of events) if (nextState(from, event) === undefined) refused++;
  expect(refused).toBe(states.size * events.size - FLOW_TRANSITIONS.length);
  expect(nextState('dead', 'kill')).toBeUndefined();
  expect(nextState('streaming', 'trailers')).toBeUndefined();
});
