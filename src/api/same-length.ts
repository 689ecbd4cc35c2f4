/** What a data hook can declare of itself. */
import { FilterError } from './errors.js';
import type { Answer, StatusType } from './types.js';
import type { BodyBuffer } from './types-data.js';

/** A hook for the pieces of a body: `decodeData`, `encodeData`. */
export type DataHook = (data: BodyBuffer, endStream: boolean) => Answer<StatusType>;

// By Symbol.for, so that a filter bundled with its own copy of this package is understood.
const SAME_LENGTH: unique symbol = Symbol.for('envoy-ts-filter.sameLength') as never;

/**
 * Declares that a data hook only looks at the body, or changes it without changing its length. The message then keeps its
 * `content-length`, also when it streams. What the hook lets go is counted: a body that becomes longer or shorter fails
 * the stream with `TSF_LENGTH_WRONG`. For `perChunk` it is an option.
 *
 * @example
 * decodeData: sameLength((data) => {
 *   callbacks.log.debug(`${data.length} bytes more`);
 * }),
 */
export function sameLength(hook: DataHook): DataHook {
  if (typeof hook !== 'function') throw new FilterError('TSF_ARGUMENT_INVALID', 'sameLength(hook): not a function');
  const marked = function (this: unknown, data: BodyBuffer, endStream: boolean): Answer<StatusType> {
    return hook.call(this, data, endStream);
  };
  Object.defineProperty(marked, SAME_LENGTH, { value: true });
  return marked;
}

/** Whether a hook was declared so. */
export function keepsLength(hook: object): boolean {
  return (hook as { [SAME_LENGTH]?: true })[SAME_LENGTH] === true;
}
