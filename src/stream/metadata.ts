/**
 * Dynamic metadata on its way to Envoy (schema: MetadataType). What Envoy's plain setters can take goes as it is;
 * anything else as a serialized google.protobuf.Struct, which is small enough to be written here.
 */
import { FilterError } from '../api/errors.js';
import type { Json } from '../api/types-data.js';
import { MetadataType } from '../base/wire.js';

/** Objects in objects beyond this are refused by protobuf's own limit of 100 messages in one another. */
const MAX_DEPTH = 30;

export interface MetadataValue {
  readonly type: (typeof MetadataType)[keyof typeof MetadataType];
  /** For Number and Bool. */
  readonly number: number;
  readonly bytes: Buffer;
}

const NONE = Buffer.alloc(0);

/** Throws TSF_ARGUMENT_INVALID for what is no JSON. `nested`: Envoy takes Structs, which replace what is there; its plain
 *  setters only ever make lists longer. */
export function metadataValue(key: string, value: Json, nested: boolean): MetadataValue {
  if (typeof value === 'string') return { type: MetadataType.Text, number: 0, bytes: Buffer.from(value) };
  if (typeof value === 'number') return { type: MetadataType.Number, number: finite(value), bytes: NONE };
  if (typeof value === 'boolean') return { type: MetadataType.Bool, number: value ? 1 : 0, bytes: NONE };
  const list = Array.isArray(value) && !nested ? plainList(value as readonly Json[]) : undefined;
  return list ?? { type: MetadataType.Struct, number: 0, bytes: struct({ [key]: value }, 0) };
}

/** undefined: not a list of one plain type, or empty. */
function plainList(list: readonly Json[]): MetadataValue | undefined {
  const kind = typeof list[0];
  if (list.length === 0 || list.some((one) => typeof one !== kind)) return undefined;
  if (kind === 'number') {
    const bytes = Buffer.alloc(list.length * 8);
    list.forEach((one, i) => bytes.writeDoubleLE(finite(one as number), i * 8));
    return { type: MetadataType.NumberList, number: 0, bytes };
  }
  if (kind === 'boolean') {
    return { type: MetadataType.BoolList, number: 0, bytes: Buffer.from(list.map((one) => (one === true ? 1 : 0))) };
  }
  return kind === 'string' ? { type: MetadataType.TextList, number: 0, bytes: textBlock(list as string[]) } : undefined;
}

/** {u32 length, bytes}*, in UTF-8. */
export function textBlock(texts: readonly string[]): Buffer {
  return Buffer.concat(
    texts.flatMap((text) => {
      const bytes = Buffer.from(text);
      const length = Buffer.alloc(4);
      length.writeUInt32LE(bytes.length);
      return [length, bytes];
    }),
  );
}

/** {u32 length, u32 length, first, second} and what follows. */
export function pairBlock(first: string, second: string, rest: Uint8Array = NONE): Buffer {
  const [a, b] = [Buffer.from(first), Buffer.from(second)];
  const head = Buffer.alloc(8);
  head.writeUInt32LE(a.length, 0);
  head.writeUInt32LE(b.length, 4);
  return Buffer.concat([head, a, b, rest]);
}

function finite(value: number): number {
  if (!Number.isFinite(value)) throw invalid(`${String(value)} is not a number that JSON has`);
  return value;
}

function invalid(why: string): FilterError {
  return new FilterError('TSF_ARGUMENT_INVALID', `dynamicMetadata.set(): ${why}`);
}

// ---- google/protobuf/struct.proto: a field is a tag (number << 3 | wire type), then a varint, 8 bytes, or a length ----

function struct(object: { readonly [key: string]: Json }, depth: number): Buffer {
  if (depth > MAX_DEPTH) throw invalid(`nested deeper than ${String(MAX_DEPTH)}, or in itself`);
  // Struct.fields = 1, a map: entries of key = 1 and value = 2.
  return Buffer.concat(
    Object.entries(object).flatMap(([key, value]) =>
      delimited(1, Buffer.concat([...delimited(1, Buffer.from(key)), ...delimited(2, protoValue(value, depth))])),
    ),
  );
}

function protoValue(value: Json, depth: number): Buffer {
  if (value === null) return Buffer.from([0x08, 0]); // null_value = 1
  switch (typeof value) {
    case 'number': {
      const bytes = Buffer.alloc(9);
      bytes[0] = 0x11; // number_value = 2
      bytes.writeDoubleLE(finite(value), 1);
      return bytes;
    }
    case 'string':
      return Buffer.concat(delimited(3, Buffer.from(value))); // string_value = 3
    case 'boolean':
      return Buffer.from([0x20, value ? 1 : 0]); // bool_value = 4
    case 'object':
      break;
    default:
      throw invalid(`${typeof value} is not a JSON value`);
  }
  if (!Array.isArray(value)) {
    return Buffer.concat(delimited(5, struct(value as { readonly [key: string]: Json }, depth + 1))); // struct_value = 5
  }
  if (depth > MAX_DEPTH) throw invalid(`nested deeper than ${String(MAX_DEPTH)}, or in itself`);
  const items = (value as readonly Json[]).flatMap((item) => delimited(1, protoValue(item, depth + 1)));
  return Buffer.concat(delimited(6, Buffer.concat(items))); // list_value = 6, of values = 1
}

function delimited(field: number, bytes: Buffer): [Buffer, Buffer] {
  const head = [(field << 3) | 2];
  let length = bytes.length;
  for (; length > 0x7f; length = Math.floor(length / 128)) head.push((length & 0x7f) | 0x80);
  head.push(length);
  return [Buffer.from(head), bytes];
}
