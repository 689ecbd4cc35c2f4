/** The terminal that a process was started in. When it goes, its processes get the signal that else means: load anew. */
import { closeSync, openSync } from 'node:fs';

export class Terminal {
  readonly #was = isThere();

  /** It was there at the start, and is there no more. */
  isGone(): boolean {
    return this.#was && !isThere();
  }
}

function isThere(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return true;
  } catch {
    return false;
  }
}
