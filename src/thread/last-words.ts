/** What a thread can say of an error that nobody has caught, before Node ends it. */
import type { LastWords } from './messages.js';

export function lastWords(error: unknown): LastWords {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const enhanced = enhance(error, stack);
  const emitter = /Emitted 'error' event on (\S+) instance/.exec(enhanced)?.[1];
  const isUnheard = enhanced !== stack || (error as { code?: unknown } | null)?.code === 'ERR_UNHANDLED_ERROR';
  return { stack: enhanced, emitter: emitter ?? (isUnheard ? 'EventEmitter' : undefined) };
}

/**
 * An 'error' event without listener becomes an exception, and its stack is that of the failed connection: nothing of the
 * author's is on it. Node knows the emitter and tells it only where it prints the error itself.
 */
function enhance(error: unknown, stack: string): string {
  if (!(error instanceof Error)) return stack;
  const symbol = Object.getOwnPropertySymbols(error).find((one) => one.description === 'kEnhanceStackBeforeInspector');
  const tell: unknown = symbol === undefined ? undefined : Reflect.get(error, symbol);
  if (typeof tell !== 'function') return stack;
  try {
    const enhanced: unknown = Reflect.apply(tell, error, []);
    return typeof enhanced === 'string' ? enhanced : stack;
  } catch {
    return stack;
  }
}
