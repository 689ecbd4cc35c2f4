/**
 * Header lines and the packed blocks that carry them (schema/exchange.fbs): `count` times {u32 name length, u32 value
 * length, name, value}. The one reader and the one writer of them.
 */
import { type HeaderBlock, HeaderOp, type OpList } from './wire.js';

/** Before the name. */
export const LINE_OVERHEAD = 8;
/** Shorter strings are copied by a loop: a call into native code costs more than they do. */
const LOOP_BELOW = 24;

/** What every Buffer has and its types leave out: several times as fast as toString for a short string. */
export type Latin1Buffer = Buffer & { latin1Slice(start: number, end: number): string };

export function latin1Buffer(bytes: Uint8Array): Latin1Buffer {
  return (Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)) as Latin1Buffer;
}

export function u32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

/** Lines with lower-case names. Names are what is compared, so they are kept apart. */
export class HeaderLines {
  readonly names: string[] = [];
  readonly values: string[] = [];

  /** The lines of a block; one that does not fit its own lengths ends it. */
  static of({ bytes, count }: HeaderBlock): HeaderLines {
    const lines = new HeaderLines();
    const block = latin1Buffer(bytes);
    const { names, values } = lines;
    let at = 0;
    for (let i = 0; i < count && at + LINE_OVERHEAD <= block.length; i++) {
      const nameEnd = at + LINE_OVERHEAD + u32(block, at);
      const valueEnd = nameEnd + u32(block, at + 4);
      if (valueEnd > block.length) break;
      names.push(block.latin1Slice(at + LINE_OVERHEAD, nameEnd).toLowerCase());
      values.push(block.latin1Slice(nameEnd, valueEnd));
      at = valueEnd;
    }
    return lines;
  }

  static from(lines: Iterable<readonly [name: string, value: string]>): HeaderLines {
    const made = new HeaderLines();
    for (const [name, value] of lines) made.add(name, value);
    return made;
  }

  /** name, value, name, value … */
  static fromFlat(flat: readonly string[]): HeaderLines {
    const made = new HeaderLines();
    for (let i = 0; i + 1 < flat.length; i += 2) made.add(flat[i]!, flat[i + 1]!);
    return made;
  }

  get(name: string): string | undefined {
    const i = this.names.indexOf(name);
    return i < 0 ? undefined : this.values[i];
  }

  add(name: string, value: string): void {
    this.names.push(name);
    this.values.push(value);
  }

  /** As Envoy does it: a pseudo-header keeps its place, any other goes to the end. */
  set(name: string, value: string): void {
    const i = this.names.indexOf(name);
    if (i >= 0 && name.startsWith(':')) {
      this.values[i] = value;
      return;
    }
    if (i >= 0) this.delete(name);
    this.add(name, value);
  }

  delete(name: string): void {
    const { names, values } = this;
    let kept = 0;
    for (let i = 0; i < names.length; i++) {
      if (names[i] === name) continue;
      names[kept] = names[i]!;
      values[kept] = values[i]!;
      kept++;
    }
    names.length = values.length = kept;
  }

  /** Operations that are about no line, as those of the route cache, change none. */
  write(op: HeaderOp, name: string, value: string): void {
    if (op === HeaderOp.Set) this.set(name, value);
    else if (op === HeaderOp.Add) this.add(name, value);
    else if (op === HeaderOp.Delete) this.delete(name);
  }

  apply(ops: OpList): this {
    for (let i = 0; i < ops.length; i += 3) this.write(ops[i] as HeaderOp, ops[i + 1] as string, ops[i + 2] as string);
    return this;
  }

  /** name, value, name, value … as the sink takes them. */
  flat(): string[] {
    const flat: string[] = [];
    for (let i = 0; i < this.names.length; i++) flat.push(this.names[i]!, this.values[i]!);
    return flat;
  }

