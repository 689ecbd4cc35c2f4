/** gRPC's framing: five bytes before each message, cut anywhere by the network. */
const HEAD = 5;

export class Messages {
  #rest: Uint8Array = new Uint8Array(0);

  /** The messages that are complete with these bytes. */
  *take(chunk: Uint8Array): Generator<Uint8Array> {
    // a copy: the chunk may be pooled memory
    let rest: Uint8Array = Buffer.concat([this.#rest, chunk]);
    for (;;) {
      if (rest.length < HEAD) break;
      const end = HEAD + new DataView(rest.buffer, rest.byteOffset).getUint32(1);
      if (rest.length < end) break;
      if (rest[0] !== 0) throw new Error('a compressed message');
      yield rest.subarray(HEAD, end);
      rest = rest.subarray(end);
    }
    this.#rest = rest;
  }

  /** At the body's end. */
  finish(): void {
    if (this.#rest.length > 0) throw new Error(`the body ends inside a message: ${this.#rest.length} bytes are left`);
  }
}

export function framed(message: Uint8Array): Uint8Array {
  const out = new Uint8Array(HEAD + message.length);
  new DataView(out.buffer).setUint32(1, message.length);
  out.set(message, HEAD);
  return out;
}

/** Field 1 of a serialized test.Message, which is its first when it is there. */
function textOf(message: Uint8Array): string {
  if (message[0] !== 0x0a || message[1]! >= 0x80) return '';
  return Buffer.from(message.subarray(2, 2 + message[1]!)).toString('latin1');
}

/** Another entry of `passed`: protobuf joins what is appended. */
function withPassed(message: Uint8Array, value: string): Uint8Array {
  const length: number[] = [];
  for (let left = value.length; ; left >>>= 7) {
    length.push(left < 0x80 ? left : (left & 0x7f) | 0x80);
    if (left < 0x80) break;
  }
  return Buffer.concat([message, Buffer.from([0x22, ...length]), Buffer.from(value, 'latin1')]);
}

/**
 * What becomes of one message: it says that it passed, in `direction`; by its text it is dropped, doubled, made 200 000
 * bytes longer or all but emptied.
 */
export function* changed(message: Uint8Array, direction: 'request' | 'response'): Generator<Uint8Array> {
  const marked = withPassed(message, direction);
  switch (textOf(message)) {
    case `drop ${direction}`:
      return;
    case `double ${direction}`:
      yield framed(marked);
      yield framed(marked);
      return;
    case `grow ${direction}`:
      yield framed(withPassed(marked, 'x'.repeat(200_000)));
      return;
    case `shrink ${direction}`:
      yield framed(withPassed(new Uint8Array(0), 'shrunk'));
      return;
    default:
      yield framed(marked);
  }
}
