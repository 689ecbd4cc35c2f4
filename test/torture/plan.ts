/** Random messages: what is sent when, from a seed. */
import { Random } from '../fixture/bytes.js';

/** How many messages one Envoy gets before the next one is started with new chains. */
export const ROUND = 1_000;
export const CHAINS = 32;

/** Bytes of a piece; a negative number is a pause of so many milliseconds. */
export type Step = number;
export type End = 'with the last piece' | 'empty frame' | 'trailers' | 'with the headers';

export interface BodyPlan {
  readonly size: number;
  /** Where in the pattern its bytes begin. */
  readonly offset: number;
  readonly steps: readonly Step[];
  readonly end: End;
  /** With content-length. */
  readonly length: boolean;
}

export interface MessagePlan {
  readonly index: number;
  readonly client: 'http1' | 'http2';
  /** One HTTP/2 connection with others of its chain. */
  readonly shared: boolean;
  readonly upstream: 'http1' | 'http2';
  /** When the upstream answers: as soon as it has the headers (its end after the request's), after the request's end,
   *  or as soon as it has the headers and without waiting for the request. */
  readonly answer: 'early' | 'late' | 'rash';
  readonly faultMs: number;
  readonly request: BodyPlan;
  readonly response: BodyPlan;
}

/** A generator of its own for each thing that is made from the seed, so that one can be made without the others. */
export function seeded(seed: number, what: number, index: number): Random {
  const mixed = Math.imul(seed ^ Math.imul(what + 1, 0x9e3779b1), 0x85ebca6b) ^ Math.imul(index + 1, 0xc2b2ae35);
  return new Random(mixed | 0);
}

export const chainOf = (index: number): { round: number; number: number } => ({
  round: Math.floor(index / ROUND),
  number: index % CHAINS,
});

function size(random: Random): number {
  const at = random.next();
  if (at < 0.1) return 0;
  if (at < 0.2) return 1;
  if (at < 0.4) return random.int(2, 60);
  if (at < 0.65) return random.int(1_000, 12_000);
  if (at < 0.95) return random.int(12_001, 120_000);
  if (at < 0.985) return random.int(120_001, 400_000);
  return random.int(900_000, 1_100_000);
}

function steps(random: Random, bytes: number, end: End): Step[] {
  const out: Step[] = [];
  const pause = (chance: number, most = 10) => {
    if (random.next() < chance) out.push(-random.int(1, most));
  };
  pause(0.5);
  const pieces = bytes === 0 ? 0 : Math.min(bytes, random.pick([1, 1, 2, 3, 6, 12]));
  const cuts = Array.from({ length: Math.max(0, pieces - 1) }, () => random.int(1, bytes)).sort((a, b) => a - b);
  let before = 0;
  for (const cut of [...cuts, ...(bytes > 0 ? [bytes] : [])]) {
    if (cut === before) continue;
    if (before > 0) pause(0.5);
    out.push(cut - before);
    before = cut;
  }
  if (end === 'empty frame') out.push(-random.int(1, 10));
  if (end === 'trailers') pause(0.5);
  return out;
}

function body(random: Random, bytes: number): BodyPlan {
  const ends: End[] = ['with the last piece', 'with the last piece', 'empty frame', 'trailers'];
  const end = bytes === 0 ? random.pick<End>(['with the headers', 'empty frame', 'trailers']) : random.pick(ends);
  // a request whose end came long after its last byte would be answered before it, which is `rash`
  const length = bytes > 0 && end === 'with the last piece' && random.next() < 0.5;
  return { size: bytes, offset: random.int(0, 65_520), steps: steps(random, bytes, end), end, length };
}

/** When the answer is complete before the request, Envoy resets the HTTP/2 stream and drops what has not gone yet. */
const RASH_BYTES = 12_000;

export function planMessage(seed: number, index: number): MessagePlan {
  const random = seeded(seed, 1, index);
  const answer = random.pick(['early', 'early', 'early', 'late', 'late', 'late', 'late', 'rash'] as const);
  return {
    index,
    client: random.pick(['http1', 'http2']),
    shared: random.next() < 0.5 && answer !== 'rash',
    upstream: random.pick(['http1', 'http2']),
    answer,
    faultMs: random.int(1, 10),
    request: body(random, size(random)),
    response: body(random, answer === 'rash' ? Math.min(RASH_BYTES, size(random)) : size(random)),
  };
}

const describeBody = ({ size, steps, end, length }: BodyPlan): string => {
  const sent = steps.map((step) => (step < 0 ? `${-step}ms` : String(step))).join(' ');
  return `${size} bytes${length ? ' with content-length' : ''}, sent as [${sent}], end ${end}`;
};

export function describeMessage(plan: MessagePlan): string {
  const { client, upstream, shared, answer, faultMs } = plan;
  return [
    `${client}${client === 'http2' && shared ? ' (shared connection)' : ''} to ${upstream}, answered ${answer}, fault header ${faultMs} ms`,
    `  request:  ${describeBody(plan.request)}`,
    `  response: ${describeBody(plan.response)}`,
  ].join('\n');
}
