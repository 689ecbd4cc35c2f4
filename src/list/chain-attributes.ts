/** Attribute blocks (schema/exchange.fbs) of a chain: each member's own out of those of all. */
import { u32 } from '../base/header-block.js';

const ABSENT = 0xffffffff;

/** One member's attributes out of the chain's: `places` are their positions there. */
export function pickAttributes(block: Uint8Array, places: readonly number[]): Uint8Array {
  if (block.length === 0 || places.length === 0) return block.subarray(0, 0);
  const entries: [from: number, to: number][] = [];
  let at = 0;
  while (at + 4 <= block.length) {
    const length = u32(block, at);
    const to = at + 4 + (length === ABSENT ? 0 : length);
    entries.push([at, Math.min(to, block.length)]);
    at = to;
  }
  const inOrder = places.length === entries.length && places.every((place, i) => place === i);
  if (inOrder) return block;
  return Buffer.concat(places.map((place) => block.subarray(...(entries[place] ?? [0, 0]))));
}
