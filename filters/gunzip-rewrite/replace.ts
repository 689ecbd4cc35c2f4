const EMPTY = Buffer.alloc(0);
const PIECE_BYTES = 65_536;

/**
 * Replaces `from` by `to` wherever it stands, also across chunks. Holds back only the end of a chunk that may be the
 * beginning of `from`, and gives out pieces of about 64 KiB however much longer `to` is.
 */
export async function* replaceAll(chunks: AsyncIterable<Buffer>, from: Buffer, to: Buffer): AsyncGenerator<Buffer> {
  let held: Buffer = EMPTY;
  let pieces: Buffer[] = [];
  let size = 0;
  const add = (piece: Buffer): void => {
    pieces.push(piece);
    size += piece.length;
  };
  const take = (): Buffer => {
    const whole = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, size);
    pieces = [];
    size = 0;
    return whole;
  };

  for await (const chunk of chunks) {
    const data = held.length > 0 ? Buffer.concat([held, chunk]) : chunk;
    let start = 0;
    for (let at = data.indexOf(from); at !== -1; at = data.indexOf(from, start)) {
      add(data.subarray(start, at));
      add(to);
      start = at + from.length;
      if (size >= PIECE_BYTES) yield take();
    }
    const end = data.length - lengthOfPartialMatch(data, start, from);
    add(data.subarray(start, end));
    held = data.subarray(end);
    if (size > 0) yield take();
    pieces = [];
  }
  if (held.length > 0) yield held;
}

/** How many bytes at the end of `data`, not before `start`, are the beginning of `from`. */
function lengthOfPartialMatch(data: Buffer, start: number, from: Buffer): number {
  for (let length = Math.min(from.length - 1, data.length - start); length > 0; length--) {
    if (data.compare(from, 0, length, data.length - length) === 0) return length;
  }
  return 0;
}
