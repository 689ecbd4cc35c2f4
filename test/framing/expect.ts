/** What both ends should get of an exchange: what they get without us, through the filters. */
import { patternBody } from '../fixture/bytes.js';
import { bytesOf } from '../torture/bodies.js';
import { TAGS } from './names.js';
import { KEEPS, LETS_GO, through, type Acts, type Message, type Reply, type Style } from './ours.js';
import type { Exchange } from './plan.js';
import type { Sight } from './run.js';
import { bodiless } from './strict.js';

/** Hooks of these get, or make, the whole body before the headers go. */
const WHOLE: readonly Style[] = ['whole-go', 'whole-look', 'generator-whole'];

export interface Expected {
  readonly status: number;
  /** The first is what a message becomes whose end does not come with its headers. */
  readonly bodies: readonly Buffer[];
  readonly trailers: boolean | 'maybe';
  /** Headers of the message's length are those that come without us. */
  readonly asBare: boolean;
  /** The exact length must go with the headers. */
  readonly length: boolean;
}

/** The reply that a filter makes of this exchange. */
export function replyOf({ acts, request }: Exchange): Reply | undefined {
  const reply = acts[0]!.reply;
  return reply?.at === 'decodeData' && request.body.size === 0 ? undefined : reply;
}

export const ofUpstream = ({ request }: Exchange): boolean => request.target === 'http1' || request.target === 'http2';

function chain(acts: readonly Acts[], direction: 'request' | 'response', from: Message, skipFirst = false): Message[] {
  const order = acts.map((one, i) => ({ style: one[direction], tag: TAGS[i]! }));
  if (direction === 'response') order.reverse();
  let messages = [from];
  for (const { style, tag } of order) {
    if (skipFirst && tag === TAGS[0]) continue;
    messages = messages.flatMap((message) => through(style, tag, message));
  }
  return messages;
}

export const styles = ({ acts }: Exchange, direction: 'request' | 'response'): Style[] =>
  acts.map((one) => one[direction]);
export const setLength = ({ acts }: Exchange, direction: 'request' | 'response'): string | undefined =>
  acts[0]![`${direction}Length`];

/** The length is known when the headers go: nobody changes it, or the last who does has all of the body by then. */
function knowsLength(exchange: Exchange, direction: 'request' | 'response'): boolean {
  const order = styles(exchange, direction);
  if (direction === 'response') order.reverse();
  const last = order.findLast((style) => !KEEPS.includes(style));
  // beside another filter a body is let go later, when the headers may have gone
  if (last === undefined) return order.length === 1 || !order.includes('bypass');
  return WHOLE.includes(last);
}

const headersOnlyOf = (body: Buffer, trailers: boolean, surely: boolean): Message['headersOnly'] =>
  surely ? 'yes' : body.length === 0 && !trailers ? 'maybe' : 'no';

export function expectedRequest({ exchange, conversation }: Sight): Expected {
  const { request, acts } = exchange;
  const body = bytesOf(request.body);
  const trailers = request.body.end === 'trailers';
  // over HTTP/2 an empty frame may follow, whatever the length says
  const none = request.body.length && body.length === 0 && conversation.client !== 'http2';
  const alone = request.body.end === 'with the headers' || none;
  const messages = chain(acts, 'request', { body, trailers, headersOnly: headersOnlyOf(body, trailers, alone) });
  const all = styles(exchange, 'request');
  const set = setLength(exchange, 'request');
  const untouched = all.every((style) => LETS_GO.includes(style)) || (alone && !all.includes('add-data'));
  const [right] = messages;
  // a list does not tell the module of a length that its first member has made up, when a later one has the body
  const past = all.slice(1).every((style) => LETS_GO.includes(style) && !style.startsWith('bypass'));
  const told = conversation.stage !== 'list' || request.body.length || past;
  const isRight = set !== undefined && set !== '' && set === String(right!.body.length);
  const kept = told && isRight && !all.includes('go-drop');
  return {
    status: 0,
    bodies: messages.map((message) => message.body),
    trailers,
    asBare: untouched && set === undefined,
    length:
      !alone && !trailers && (kept || (set === undefined && request.body.length && knowsLength(exchange, 'request'))),
  };
}

