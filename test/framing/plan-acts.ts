/** What the filters of an exchange do, at random. */
import type { Random } from '../fixture/bytes.js';
import { bytesOf } from '../torture/bodies.js';
import { sentMessage } from '../torture/chain.js';
import { LOOKING, STYLES, through, type Acts, type Reply, type Style } from './ours.js';
import { AT_ONCE, refuses, type AnswerPlan, type Conversation, type RequestPlan } from './plan.js';

/** Those without a transform: filters that declare phases have data hooks here. */
const HOOKS: readonly Style[] = [
  'none',
  'headers',
  'headers-async',
  'go-look',
  'go-map',
  'go-same',
  'go-end',
  'go-drop',
  'go-watermark',
  'whole-go',
  'whole-look',
  'whole-data',
  'trailers',
  'add-data',
  'add-in-trailers',
];
const BEFORE_REPLY: readonly Style[] = ['none', 'headers', 'headers-async', 'whole-look'];
const NOTHING: Acts = { request: 'none', response: 'none' };

/** A content-length for the headers hook to set: right as often as not. */
function lengthFor(
  random: Random,
  style: Style,
  tag: string,
  sent: ReturnType<typeof sentMessage>,
): string | undefined {
  if (random.next() < 0.8) return undefined;
  const right = through(style, tag, sent)[0]!.body.length;
  return random.pick([
    '',
    ...Array.from({ length: 4 }, () => String(right)),
    `${right + 1}`,
    `${Math.max(0, right - 1)}`,
    '0',
  ]);
}

function headersOf(random: Random, size: number): [string, string][] {
  const lines: [string, string][] = [['x-replied', 'yes']];
  if (random.next() < 0.3) lines.push(['content-type', 'application/octet-stream']);
  const length = random.pick([
    undefined,
    undefined,
    undefined,
    undefined,
    size,
    size,
    size + 1,
    Math.max(0, size - 1),
    0,
  ]);
  if (length !== undefined) lines.push(['content-length', String(length)]);
  if (random.next() < 0.1) lines.push(['transfer-encoding', 'chunked']);
  if (random.next() < 0.05) lines.push(['connection', random.pick(['keep-alive', 'close'])]);
  return lines;
}

function planReply(random: Random, bodily: boolean, most: number): Reply {
  const kind = random.pick(['whole', 'whole', 'streamed', 'streamed', 'fetch'] as const);
  const at = random.pick([
    'decodeHeaders',
    'decodeHeaders',
    bodily ? 'decodeData' : 'decodeHeaders',
    'encodeHeaders',
  ] as const);
  const size = Math.min(
    most,
    random.pick([0, 0, 1, random.int(2, 100), random.int(2, 100), random.int(1_000, 100_000)]),
  );
  const status = random.pick([200, 200, 200, 201, 204, 205, 304, 403, 404, 500]);
  const offset = random.int(0, 65_520);
  const pieces = random.int(1, 4);
  const common = {
    at,
    kind,
    status,
    offset,
    pieces,
    pieceMs: random.pick([0, 0, 1, 3]),
    ms: random.pick([-1, -1, 0, 2]),
  };
  // a server that answers 204 with a body would be fetch()'s fault
  const empty = kind === 'fetch' && (status === 204 || status === 304 || status === 205);
  return {
    ...common,
    size: empty ? 0 : size,
    headers: kind === 'fetch' ? [] : headersOf(random, size),
    gzip: !empty && random.next() < 0.5,
    length: random.next() < 0.7,
  };
}

/** What is known of the exchange. */
interface Asked {
  readonly request: RequestPlan;
  readonly answer: AnswerPlan;
  /** Bytes of a reply. */
  readonly most: number;
}

