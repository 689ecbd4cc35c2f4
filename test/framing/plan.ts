/** Random conversations: what is said on one connection, and what the filter and the upstream do, from a seed. */
import type { Random } from '../fixture/bytes.js';
import { seeded } from '../torture/plan.js';
import type { BodyPlan, Step } from '../torture/plan.js';
import { planActs } from './plan-acts.js';
import type { Acts } from './ours.js';

/** Exchanges of a conversation. */
export const TALK = 5;

/** What stands in front of the router. `plain-…` refuses HTTP/1.0, as Envoy does by default. */
export const STAGES = ['one', 'edges', 'list', 'two', 'request', 'response', 'both', 'plain'] as const;
export type StageName = (typeof STAGES)[number];
export type Client = 'http1' | 'http1.0' | 'http1.0 keep-alive' | 'http2';
export type Target = 'http1' | 'http2' | 'direct' | 'redirect' | 'noroute' | 'nobody' | 'tunnel';

export const MALFORMED = [
  'request line',
  'both lengths',
  'two lengths',
  'length no number',
  'large headers',
  'no header line',
  'no host',
  'unknown coding',
  'relative path',
  'bad chunk',
] as const;
export type Malformed = (typeof MALFORMED)[number];

export interface RequestPlan {
  readonly method: string;
  readonly target: Target;
  /** `end: 'with the headers'`: no body. */
  readonly body: BodyPlan;
  readonly expect: boolean;
  /** To a websocket; the upstream takes it with 101, or refuses it by any other answer. */
  readonly upgrade: boolean;
  /** Headers and the first piece in one write. */
  readonly together: boolean;
  readonly malformed: Malformed | undefined;
}

export interface AnswerPlan {
  readonly status: number;
  readonly interim: readonly number[];
  /** early: with the request's headers, whatever comes of its body. */
  readonly when: 'late' | 'early';
  readonly body: BodyPlan;
  /** HTTP/1.1; `close`: the end of the connection ends the body. */
  readonly framing: 'length' | 'chunked' | 'close';
  readonly together: boolean;
  /** Promises more than it sends, and closes. */
  readonly short: boolean;
  /** Says so, and closes behind the answer. */
  readonly closes: boolean;
  /** HTTP/2: sends DATA behind a 204. */
  readonly stray: boolean;
}

export interface Exchange {
  readonly number: number;
  readonly request: RequestPlan;
  readonly answer: AnswerPlan;
  /** Of the filter, or of the two. */
  readonly acts: readonly Acts[];
}

export interface Conversation {
  readonly number: number;
  readonly client: Client;
  readonly stage: StageName;
  /** HTTP/1.1: requests are sent without waiting for answers; HTTP/2: all at once. */
  readonly pipelined: boolean;
  readonly exchanges: readonly Exchange[];
}

/** Envoy resets an HTTP/2 stream whose answer is complete before its request, and drops what it has not sent. */
export const AT_ONCE = 12_000;

function size(random: Random): number {
  const at = random.next();
  if (at < 0.12) return 0;
  if (at < 0.2) return 1;
  if (at < 0.55) return random.int(2, 60);
  if (at < 0.85) return random.int(500, 12_000);
  if (at < 0.97) return random.int(12_001, 90_000);
  return random.int(90_001, 300_000);
}

function steps(random: Random, bytes: number, together: boolean): Step[] {
  const out: Step[] = [];
  if (bytes === 0) return random.next() < 0.5 ? [] : [-random.int(1, 4)];
  const pieces = together ? 1 : Math.min(bytes, random.pick([1, 1, 2, 4]));
  let left = bytes;
  for (let i = 1; i <= pieces; i++) {
    const piece = i === pieces ? left : Math.max(1, Math.min(left - (pieces - i), random.int(1, left)));
    if (!together && random.next() < 0.4) out.push(-random.int(1, 4));
    out.push(piece);
    left -= piece;
  }
  return out;
}

function body(random: Random, ends: readonly BodyPlan['end'][], together: boolean, most = Infinity): BodyPlan {
  const end = random.pick(ends);
  const bytes = end === 'with the headers' ? 0 : Math.min(most, size(random));
  const length = end === 'with the last piece' && random.next() < 0.6;
  return { size: bytes, offset: random.int(0, 65_520), steps: steps(random, bytes, together), end, length };
}

