/** What an author gives for a reply, checked. */
import { FilterError } from '../api/errors.js';
import { LENGTH, wrongLength } from '../headers/framing.js';
import { isLine } from '../headers/header-rules.js';

/** Throws for one that no reply can have. */
export function replyStatus(status: number): number {
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw new FilterError('TSF_REPLY_INVALID', `${String(status)} is not a status that a reply can have (200 to 599)`);
  }
  return status;
}

export function detailsOf(details: string | undefined): string {
  if (details === undefined) return '';
  if (typeof details !== 'string' || !isLine(details)) {
    throw new FilterError('TSF_REPLY_INVALID', 'details are one line of latin1 text');
  }
  return details;
}

export function grpcStatusOf(status: number | undefined): number {
  if (status === undefined) return -1;
  if (!Number.isInteger(status) || status < 0 || status > 16) {
    throw new FilterError('TSF_REPLY_INVALID', `${String(status)} is not a gRPC status (0 to 16)`);
  }
  return status;
}

/** What the headers say, else what is known of the body, which they then say. */
export function lengthOf(lines: string[], known: number | undefined): number | undefined {
  const at = lines.findIndex((name, i) => i % 2 === 0 && name === LENGTH);
  if (at < 0) {
    if (known !== undefined) lines.push(LENGTH, String(known));
    return known;
  }
  const said = Number(lines[at + 1]);
  if (known !== undefined && known !== said)
    throw new FilterError('TSF_LENGTH_WRONG', `reply(): ${wrongLength(said, known, '; leave it out')}`);
  return said;
}

/** undefined: something in it is no chunk, which shows when it is sent. */
export function sizeOf(chunks: readonly unknown[]): number | undefined {
  let size = 0;
  for (const chunk of chunks) {
    if (typeof chunk === 'string') size += Buffer.byteLength(chunk);
    else if (chunk instanceof Uint8Array) size += chunk.length;
    else return undefined;
  }
  return size;
}
