/**
 * The frames of PROTOCOL.md, to bytes and back.
 *
 *   length u32 │ kind u8 │ format u8 │ id u32 │ body          all integers big endian
 *
 * `length` counts what follows it. Nothing here knows what a frame means.
 */

export const PROTOCOL_VERSION = 1;
/** The most that `length` may be. */
export const MAX_FRAME_BYTES = 16 << 20;
/** Of names, methods and codes. */
export const MAX_NAME_BYTES = 255;
/** The most calls that a runtime may ask to have at once. */
export const MAX_WINDOW = 1 << 20;

const HEADER_BYTES = 10;
const BODY_OVERHEAD = HEADER_BYTES - 4;

export const NOTHING = 0;
export const BYTES = 1;
export const JSON_TEXT = 2;
export type Format = typeof NOTHING | typeof BYTES | typeof JSON_TEXT;

export interface Payload {
  readonly format: Format;
  readonly bytes: Uint8Array;
}

export type Frame =
  | { readonly kind: 'hello'; readonly version: number; readonly window: number }
  | { readonly kind: 'load'; readonly name: string; readonly payload: Payload }
  | { readonly kind: 'call'; readonly id: number; readonly name: string; readonly payload: Payload }
  | { readonly kind: 'answer'; readonly id: number; readonly payload: Payload }
  | { readonly kind: 'error'; readonly id: number; readonly name: string; readonly payload: Payload }
  | { readonly kind: 'cancel'; readonly id: number }
  | { readonly kind: 'shutdown' };

const KINDS = ['hello', 'load', 'call', 'answer', 'error', 'cancel', 'shutdown'] as const;
const NO_PAYLOAD: Payload = { format: NOTHING, bytes: new Uint8Array() };

/** The peer sent what is no frame. */
export class MalformedFrame extends Error {}

/** Whether a payload fits into one frame, behind a name where there is one. */
export const fits = (payload: Payload, name?: string): boolean =>
  BODY_OVERHEAD + (name === undefined ? 0 : 1 + Buffer.byteLength(name)) + payload.bytes.length <= MAX_FRAME_BYTES;

/** A frame in memory of its own. */
export function encodeFrame(frame: Frame): Uint8Array<ArrayBuffer> {
  const name = 'name' in frame ? Buffer.from(frame.name) : undefined;
  const payload = 'payload' in frame ? frame.payload : NO_PAYLOAD;
  const hello = frame.kind === 'hello' ? 6 : 0;
  const nameBytes = name === undefined ? 0 : 1 + name.length;
  const bytes = new Uint8Array(HEADER_BYTES + hello + nameBytes + payload.bytes.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length - 4);
  view.setUint8(4, KINDS.indexOf(frame.kind) + 1);
  view.setUint8(5, payload.format);
  view.setUint32(6, 'id' in frame ? frame.id : 0);
  if (frame.kind === 'hello') {
    view.setUint16(HEADER_BYTES, frame.version);
    view.setUint32(HEADER_BYTES + 2, frame.window);
  }
  if (name !== undefined) {
    view.setUint8(HEADER_BYTES, name.length);
    bytes.set(name, HEADER_BYTES + 1);
  }
  bytes.set(payload.bytes, HEADER_BYTES + hello + nameBytes);
  return bytes;
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function text(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new MalformedFrame('a name is not UTF-8');
  }
}

function decodeFrame(bytes: Buffer): Frame {
  const kind = KINDS[bytes.readUInt8(4) - 1];
  const format = bytes.readUInt8(5);
  const id = bytes.readUInt32BE(6);
  if (kind === undefined) throw new MalformedFrame(`kind ${String(bytes.readUInt8(4))}`);
  if (format !== NOTHING && format !== BYTES && format !== JSON_TEXT)
    throw new MalformedFrame(`format ${String(format)}`);
  if (kind === 'hello') {
    if (bytes.length !== HEADER_BYTES + 6) throw new MalformedFrame('hello is not of its size');
    return { kind, version: bytes.readUInt16BE(HEADER_BYTES), window: bytes.readUInt32BE(HEADER_BYTES + 2) };
  }
  if (kind === 'shutdown' || kind === 'cancel') {
    if (bytes.length !== HEADER_BYTES) throw new MalformedFrame(`${kind} with a body`);
    return kind === 'cancel' ? { kind, id } : { kind };
  }
  let at = HEADER_BYTES;
  let name = '';
  if (kind !== 'answer') {
    const end = at + 1 + (bytes[at] ?? Infinity);
    if (end > bytes.length) throw new MalformedFrame('a name is longer than its frame');
    name = text(bytes.subarray(at + 1, end));
    at = end;
  }
  if (format === NOTHING && at < bytes.length) throw new MalformedFrame('bytes where nothing is');
  // A copy: a small answer must not keep the large buffer that it came in.
  const payload: Payload = { format, bytes: new Uint8Array(bytes.subarray(at)) };
  if (kind === 'load') return { kind, name, payload };
  return kind === 'answer' ? { kind, id, payload } : { kind, id, name, payload };
}

/** Frames out of bytes that come in pieces of any size; holds at most one unfinished frame and a piece. */
export class FrameReader {
  #pieces: Buffer[] = [];
  #size = 0;
  /** Of the frame that is coming, its length included; 0: not known yet. */
  #wanted = 0;

  /** The frames that are whole now. Throws MalformedFrame. */
  *push(piece: Uint8Array): Generator<Frame, void> {
    this.#pieces.push(Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength));
    this.#size += piece.length;
    for (;;) {
      if (this.#wanted === 0) {
        if (this.#size < 4) return;
        const length = this.#first(4).readUInt32BE(0);
        if (length < BODY_OVERHEAD || length > MAX_FRAME_BYTES) throw new MalformedFrame(`length ${String(length)}`);
        this.#wanted = 4 + length;
      }
      if (this.#size < this.#wanted) return;
      const whole = this.#first(this.#wanted).subarray(0, this.#wanted);
      const rest = this.#pieces[0]!.subarray(this.#wanted);
      if (rest.length > 0) this.#pieces[0] = rest;
      else this.#pieces.shift();
      this.#size -= this.#wanted;
      this.#wanted = 0;
      yield decodeFrame(whole);
    }
  }

  /** The first piece, which has at least that many bytes. */
  #first(bytes: number): Buffer {
    if (this.#pieces[0]!.length < bytes) this.#pieces = [Buffer.concat(this.#pieces)];
    return this.#pieces[0]!;
  }
}
