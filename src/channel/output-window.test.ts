import { describe, expect, it } from 'vitest';
import { OutputWindow } from './output-window.js';
import { OutputFlag } from '../base/wire.js';

const { Digested, Last, Added, Cut } = OutputFlag;

/** A window that writes down what goes through it. */
function open(window: number) {
  const sent: string[] = [];
  const made = new OutputWindow(window, (flags, acknowledged, bytes) => {
    sent.push(`${String(flags)} ack ${String(acknowledged)} ${Buffer.from(bytes ?? []).toString()}`);
  });
  const put = (flags: number, acknowledged: number, text: string, owned = false): Uint8Array => {
    const bytes = Buffer.from(text);
    made.output(flags, acknowledged, bytes, owned);
    return bytes;
  };
  return { window: made, sent, put };
}

describe('output within the window', () => {
  it('goes as it is, and never waits', () => {
    const { window, sent, put } = open(10);
    put(Digested, 3, 'abcde');
    put(Last, 0, 'fghij');
    expect(sent).toEqual([`${String(Digested)} ack 3 abcde`, `${String(Last)} ack 0 fghij`]);
    expect(window.backpressure()).toBeUndefined();
  });

  it('is every output of no bytes, as long as nothing waits', () => {
    const { window, sent } = open(1);
    window.output(0, 1, Buffer.from('a'), true);
    window.output(Digested, 1, undefined, true);
    expect(sent).toEqual(['0 ack 1 a', `${String(Digested)} ack 1 `]);
  });
});

describe('output beyond it', () => {
  it('waits for credit, its flags on its last byte', async () => {
    const { window, sent, put } = open(4);
    put(Digested, 9, 'abcdefghij');
    expect(sent).toEqual([`${String(Cut)} ack 9 abcd`]);
    let free = false;
    void window.backpressure()?.then(() => (free = true));
    window.credit(3);
    expect(sent).toEqual([`${String(Cut)} ack 9 abcd`, `${String(Cut)} ack 0 efg`]);
    window.credit(2);
    await Promise.resolve();
    expect(free).toBe(false);
    window.credit(2);
    await Promise.resolve();
    expect(sent.slice(2)).toEqual([`${String(Cut)} ack 0 hi`, `${String(Digested)} ack 0 j`]);
    expect(free).toBe(true);
    expect(window.backpressure()).toBeUndefined();
  });

  it('is overtaken by nothing of its direction', () => {
    const { window, sent, put } = open(2);
    put(Added, 0, 'abcd');
    window.behind(() => sent.push('answer'));
    put(0, 5, 'e');
    window.output(Digested, 1, undefined, false);
    window.behind(() => sent.push('trailers'));
    expect(sent).toEqual([`${String(Added | Cut)} ack 0 ab`]);
    window.credit(2);
    expect(sent.slice(1)).toEqual([`${String(Added)} ack 0 cd`, 'answer']);
    window.credit(2);
    expect(sent.slice(3)).toEqual(['0 ack 5 e', `${String(Digested)} ack 1 `, 'trailers']);
  });

  it('is copied once, unless its memory is nobody else’s', () => {
    const { window, sent, put } = open(1);
    put(0, 0, 'ab').fill(120);
    put(0, 0, 'c', true).fill(121);
    window.credit(1);
    window.credit(1);
    expect(sent).toEqual([`${String(Cut)} ack 0 a`, '0 ack 0 b', '0 ack 0 y']);
  });

  it('is dropped when a reply takes its place, and nobody waits for it any longer', async () => {
    const { window, sent, put } = open(1);
    put(0, 0, 'abc');
    const room = window.backpressure();
    window.close();
    await room;
    window.credit(1);
    expect(sent).toEqual([`${String(Cut)} ack 0 a`]);
  });

  it('may be dropped by what is sent behind it', () => {
    const { window, sent, put } = open(1);
    put(0, 0, 'ab');
    window.behind(() => {
      window.close();
    });
    put(0, 0, 'c');
    window.credit(1);
    window.credit(1);
    expect(sent).toEqual([`${String(Cut)} ack 0 a`, '0 ack 0 b']);
  });
});

it('credit for more than was sent opens no larger window', () => {
  const { window, sent, put } = open(3);
  window.credit(100);
  put(0, 0, 'abcdef');
  expect(sent).toEqual([`${String(Cut)} ack 0 abc`]);
});
