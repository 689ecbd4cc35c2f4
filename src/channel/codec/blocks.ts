/** Packed operation blocks (schema/exchange.fbs). Strings are latin1, a byte a unit. */
import { writeLatin1 } from '../../base/header-block.js';
import type { HeaderOp, OpList } from '../../base/wire.js';
import type { Room } from './template.js';

const OP_OVERHEAD = 12;

const text = (part: HeaderOp | string | undefined): string => (typeof part === 'string' ? part : '');

/** Bytes of one operation of a list; `at` is the index of its op. */
export function opSize(ops: OpList, at: number): number {
  return OP_OVERHEAD + text(ops[at + 1]).length + text(ops[at + 2]).length;
}

export function opsSize(ops: OpList): number {
  let size = 0;
  for (let i = 0; i < ops.length; i += 3) size += opSize(ops, i);
  return size;
}

/** Writes operations `from` … `to` (indices of the flat list). */
export function writeOps(room: Room, at: number, ops: OpList, from: number, to: number): number {
  const { bytes, view } = room;
  for (let i = from; i < to; i += 3) {
    const name = text(ops[i + 1]);
    const value = text(ops[i + 2]);
    view.setUint32(at, ops[i] as number, true);
    view.setUint32(at + 4, name.length, true);
    view.setUint32(at + 8, value.length, true);
    at = writeLatin1(bytes, writeLatin1(bytes, at + OP_OVERHEAD, name), value);
  }
  return at;
}

/** How far a list may go, from `from`, in `room` bytes: the index after the last operation that fits. At least one
 *  operation is taken, so that a hopeless one fails where it is written and not in an endless loop. */
export function opsThatFit(ops: OpList, from: number, room: number): number {
  let size = opSize(ops, from);
  let to = from + 3;
  while (to < ops.length) {
    size += opSize(ops, to);
    if (size > room) break;
    to += 3;
  }
  return to;
}