  *[Symbol.iterator](): Iterator<[name: string, value: string]> {
    for (let i = 0; i < this.names.length; i++) yield [this.names[i]!, this.values[i]!];
  }
}

/** A block whose count was not told. */
export function countedBlock(bytes: Uint8Array): HeaderBlock {
  let count = 0;
  for (let at = 0; at + LINE_OVERHEAD <= bytes.length; count++) {
    at += LINE_OVERHEAD + u32(bytes, at) + u32(bytes, at + 4);
    if (at > bytes.length) break;
  }
  return { bytes, count };
}

/** Where the first line of that name begins, which is in lower case; -1 = there is none. */
export function findLine(bytes: Uint8Array, count: number, name: string): number {
  let at = 0;
  for (let i = 0; i < count && at + LINE_OVERHEAD <= bytes.length; i++) {
    const length = u32(bytes, at);
    if (isName(bytes, at + LINE_OVERHEAD, length, name)) return at;
    at += LINE_OVERHEAD + length + u32(bytes, at + 4);
  }
  return -1;
}

/** The value of the line at a place that findLine gave for that name. Not a substring of a decoded block: that would keep
 *  all of it alive. */
export function valueAt(bytes: Latin1Buffer, at: number, name: string): string {
  const start = at + LINE_OVERHEAD + name.length;
  return bytes.latin1Slice(start, start + u32(bytes, at + 4));
}

/** The value of the first line of that name, which is in lower case. */
export function valueIn({ bytes, count }: HeaderBlock, name: string): string | undefined {
  const at = findLine(bytes, count, name);
  return at < 0 ? undefined : valueAt(latin1Buffer(bytes), at, name);
}

/** Header names on the wire are ASCII. */
function isName(bytes: Uint8Array, at: number, length: number, lower: string): boolean {
  if (length !== lower.length) return false;
  for (let i = 0; i < length; i++) {
    let byte = bytes[at + i]!;
    if (byte >= 0x41 && byte <= 0x5a) byte |= 0x20;
    if (byte !== lower.charCodeAt(i)) return false;
  }
  return true;
}

/** The block as Envoy would have it after these operations; the same one when they change no line. */
export function applyOps(block: HeaderBlock, ops: OpList): HeaderBlock {
  for (let i = 0; i < ops.length; i += 3) {
    const op = ops[i];
    if (op === HeaderOp.Set || op === HeaderOp.Add || op === HeaderOp.Delete)
      return packHeaders(HeaderLines.of(block).apply(ops).flat());
  }
  return block;
}

// ---- writing ----

/** A block from lines: name, value, name, value … */
export function packHeaders(lines: readonly string[]): HeaderBlock {
  const bytes = Buffer.allocUnsafeSlow(headersSize(lines));
  writeHeaders({ bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length) }, 0, lines);
  return { bytes, count: lines.length >>> 1 };
}

export function headersSize(lines: readonly string[]): number {
  let size = 0;
  for (let i = 0; i + 1 < lines.length; i += 2) size += LINE_OVERHEAD + lines[i]!.length + lines[i + 1]!.length;
  return size;
}

/** Where lines are written; both are of the same memory. */
export interface LineRoom {
  readonly bytes: Buffer;
  readonly view: DataView;
}

export function writeHeaders({ bytes, view }: LineRoom, at: number, lines: readonly string[]): number {
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const name = lines[i]!;
    const value = lines[i + 1]!;
    view.setUint32(at, name.length, true);
    view.setUint32(at + 4, value.length, true);
    at = writeLatin1(bytes, writeLatin1(bytes, at + LINE_OVERHEAD, name), value);
  }
  return at;
}

/** A byte a unit. */
export function writeLatin1(bytes: Buffer, at: number, text: string): number {
  const length = text.length;
  if (length < LOOP_BELOW) {
    for (let i = 0; i < length; i++) bytes[at + i] = text.charCodeAt(i);
  } else {
    bytes.write(text, at, length, 'latin1');
  }
  return at + length;
}
