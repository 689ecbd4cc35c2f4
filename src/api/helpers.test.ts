import { describe, expect, it } from 'vitest';
import { lines, ndjson, sse, text } from './helpers.js';

/** The bytes of a text, cut after every n. */
async function* cut(whole: string, n: number): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(whole);
  for (let at = 0; at < bytes.length; at += n) yield Uint8Array.from(bytes.subarray(at, at + n));
  await Promise.resolve();
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

describe.each([1, 2, 3, 7, 1000])('a body in chunks of %i bytes', (n) => {
  it('is one text', async () => {
    expect(await text(cut('a\xe9\u20ac\u{1f600}', n))).toBe('a\xe9\u20ac\u{1f600}');
    expect(await text(cut('', n))).toBe('');
  });

  it('has lines, also without a last line end', async () => {
    expect(await all(lines(cut('one\r\ntw\xf6\n\nfour\rx', n)))).toEqual(['one', 'tw\xf6', '', 'four\rx']);
    expect(await all(lines(cut('one\n', n)))).toEqual(['one']);
    expect(await all(lines(cut('', n)))).toEqual([]);
  });

  it('has JSON values', async () => {
    expect(await all(ndjson(cut('{"a":1}\n\n[2]\r\n"\u20ac"', n)))).toEqual([{ a: 1 }, [2], '\u20ac']);
    await expect(all(ndjson(cut('{', n)))).rejects.toThrow(SyntaxError);
  });

  it('has events', async () => {
    const stream =
      '\ufeff: hello\n\nevent: tick\r\ndata: 1\r\ndata:2\r\nid: 7\r\n\r\ndata:  x\rretry: 10\r\rid\ndata\n\nevent: none\n\ndata: cut off';
    expect(await all(sse(cut(stream, n)))).toEqual([
      { event: 'tick', data: '1\n2', id: '7' },
      { event: 'message', data: ' x', id: '7', retry: 10 },
      { event: 'message', data: '', id: '' },
    ]);
  });

  it('may not have lines without end', async () => {
    const limit = { maxLength: 10 };
    await expect(all(lines(cut('x'.repeat(11), n), limit))).rejects.toMatchObject({ code: 'TSF_LINE_TOO_LONG' });
    await expect(all(lines(cut(`${'x'.repeat(11)}\n`, n), limit))).rejects.toMatchObject({ code: 'TSF_LINE_TOO_LONG' });
    expect(await all(lines(cut(`${'x'.repeat(10)}\r\n${'y'.repeat(10)}`, n), limit))).toHaveLength(2);
    await expect(all(sse(cut('data: 12345\ndata: 123456\n\n', n), { maxLength: 12 }))).rejects.toMatchObject({
      code: 'TSF_LINE_TOO_LONG',
    });
  });
});
