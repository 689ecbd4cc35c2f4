/** Header blocks between the filters of a chain: what one wrote, applied to what the next one sees. */
import { type HeaderBlock, HeaderOp, type OpList } from '../wire.js';

const LINE_OVERHEAD = 8;

function u32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

/** What every Buffer has and its types leave out: several times as fast as toString for a short string. */
type Latin1Buffer = Buffer & { latin1Slice(start: number, end: number): string };

function bufferOf(bytes: Uint8Array): Latin1Buffer {
  return (Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)) as Latin1Buffer;
}

/** A line of the block, by its place, or one that was written. */
interface Line {
  readonly name: string;
  /** undefined: as it stands in the block. */
  value: string | undefined;
  readonly from: number;
  readonly to: number;
}

/**
 * The block as Envoy would have it after these operations: a pseudo-header keeps its place, any other goes to the end.
 * The same block when nothing changes a line.
 */
export function applyOps(block: HeaderBlock, ops: OpList): HeaderBlock {
  if (!changesLines(ops)) return block;
  const bytes = bufferOf(block.bytes);
  let lines: Line[] = [];
  let at = 0;
  for (let i = 0; i < block.count; i++) {
    const valueAt = at + LINE_OVERHEAD + u32(bytes, at);
    const to = valueAt + u32(bytes, at + 4);
    lines.push({ name: bytes.latin1Slice(at + LINE_OVERHEAD, valueAt).toLowerCase(), value: undefined, from: at, to });
    at = to;
  }
  for (let i = 0; i < ops.length; i += 3) {
    const name = ops[i + 1] as string;
    const value = ops[i + 2] as string;
    switch (ops[i]) {
      case HeaderOp.Set: {
        const pseudo = name.startsWith(':') ? lines.find((line) => line.name === name) : undefined;
        if (pseudo !== undefined) {
          pseudo.value = value;
          break;
        }
        lines = lines.filter((line) => line.name !== name);
        lines.push({ name, value, from: 0, to: 0 });
        break;
      }
      case HeaderOp.Add:
        lines.push({ name, value, from: 0, to: 0 });
        break;
      case HeaderOp.Delete:
        lines = lines.filter((line) => line.name !== name);
        break;
    }
  }
  return pack(bytes, lines);
}

function changesLines(ops: OpList): boolean {
  for (let i = 0; i < ops.length; i += 3) {
    const op = ops[i];
    if (op === HeaderOp.Set || op === HeaderOp.Add || op === HeaderOp.Delete) return true;
  }
  return false;
}

function pack(bytes: Buffer, lines: readonly Line[]): HeaderBlock {
  let size = 0;
  for (const { name, value, from, to } of lines)
    size += value === undefined ? to - from : LINE_OVERHEAD + name.length + value.length;
  const out = Buffer.allocUnsafe(size);
  let at = 0;
  for (const { name, value, from, to } of lines) {
    if (value === undefined) {
      at += bytes.copy(out, at, from, to);
      continue;
    }
    at = out.writeUInt32LE(name.length, at);
    at = out.writeUInt32LE(value.length, at);
    at += out.write(name, at, 'latin1');
    at += out.write(value, at, 'latin1');
  }
  return { bytes: out, count: lines.length };
}

/** The lines of a block, name by value. */
export function linesOf({ bytes, count }: HeaderBlock): [name: string, value: string][] {
  const from = bufferOf(bytes);
  const lines: [string, string][] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    const valueAt = at + LINE_OVERHEAD + u32(from, at);
    const to = valueAt + u32(from, at + 4);
    lines.push([from.latin1Slice(at + LINE_OVERHEAD, valueAt), from.latin1Slice(valueAt, to)]);
    at = to;
  }
  return lines;
}

export function valueOf(lines: readonly (readonly [string, string])[], name: string): string | undefined {
  return lines.find((line) => line[0] === name)?.[1];
}

/** A flat list as the sink takes it: name, value, name, value … */
export function flatLines(lines: readonly (readonly [string, string])[]): string[] {
  const flat: string[] = [];
  for (const [name, value] of lines) flat.push(name, value);
  return flat;
}

/** The other way round. */
export function pairLines(flat: readonly string[]): [string, string][] {
  const lines: [string, string][] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) lines.push([flat[i]!, flat[i + 1]!]);
  return lines;
}

const ABSENT = 0xffffffff;

/** One member's attributes out of the chain's: `places` are their positions there. */
export function pickAttributes(block: Uint8Array, places: readonly number[]): Uint8Array {
  if (block.length === 0 || places.length === 0) return block.subarray(0, 0);
  const entries: [from: number, to: number][] = [];
  let at = 0;
  while (at + 4 <= block.length) {
    const length = u32(block, at);
    const to = at + 4 + (length === ABSENT ? 0 : length);
    entries.push([at, Math.min(to, block.length)]);
    at = to;
  }
  const inOrder = places.length === entries.length && places.every((place, i) => place === i);
  if (inOrder) return block;
  return Buffer.concat(places.map((place) => block.subarray(...(entries[place] ?? [0, 0]))));
}