const NO_BODY: BodyPlan = { size: 0, offset: 0, steps: [], end: 'with the headers', length: false };
const METHODS = ['GET', 'GET', 'GET', 'HEAD', 'HEAD', 'POST', 'POST', 'PUT', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'];
const WITH_BODY = ['POST', 'PUT', 'PATCH', 'DELETE'];
const TARGETS: readonly Target[] = [
  ...Array.from({ length: 7 }, (): Target => 'http1'),
  ...Array.from({ length: 5 }, (): Target => 'http2'),
  'direct',
  'redirect',
  'noroute',
  'nobody',
];

const PLAIN = { body: NO_BODY, expect: false, upgrade: false, together: true, malformed: undefined };

/** What ends a connection, or is no message any more: only as the last of a conversation. */
function planLast(random: Random, client: Client, stage: StageName): RequestPlan | undefined {
  const at = random.next();
  const tunnels = !client.startsWith('http1.0') && stage !== 'plain';
  if (tunnels && at < 0.12) return { ...PLAIN, method: 'CONNECT', target: 'tunnel' };
  if (client !== 'http1') return undefined;
  if (tunnels && at < 0.24) return { ...PLAIN, method: 'GET', target: 'http1', upgrade: true };
  if (at > 0.64) return undefined;
  const malformed = random.pick(MALFORMED);
  const posts = malformed === 'both lengths' || malformed === 'two lengths' || malformed === 'bad chunk';
  // who answers before the body comes does not see what is wrong with it
  const target = random.pick(malformed === 'bad chunk' ? (['http1', 'http2'] as const) : TARGETS);
  return { ...PLAIN, method: posts ? 'POST' : 'GET', target, malformed };
}

function planRequest(random: Random, client: Client): RequestPlan {
  const method = random.pick(METHODS);
  const together = random.next() < 0.6;
  const bodily = WITH_BODY.includes(method) && random.next() < 0.9;
  const old = client.startsWith('http1.0');
  const ends: readonly BodyPlan['end'][] = ['with the last piece', 'with the last piece', 'empty frame', 'trailers'];
  let planned = bodily ? body(random, ends, together) : NO_BODY;
  // HTTP/1.0 knows content-length only
  if (bodily && old) planned = { ...planned, end: 'with the last piece', length: true };
  const expect = bodily && client === 'http1' && random.next() < 0.1;
  return { ...PLAIN, method, target: random.pick(TARGETS), body: planned, expect, together };
}

const STATUSES = [200, 200, 200, 200, 200, 201, 204, 204, 205, 206, 301, 304, 304, 400, 404, 411, 500, 503];

function statusFor(random: Random, { upgrade }: RequestPlan): number {
  if (!upgrade) return random.pick(STATUSES);
  return random.next() < 0.5 ? 101 : random.pick([200, 401, 403, 500]);
}

function planAnswer(random: Random, client: Client, request: RequestPlan): AnswerPlan {
  const status = statusFor(random, request);
  const together = random.next() < 0.6;
  const bodiless = status === 204 || status === 304 || status === 205 || status === 101;
  const ends: readonly BodyPlan['end'][] = [
    ...Array.from({ length: 3 }, () => 'with the last piece' as const),
    'empty frame',
    'trailers',
    'with the headers',
  ];
  const early = request.body.end !== 'with the headers' && random.next() < 0.06;
  const most = early && client === 'http2' ? AT_ONCE : Infinity;
  const planned = bodiless ? NO_BODY : body(random, ends, together, most);
  const streamed = planned.end === 'trailers' || random.next() < 0.75 ? 'chunked' : 'close';
  return {
    status,
    interim: random.next() < 0.08 && !request.upgrade ? random.pick([[103], [102], [103, 103]]) : [],
    when: early ? 'early' : 'late',
    body: planned,
    framing: bodiless || planned.length ? 'length' : streamed,
    together,
    short: planned.length && planned.size > 1 && random.next() < 0.04,
    closes: random.next() < 0.05,
    stray: status === 204 && request.target === 'http2' && random.next() < 0.3,
  };
}

export const talkOf = (exchange: number): number => Math.floor(exchange / TALK);

/** Envoy refuses HTTP/1.0 there before a filter sees it. */
export const refuses = ({ client, stage }: Pick<Conversation, 'client' | 'stage'>): boolean =>
  stage === 'plain' && client.startsWith('http1.0');

export function planTalk(seed: number, number: number): Conversation {
  const random = seeded(seed, 11, number);
  const client = random.pick<Client>(['http1', 'http1', 'http1', 'http1.0', 'http1.0 keep-alive', 'http2', 'http2']);
  const stage = random.pick<StageName>([...STAGES, 'one', 'one', 'one', 'one', 'edges', 'edges']);
  const pipelined = !client.startsWith('http1.0') && random.next() < 0.35;
  const exchanges = Array.from({ length: TALK }, (_, i): Exchange => {
    const request = (i === TALK - 1 ? planLast(random, client, stage) : undefined) ?? planRequest(random, client);
    const answer = planAnswer(random, client, request);
    return { number: number * TALK + i, request, answer, acts: planActs(random, { client, stage }, request, answer) };
  });
  return { number, client, stage, pipelined, exchanges };
}
