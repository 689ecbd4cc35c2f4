/** The author's values as payloads: bytes stay bytes, everything else is JSON. */
import { BYTES, JSON_TEXT, NOTHING, type Payload } from './frames.js';

/** Throws what JSON.stringify throws, and a TypeError for what JSON cannot say. */
export function toPayload(value: unknown): Payload {
  if (value === undefined) return { format: NOTHING, bytes: new Uint8Array() };
  if (value instanceof Uint8Array) return { format: BYTES, bytes: value };
  const json = JSON.stringify(value) as string | undefined;
  if (json === undefined) throw new TypeError(`a ${typeof value} is no JSON`);
  return { format: JSON_TEXT, bytes: Buffer.from(json) };
}

/** Throws a SyntaxError when the other side sent bad JSON. */
export function fromPayload({ format, bytes }: Payload): unknown {
  if (format === NOTHING) return undefined;
  if (format === BYTES) return bytes;
  return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()) as unknown;
}
