import { describe, expect, it } from 'vitest';
import {
  encodeFrame,
  fits,
  type Frame,
  FrameReader,
  MalformedFrame,
  MAX_FRAME_BYTES,
} from '../../filters/calls/core/frames.js';

const bytes = (...values: number[]) => Uint8Array.from(values);
const FRAMES: readonly Frame[] = [
  { kind: 'hello', version: 1, window: 1024 },
  { kind: 'load', name: 'echo', payload: { format: 2, bytes: bytes(0x7b, 0x7d) } },
  { kind: 'call', id: 1, name: 'ä€😀', payload: { format: 1, bytes: bytes(0, 255) } },
  { kind: 'call', id: 0xffffffff, name: 'x'.repeat(255), payload: { format: 0, bytes: bytes() } },
  { kind: 'answer', id: 1, payload: { format: 1, bytes: new Uint8Array(70_000).fill(7) } },
  { kind: 'error', id: 2, name: 'NOPE', payload: { format: 1, bytes: bytes(0x6e, 0x6f) } },
  { kind: 'cancel', id: 3 },
  { kind: 'shutdown' },
];
const plain = (frame: Frame): unknown =>
  'payload' in frame ? { ...frame, payload: { ...frame.payload, bytes: [...frame.payload.bytes] } } : frame;

describe('frames', () => {
  it('are the bytes that PROTOCOL.md shows', () => {
    const frame = encodeFrame({
      kind: 'call',
      id: 7,
      name: 'echo',
      payload: { format: 2, bytes: Buffer.from('"hi"') },
    });
    expect(Buffer.from(frame).toString('hex')).toBe('0000000f030200000007046563686f22686922');
  });

  it.each([1, 2, 3, 7, 64, 100_000])('are read back from pieces of %i bytes', (size) => {
    const all = Buffer.concat(FRAMES.map(encodeFrame));
    const reader = new FrameReader();
    const read: Frame[] = [];
    for (let at = 0; at < all.length; at += size) read.push(...reader.push(all.subarray(at, at + size)));
    expect(read.map(plain)).toEqual(FRAMES.map(plain));
  });

  it('have memory of their own', () => {
    const piece = Buffer.concat([encodeFrame(FRAMES[2]!), new Uint8Array(60_000)]);
    const [frame] = new FrameReader().push(piece.subarray(0, encodeFrame(FRAMES[2]!).length));
    expect(frame?.kind === 'call' && frame.payload.bytes.buffer.byteLength).toBe(2);
  });

  it('have a limit', () => {
    expect(fits({ format: 1, bytes: new Uint8Array(MAX_FRAME_BYTES - 6) })).toBe(true);
    expect(fits({ format: 1, bytes: new Uint8Array(MAX_FRAME_BYTES - 5) })).toBe(false);
    expect(fits({ format: 1, bytes: new Uint8Array(MAX_FRAME_BYTES - 11) }, 'echo')).toBe(true);
    expect(fits({ format: 1, bytes: new Uint8Array(MAX_FRAME_BYTES - 10) }, 'echo')).toBe(false);
  });

  it('that are none end in MalformedFrame and nothing else', () => {
    let seed = 1;
    const random = (below: number) => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) % below;
    for (let i = 0; i < 3000; i++) {
      const frame = Buffer.from(encodeFrame(FRAMES[random(FRAMES.length)]!)).subarray(0, 200);
      for (let changes = 1 + random(4); changes > 0; changes--) frame[random(frame.length)] = random(256);
      try {
        for (const _ of new FrameReader().push(frame));
      } catch (e) {
        expect(e).toBeInstanceOf(MalformedFrame);
      }
    }
  });
});
