/** Attribute blocks of a list: each member's own out of those of all. */
import { attributeEnd } from '../api/attributes.js';

/** One member's attributes out of the list's: `places` are their positions there. */
export function pickAttributes(block: Uint8Array, places: readonly number[]): Uint8Array {
  if (block.length === 0 || places.length === 0) return block.subarray(0, 0);
  const entries: [from: number, to: number][] = [];
  for (let at = 0; at + 4 <= block.length; at = entries.at(-1)![1]) entries.push([at, attributeEnd(block, at)]);
  const inOrder = places.length === entries.length && places.every((place, i) => place === i);
  if (inOrder) return block;
  return Buffer.concat(places.map((place) => block.subarray(...(entries[place] ?? [0, 0]))));
}
