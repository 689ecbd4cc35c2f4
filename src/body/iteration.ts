/** The author's iterators, which we read and they may leave half read. */
import type { Phase } from '../api/types.js';

interface Runner {
  run<R>(phase: Phase | undefined, fn: (...args: never[]) => R, self: unknown): R;
}

/**
 * Ends an iterator before it is done, so that the `finally` of a generator runs. Whatever that throws goes to `late`: there
 * is nobody else to tell, and whoever ends a stream has more to do.
 */
export function closeIterator(
  author: Runner,
  phase: Phase | undefined,
  iterator: AsyncIterator<unknown> | Iterator<unknown> | undefined,
  late: (error: unknown) => void,
): void {
  try {
    const close = iterator?.return;
    if (close === undefined) return;
    Promise.resolve(author.run(phase, close as () => unknown, iterator)).catch(late);
  } catch (e) {
    late(e);
  }
}
