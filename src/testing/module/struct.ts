/** google/protobuf/struct.proto as it comes from `stream/metadata.ts`, read back into JSON. */
import type { Json } from '../../api/types-data.js';

interface Field {
  readonly number: number;
  /** A varint's value. */
  readonly value: number;
  readonly bytes: Buffer;
}

const VARINT = 0;
const FIXED64 = 1;

export function readStruct(bytes: Buffer): Record<string, Json> {
  const object: Record<string, Json> = {};
  for (const entry of fields(bytes)) {
    const [key, value] = fields(entry.bytes);
    object[key!.bytes.toString()] = value === undefined ? null : readValue(value.bytes);
  }
  return object;
}

function readValue(bytes: Buffer): Json {
  const [field] = fields(bytes);
  switch (field?.number) {
    case 2:
      return field.bytes.readDoubleLE(0);
    case 3:
      return field.bytes.toString();
    case 4:
      return field.value !== 0;
    case 5:
      return readStruct(field.bytes);
    case 6:
      return fields(field.bytes).map((item) => readValue(item.bytes));
    default:
      return null;
  }
}

function fields(bytes: Buffer): Field[] {
  const found: Field[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 0x7f) * shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const wire = tag & 7;
    if (wire === VARINT) {
      found.push({ number: tag >> 3, value: varint(), bytes: Buffer.alloc(0) });
      continue;
    }
    const length = wire === FIXED64 ? 8 : varint();
    found.push({ number: tag >> 3, value: 0, bytes: bytes.subarray(at, at + length) });
    at += length;
  }
  return found;
}
