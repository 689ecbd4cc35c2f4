import { afterTurn } from '../base/turns.js';

/** More than any message needs to cross both ways, and its hooks to run. */
const TURNS = 24;

/**
 * Lets everything happen that needs no time. With fake timers a filter sets its own when it gets there, so they are moved behind this.
 *
 * @example
 * const coming = filter.request('/');
 * await settled();
 * await vi.advanceTimersByTimeAsync(1000);
 * const response = await coming;
 */
export async function settled(): Promise<void> {
  for (let i = 0; i < TURNS; i++) await new Promise<void>((resolve) => afterTurn(resolve));
}
