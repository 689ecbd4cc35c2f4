/** content-length must be true, or absent, when the headers go. */
import type { HeaderMapImpl } from '../headers.js';
import { BodyMode, HeaderOp } from '../wire.js';

const NAME = 'content-length';

/** With the answer to the headers. True: the length will be known with the whole body, see setLength. */
export function mendLength(headers: HeaderMapImpl, mode: BodyMode, endStream: boolean, added: number): boolean {
  if (mode === BodyMode.Pass) {
    if (added === 0) return false;
    const length = endStream ? 0 : headers.contentLength();
    if (length !== undefined) headers.write(HeaderOp.Set, NAME, String(length + added));
    else if (headers.has(NAME)) headers.write(HeaderOp.Delete, NAME, '');
    return false;
  }
  if (!headers.has(NAME)) return false;
  if (mode === BodyMode.Whole) return true;
  headers.write(HeaderOp.Delete, NAME, '');
  return false;
}

/** undefined: it is not to be known after all. */
export function setLength(headers: HeaderMapImpl, length: number | undefined): void {
  if (length === undefined) headers.write(HeaderOp.Delete, NAME, '');
  else headers.write(HeaderOp.Set, NAME, String(length));
}
