import { describe, expect, it } from 'vitest';
import { BodyBufferImpl, joinBytes, toBytes } from './buffer.js';

const buffer = (...parts: string[]): BodyBufferImpl =>
  new BodyBufferImpl(parts.map((part) => Uint8Array.from(Buffer.from(part))));

describe('a body buffer', () => {
  it('drains, clamps, and ignores what makes no sense', () => {
    const body = buffer('x'.repeat(50));
    body.drain(40);
    expect(body.length).toBe(10);
    body.drain(5);
    expect(body.length).toBe(5);
    for (const n of [0, -1, NaN]) body.drain(n);
    expect(body.length).toBe(5);
    body.drain(10);
    expect([body.length, body.text()]).toEqual([0, '']);
  });

  it('drains over the borders of its parts', () => {
    const body = buffer('ab', 'cd', 'ef');
    body.drain(3);
    expect(body.text()).toBe('def');
    body.drain(1.9);
    expect(body.text()).toBe('ef');
  });

  it('sets, appends and prepends strings and bytes', () => {
    const body = buffer('b');
    body.append('c');
    body.prepend(Buffer.from('a'));
    expect(body.text()).toBe('abc');
    body.set('\xe9');
    expect([...body.bytes()]).toEqual([0xc3, 0xa9]);
    expect(body.length).toBe(2);
  });

  it('keeps copies, and gives copies', () => {
    const mine = Uint8Array.from([1]);
    const body = buffer('');
    body.set(mine);
    mine[0] = 9;
    body.bytes()[0] = 7;
    expect([...body.bytes()]).toEqual([1]);
  });

  it('is left as it was by a bad value', () => {
    const body = buffer('a');
    expect(() => {
      body.set(1 as never);
    }).toThrow(expect.objectContaining({ code: 'TSF_CHUNK_INVALID' }));
    expect(body.text()).toBe('a');
  });

  it('ends with its hook', () => {
    const body = buffer('a');
    expect(body.take()).toHaveLength(1);
    const calls = [
      () => body.length,
      () => body.bytes(),
      () => body.text(),
      () => {
        body.set('');
      },
      () => {
        body.append('');
      },
      () => {
        body.prepend('');
      },
      () => {
        body.drain(1);
      },
    ];
    for (const call of calls) expect(call).toThrow(expect.objectContaining({ code: 'TSF_BUFFER_GONE' }));
  });
});

describe('chunks', () => {
  it('are Uint8Arrays, also of another realm, or strings', async () => {
    const { runInNewContext } = await import('node:vm');
    expect([...toBytes('a\xe9')]).toEqual([0x61, 0xc3, 0xa9]);
    expect(toBytes(runInNewContext('new Uint8Array(2)') as Uint8Array)).toHaveLength(2);
    expect(toBytes(Buffer.from('ab'))).toHaveLength(2);
    for (const bad of [
      1,
      null,
      undefined,
      {},
      [],
      new ArrayBuffer(1),
      new Uint16Array(1),
      new DataView(new ArrayBuffer(1)),
    ]) {
      expect(() => toBytes(bad as never)).toThrow(expect.objectContaining({ code: 'TSF_CHUNK_INVALID' }));
    }
  });

  it('are joined only where there are several', () => {
    const one = Uint8Array.from([1]);
    expect(joinBytes([one])).toBe(one);
    expect(joinBytes([])).toHaveLength(0);
    expect([...joinBytes([one, Uint8Array.from([2, 3])])]).toEqual([1, 2, 3]);
  });
});