function planOne(random: Random, tag: string, styles: readonly Style[], { request, answer, most }: Asked): Acts {
  const acts = { request: random.pick(styles), response: random.pick(styles) };
  const bodily = request.body.size > 0;
  if (random.next() < 0.2) {
    const reply = planReply(random, bodily, most);
    // the data hook is taken: a filter cannot have a transform beside it
    return { ...acts, ...(reply.at === 'decodeData' ? { request: random.pick(BEFORE_REPLY) } : {}), reply };
  }
  const sent = sentMessage(bytesOf(request.body), request.body.end);
  const answered = sentMessage(bytesOf(answer.body), answer.body.end);
  const requestLength = lengthFor(random, acts.request, tag, sent);
  const responseLength = lengthFor(random, acts.response, tag, answered);
  const status = random.next() < 0.08 ? random.pick([200, 204, 304, 404, 500]) : undefined;
  return {
    ...acts,
    ...(requestLength === undefined ? {} : { requestLength }),
    ...(responseLength === undefined ? {} : { responseLength }),
    ...(status === undefined ? {} : { status }),
  };
}

/** The second of two looks at bodies only, so that what a receiver should get stays one composition. */
function planSecond(random: Random, first: Acts): Acts {
  if (first.reply !== undefined) return NOTHING;
  const styles: readonly Style[] = ['none', 'headers', 'go-look', 'per-chunk', 'generator', 'whole-go', 'bypass'];
  return { request: random.pick(styles), response: random.pick(styles) };
}

/** Of a filter without encode hooks. */
function onlyRequest({ request, requestLength, reply }: Acts): Acts {
  return {
    request,
    response: 'none',
    ...(requestLength === undefined ? {} : { requestLength }),
    ...(reply === undefined || reply.at === 'encodeHeaders' ? {} : { reply }),
  };
}

/** Envoy's own answers to these are to reach the client as they are, and a tunnel has no body. */
function planLooking(random: Random, styles: readonly Style[], tunnel: boolean, most: number): Acts {
  const looking = styles.filter((style) => (LOOKING as readonly Style[]).includes(style));
  const acts = { request: random.pick(looking), response: random.pick(looking) };
  if (!tunnel || random.next() < 0.5) return acts;
  const reply = { ...planReply(random, false, most), at: 'decodeHeaders' as const };
  return { ...acts, reply: { ...reply, status: random.pick([403, 404, 500]) } };
}

export function planActs(
  random: Random,
  talk: Pick<Conversation, 'client' | 'stage'>,
  request: RequestPlan,
  answer: AnswerPlan,
): Acts[] {
  const { stage, client } = talk;
  const ended = request.body.end === 'with the headers' && request.method !== 'CONNECT';
  const most = client === 'http2' && !ended ? AT_ONCE : Infinity;
  const asked = { request, answer, most };
  // its request headers never reach the filter, so it does what it always does: it looks
  if (stage === 'response') return [{ request: 'none', response: 'go-look' }];
  const tunnel = request.method === 'CONNECT';
  if (request.upgrade) {
    // the request is no message with an end; what refuses it is one, for all response hooks
    const responses = answer.status === 101 ? LOOKING : STYLES;
    const one = { request: random.pick(LOOKING), response: random.pick(responses) };
    const hooks = stage === 'request' || stage === 'both' ? NOTHING : one;
    return stage === 'list' || stage === 'two' ? [hooks, NOTHING] : [hooks];
  }
  if (tunnel || request.malformed !== undefined || refuses(talk)) {
    const one = planLooking(random, stage === 'request' || stage === 'both' ? HOOKS : STYLES, tunnel, most);
    return stage === 'list' || stage === 'two' ? [one, NOTHING] : [one];
  }
  switch (stage) {
    case 'request':
      return [onlyRequest(planOne(random, 'A', HOOKS, asked))];
    case 'both':
      return [planOne(random, 'A', HOOKS, asked)];
    case 'list':
    case 'two': {
      const first = planOne(random, 'A', STYLES, asked);
      return [first, planSecond(random, first)];
    }
    default:
      return [planOne(random, 'A', STYLES, asked)];
  }
}
