/** Where in the author's files something went wrong. */
import { fileURLToPath } from 'node:url';

const OWN = fileURLToPath(new URL('..', import.meta.url));
const FRAME = /^\s+at /;

/**
 * The first line of a stack that is the author's, without its `at`: not ours, not Node's, and if possible not a package's.
 * undefined: there is none.
 */
export function authorFrame(stack: string): string | undefined {
  const frames = stack.split('\n').filter((line) => FRAME.test(line) && /:\d+:\d+\)?$/.test(line));
  const foreign = frames.filter((line) => !/[( ]node:/.test(line) && !line.includes(OWN));
  const frame = foreign.find((line) => !line.includes('/node_modules/')) ?? foreign[0];
  return frame?.replace(FRAME, '');
}

/** Where a call was made, for errors that come later, when nothing of the author's is on the stack any more. */
export class CallSite {
  declare private readonly stack: string;

  /** `call` and what it calls are left out. */
  constructor(call: (...args: never[]) => unknown) {
    Error.captureStackTrace(this, call);
  }

  /** The error, as if it had been made there. */
  mark<E extends Error>(error: E): E {
    const frames = this.stack.split('\n').filter((line) => FRAME.test(line));
    error.stack = [`${error.name}: ${error.message}`, ...frames].join('\n');
    return error;
  }
}
