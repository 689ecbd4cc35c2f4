import { expect, it } from 'vitest';
import { http1, pattern, patternDigest, type ByteMap, type Seen } from '../../test/fixture/index.js';
import { stage } from '../../test/e2e/support.js';

const at = stage({ filters: [{ name: 'upper' }] });
const upper: ByteMap = (bytes) => Buffer.from(bytes.map((byte) => (byte >= 0x61 && byte <= 0x7a ? byte - 0x20 : byte)));

it.each([0, 1, 3, 7, 65_536, 5_000_001])('upper-cases %i bytes both ways and no other byte', async (size) => {
  const answer = await http1(at.port, { method: 'POST', path: '/echo', body: pattern(size) });
  expect([answer.complete, answer.digest]).toEqual([true, patternDigest(size, upper)]);
});

it('shows the upstream an upper-cased request', async () => {
  const answer = await http1(at.port, { method: 'POST', path: '/sink', body: pattern(100_000) });
  const seen = JSON.parse(answer.text.toLowerCase()) as Seen;
  expect(seen.digest).toBe(patternDigest(100_000, upper));
});

it('passes each piece on before the next one comes', async () => {
  const arrivals: number[] = [];
  await http1(at.port, { path: '/sse?n=4&ms=100', onPiece: () => void arrivals.push(performance.now()) });
  expect(arrivals.at(-1)! - arrivals[0]!).toBeGreaterThan(200);
});
