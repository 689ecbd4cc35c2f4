/** Random chains: one or two of ours with up to four filters that pause around them. */
import type { Random } from '../fixture/bytes.js';
import { seeded } from './plan.js';
import { STYLES, shaped, through, type Message, type OursConfig } from './ours.js';
import { FORWARD_PROXY, PAUSING, PAUSING_OURS } from './pausing.js';

export interface Ours {
  readonly ours: OursConfig;
}
export interface Pausing {
  /** A key of PAUSING, or PAUSING_OURS. */
  readonly pausing: string;
  readonly ms: number;
}
export type Entry = Ours | Pausing;

export interface Chain {
  readonly number: number;
  readonly entries: readonly Entry[];
  /** Envoy's buffer limit, undefined: its default. */
  readonly bufferLimit: number | undefined;
}

export type Place = 'before' | 'between' | 'behind';
export type Direction = 'request' | 'response';

export const isOurs = (entry: Entry): entry is Ours => 'ours' in entry;
export const forwards = ({ entries }: Chain): boolean =>
  entries.some((entry) => !isOurs(entry) && entry.pausing === FORWARD_PROXY);

const KINDS = [...Object.keys(PAUSING), PAUSING_OURS];
const isAlone = (entry: Entry): boolean => !isOurs(entry) && PAUSING[entry.pausing]?.alone === true;

/** Up to four filters that pause. */
function pausers(random: Random): Entry[] {
  const entries = Array.from({ length: random.int(1, 4) }, () => ({
    pausing: random.pick(KINDS),
    ms: random.int(0, 12),
  }));
  const alone = entries.find(isAlone);
  if (alone !== undefined) return entries.filter((entry) => entry === alone || entry.pausing === PAUSING_OURS);
  // a second one would find the name resolved
  const forward = entries.findIndex(({ pausing }) => pausing === FORWARD_PROXY);
  return entries.filter(({ pausing }, i) => pausing !== FORWARD_PROXY || i === forward);
}

export function planChain(seed: number, round: number, number: number): Chain {
  const random = seeded(seed, 2, round * 1_000 + number);
  const entries = pausers(random);
  for (const tag of random.pick(['A', 'A', 'AB'])) {
    const [request, response] = [random.pick(STYLES), random.pick(STYLES)];
    const headersMs = random.pick([0, 0, 3, 12]);
    const ours = { tag, request, response, headersMs, bodyMs: random.pick([0, 2, 8, 20]) };
    entries.splice(random.int(0, entries.length), 0, { ours });
  }
  const holds = entries.some((entry) => !isOurs(entry) && PAUSING[entry.pausing]?.holds === true);
  return { number, entries, bufferLimit: holds ? 64 << 20 : random.pick([undefined, undefined, 32_768, 262_144]) };
}

/** The chain without any of ours: what is Envoy's own shows. */
export const withoutOurs = (chain: Chain): Chain => ({
  ...chain,
  entries: chain.entries.filter((entry) => !isOurs(entry) && entry.pausing !== PAUSING_OURS),
});

export function describeChain({ entries, bufferLimit }: Chain): string {
  const names = entries.map((entry) => {
    if (!isOurs(entry)) return entry.pausing === PAUSING_OURS ? entry.pausing : `${entry.pausing} (${entry.ms} ms)`;
    const { tag, request, response, headersMs, bodyMs } = entry.ours;
    return `ours ${tag} (request ${request}, response ${response}, pauses ${headersMs} and ${bodyMs} ms)`;
  });
  return `[${names.join(', ')}]${bufferLimit === undefined ? '' : ` buffer limit ${bufferLimit}`}`;
}

/** What the receiver of that direction may get; the first is what a message without pauses becomes. */
export function expected(chain: Chain, direction: Direction, sent: Message): Message[] {
  const ours = chain.entries.filter(isOurs);
  if (direction === 'response') ours.reverse();
  let messages = [sent];
  for (const { ours: one } of ours) messages = messages.flatMap((message) => through(one[direction], one.tag, message));
  return messages;
}

export const sentMessage = (body: Buffer, end: string): Message =>
  end === 'with the headers' ? { body, trailers: false, headersOnly: 'yes' } : shaped(body, end === 'trailers');

/** The filters that pause and where they stand as seen from ours, without doubles. */
export function places({ entries }: Chain): { row: string; place: Place }[] {
  const at = entries.map(isOurs);
  const [first, last] = [at.indexOf(true), at.lastIndexOf(true)];
  const found = entries.flatMap((entry, i): [string, { row: string; place: Place }][] => {
    if (isOurs(entry)) return [];
    const place = i < first ? 'before' : i > last ? 'behind' : 'between';
    const row = PAUSING[entry.pausing]?.row ?? entry.pausing;
    return [[`${row} ${place}`, { row, place }]];
  });
  return [...new Map(found).values()];
}