function expectedReply({ exchange }: Sight, reply: Reply): Expected {
  const { request, acts } = exchange;
  const body = patternBody(reply.offset, reply.size);
  const own = reply.kind === 'whole' && reply.at !== 'encodeHeaders';
  const none = bodiless(request.method, reply.status);
  const message: Message = { body, trailers: false, headersOnly: own && (none || body.length === 0) ? 'yes' : 'no' };
  const messages = own ? through(acts[0]!.response, TAGS[0], message) : [message];
  return {
    status: reply.status,
    bodies: none ? [Buffer.alloc(0)] : messages.map((one) => one.body),
    trailers: false,
    asBare: false,
    length: reply.kind === 'whole' && !none && request.method !== 'CONNECT' && messages[0]!.body.length > 0,
  };
}

/** Over HTTP/1.0 what Envoy breaks off at an early answer looks like any other body without a length. */
const mayBeCut = ({ exchange, bare, conversation }: Sight): boolean =>
  conversation.client.startsWith('http1.0') &&
  exchange.answer.when === 'early' &&
  !bare.seen.lines.some(([name]) => name === 'content-length');

/** The response that comes without us, through the filters. undefined: there is none to begin with. */
function expectedResponse(sight: Sight): Expected | undefined {
  const { exchange, bare } = sight;
  const reply = replyOf(exchange);
  if (reply !== undefined) return expectedReply(sight, reply);
  if (bare.seen.end !== 'clean' || mayBeCut(sight)) return undefined;
  return expectedThrough(sight, exchange.acts);
}

/** Envoy answers by itself when it has the headers: before or after a filter that waits for the body replies. */
const mayWin = ({ exchange }: Sight): boolean => replyOf(exchange)?.at === 'decodeData' && !ofUpstream(exchange);

/** On Envoy 1.38 a response that Envoy makes itself may pass the encode hooks by (docs/lifecycle.md). */
export function mayPassBy(sight: Sight): boolean {
  const { exchange, version } = sight;
  const reply = replyOf(exchange);
  const its = reply === undefined || reply.at === 'encodeHeaders' || mayWin(sight);
  return version === '1.38' && !ofUpstream(exchange) && its;
}

/** All that the response may be. One that passes hooks by passes those of each filter for itself. */
export function expectedResponses(sight: Sight): Expected[] {
  const { exchange } = sight;
  const right = expectedResponse(sight);
  if (right === undefined) return [];
  const possible = [right];
  if (mayWin(sight)) possible.push({ ...expectedThrough(sight, exchange.acts), asBare: false, length: false });
  if (!mayPassBy(sight)) return possible;
  const passed = ({ request }: Acts): Acts => ({ request, response: 'none' });
  const subsets = exchange.acts.reduce<Acts[][]>(
    (all, one) =>
      all.flatMap((before) => [
        [...before, one],
        [...before, passed(one)],
      ]),
    [[]],
  );
  return [
    ...possible,
    ...subsets.slice(1).map((acts) => ({ ...expectedThrough(sight, acts), asBare: false, length: false })),
  ];
}

function expectedThrough({ exchange, bare }: Sight, acts: readonly Acts[]): Expected {
  const { method } = exchange.request;
  const { body, status } = bare.seen;
  const planned = ofUpstream(exchange) && status === exchange.answer.status;
  const none = bodiless(method, status);
  // the client may know no trailers, and the filter still meets them
  const trailers = planned && exchange.answer.body.end === 'trailers' && !none;
  const empty = bare.seen.lines.some(([name, value]) => name === 'content-length' && value === '0');
  const alone = none || (empty && exchange.request.target !== 'http2');
  const messages = chain(acts, 'response', { body, trailers, headersOnly: headersOnlyOf(body, trailers, alone) });
  const set = acts[0]!.status;
  const final = set ?? status;
  const hidden = bodiless(method, final);
  const all = acts.map((one) => one.response);
  const length = acts[0]!.responseLength;
  const untouched = all.every((style) => LETS_GO.includes(style)) || (alone && !all.includes('add-data'));
  const kept = length !== undefined && length === String(messages[0]!.body.length) && planned;
  const hadLength = bare.seen.lines.some(([name]) => name === 'content-length');
  return {
    status: final,
    bodies: hidden ? [Buffer.alloc(0)] : messages.map((message) => message.body),
    // over HTTP/2 an answer without a body may have trailers
    trailers: trailers && (hidden ? 'maybe' : true),
    asBare: untouched && set === undefined && length === undefined,
    length:
      !hidden &&
      !alone &&
      !trailers &&
      (kept || (length === undefined && hadLength && knowsLength(exchange, 'response'))),
  };
}
