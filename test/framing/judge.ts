/** From what both ends saw, with us and without, to what was wrong. */
import type { Line } from '../fixture/http1.js';
import { type ResetLog } from '../torture/judge.js';
import { TRAILER, type Arrival } from './board.js';
import {
  expectedRequest,
  expectedResponses,
  mayPassBy,
  ofUpstream,
  replyOf,
  setLength,
  styles,
  type Expected,
} from './expect.js';
import { KEEPS } from './ours.js';
import { FILTERS } from './names.js';
import { refuses, type Exchange } from './plan.js';
import type { Sight } from './run.js';
import { bodiless, one } from './strict.js';

export type Kind =
  | 'hung'
  | 'client: broken framing'
  | 'client: cut'
  | 'client: status'
  | 'client: body'
  | 'client: length'
  | 'client: trailers'
  | 'client: coding'
  | 'client: not as without us'
  | 'client: connection lost'
  | 'upstream: broken framing'
  | 'upstream: count'
  | 'upstream: cut'
  | 'upstream: body'
  | 'upstream: length'
  | 'upstream: trailers'
  | 'coded without a cause';

export interface Fault {
  readonly kind: Kind;
  readonly text: string;
}

export interface Verdict {
  readonly sight: Sight;
  readonly faults: readonly Fault[];
  /** One of our codes ended it. */
  readonly code: string | undefined;
}

const CODE = /\b(?:ts_filter_\w+|TSF_\w+)/;

function describeDifference(got: Buffer, right: Buffer): string {
  let same = 0;
  while (same < got.length && same < right.length && got[same] === right[same]) same++;
  return `${got.length} bytes instead of ${right.length}, right up to ${same}`;
}

/** What says how long the message is, in one text. */
const framing = (lines: readonly Line[]): string =>
  ['content-length', 'transfer-encoding']
    .flatMap((name) => lines.filter(([key]) => key === name).map((line) => line.join(': ')))
    .join(', ') || 'neither';

/** The answer may come before the request's end: the upstream's, or one that Envoy makes by itself. */
const mayOvertake = (exchange: Exchange): boolean => exchange.answer.when === 'early' || !ofUpstream(exchange);

/** A length that a filter has set and that is not the body's, or a header that no filter may set. */
function mayBeCoded(sight: Sight, response: Expected | undefined): boolean {
  const { exchange } = sight;
  const reply = replyOf(exchange);
  // the response may have begun
  if (reply?.at === 'decodeData' && mayOvertake(exchange)) return true;
  if (reply !== undefined)
    return reply.headers.some(
      ([name, value]) =>
        name === 'transfer-encoding' ||
        name === 'connection' ||
        (name === 'content-length' && value !== String(reply.size)),
    );
  const wrong = (direction: 'request' | 'response', bodies: readonly Buffer[]) => {
    const set = setLength(exchange, direction);
    if (set === undefined || set === '') return false;
    // nobody can tell whether it is right for what goes past the filter
    const past = styles(exchange, direction)[0]!.startsWith('bypass');
    return past || bodies.some((body) => String(body.length) !== set);
  };
  // of a response that is broken without us nobody knows how long it would have been
  if (response === undefined && setLength(exchange, 'response') !== undefined) return true;
  return wrong('request', expectedRequest(sight).bodies) || wrong('response', response?.bodies ?? []);
}

/**
 * Envoy, or a filter's reply, may answer before the upload's end and close, and the rest of the upload then meets a closed
 * connection: the reset may take the answer with it.
 */
const mayLose = (exchange: Exchange): boolean =>
  exchange.request.body.steps.length > 0 &&
  (replyOf(exchange)?.at.startsWith('decode') === true || mayOvertake(exchange));

class Judge {
  readonly faults: Fault[] = [];
  readonly code: string | undefined;
  private readonly response: Expected | undefined;
  private readonly mayBeCoded: boolean;

  constructor(
    private readonly sight: Sight,
    resets: ResetLog,
  ) {
    const { ours, began, ended } = sight;
    const possible = expectedResponses(sight);
    const fits = ({ status, bodies }: Expected) =>
      status === ours.seen.status && bodies.some((body) => body.equals(ours.seen.body));
    this.response = possible.find(fits) ?? possible[0];
    this.mayBeCoded = mayBeCoded(sight, this.response);
    let code = CODE.exec(ours.log?.details ?? '')?.[0] ?? CODE.exec(ours.seen.body.toString('latin1', 0, 200))?.[0];
    const broken = ours.seen.end === 'broken' || ours.arrivals.some(({ end }) => end === 'broken');
    const mine = FILTERS[sight.conversation.stage];
    if (broken || this.endsWithConnection) code ??= ours.code;
    // each line of Envoy's log is one stream's: it is only for those that may have one
    if (code === undefined && broken && this.mayBeCoded)
      code = resets.take((filter) => mine.includes(filter), began, ended);
    this.code = code;
  }

  private tell(kind: Kind, text: string): void {
    this.faults.push({ kind, text });
  }

  /** Another exchange has spoilt the upstream connection that this one was given; that one is told of. */
  private get victim(): boolean {
    const { strays, ours } = this.sight;
    return strays && ours.arrivals.length === 0 && /connection_termination/.test(ours.log?.details ?? '');
  }

  /** The request does not come to our filter, or is a tunnel. */
  private get neverOurs(): boolean {
    const { exchange, conversation } = this.sight;
    const tunnel =
      exchange.answer.status === 101 || (exchange.request.method === 'CONNECT' && replyOf(exchange) === undefined);
    return tunnel || exchange.request.malformed !== undefined || refuses(conversation);
  }

  judge(): Verdict {
    const { sight, code } = this;
    const { seen } = sight.ours;
    if (this.victim) return { sight, faults: [], code };
    if (seen.end === 'hung') this.tell('hung', seen.why);
    const closes = (fault: string) => this.mayClose && fault.includes('the connection ended');
    for (const fault of seen.faults)
      if (!closes(fault) && !sight.bare.seen.faults.includes(fault)) this.tell('client: broken framing', fault);
    if (code !== undefined && !this.mayBeCoded) this.tell('coded without a cause', code);
    if (code === undefined && seen.end !== 'hung') {
      if (this.neverOurs) this.asWithoutUs(true);
      else this.client();
    }
    this.upstream();
    return { sight, faults: this.faults, code };
  }

  /**
   * Behind DATA that may not be there, or an answer to half a request, Envoy closes the connection by itself. The next
   * exchange may have lost its own answer so.
   */
  private get mayClose(): boolean {
    const { exchange, conversation } = this.sight;
    const next = conversation.exchanges[conversation.exchanges.indexOf(exchange) + 1];
    return exchange.answer.stray || mayLose(exchange) || (next !== undefined && mayLose(next));
  }

  private client(): void {
    const { response, sight } = this;
    const { seen } = sight.ours;
    // the upstream breaks off before or after the filter has replied to what came
    const { short, stray } = sight.exchange.answer;
    if (replyOf(sight.exchange)?.at === 'encodeHeaders' && (short || stray) && seen.status >= 500) return;
    if (response === undefined) {
      // an answer that comes before the request's end may be lost with the connection, here and there
      if (sight.exchange.answer.when === 'early' || this.resetByEnvoy) return;
      // without us it is cut, too: then it may be anything but a whole answer, where the client can see that
      if (seen.end === 'clean' && seen.status < 500 && !this.endsWithConnection)
        this.tell('client: cut', `status ${seen.status} with a clean end, and the upstream's was none`);
      return;
    }
    if (this.lostWithConnection) return;
    if (seen.end === 'broken') return this.tell('client: cut', seen.why);
    if (seen.status !== response.status) this.tell('client: status', `${seen.status} instead of ${response.status}`);
    else if (!response.bodies.some((body) => body.equals(seen.body) || this.lostInPart(body)))
      this.tell('client: body', describeDifference(seen.body, response.bodies[0]!));
    this.clientLength(response);
    this.clientTrailers(response);
    if (response.asBare) this.asWithoutUs(false);
    this.connection();
  }

  /** A large answer to an HTTP/2 client that is complete before its request: Envoy drops what it has not sent. */
  private get resetByEnvoy(): boolean {
    const { exchange, bare, conversation } = this.sight;
    const whole = !exchange.answer.short && !exchange.answer.stray;
    const late = exchange.request.body.end !== 'with the headers';
    return conversation.client === 'http2' && bare.seen.end === 'broken' && whole && late;
  }

  private get lostWithConnection(): boolean {
    const { exchange, ours } = this.sight;
    return mayLose(exchange) && ours.seen.status === 0 && ours.log?.code === this.response?.status;
  }
  /** Over HTTP/1.0 a body without length, of which the client cannot see that it was broken off. */
  private get endsWithConnection(): boolean {
    const { conversation, ours } = this.sight;
    return conversation.client.startsWith('http1.0') && one(ours.seen.lines, 'content-length') === undefined;
  }
  private lostInPart(body: Buffer): boolean {
    const { seen } = this.sight.ours;
    const isPart = body.subarray(0, seen.body.length).equals(seen.body);
    return isPart && this.endsWithConnection && mayLose(this.sight.exchange);
  }

  private clientLength(response: Expected): void {
    const { exchange, ours } = this.sight;
    const { lines, status } = ours.seen;
    const length = one(lines, 'content-length');
    const reply = replyOf(exchange);
    if (response.length && length === undefined)
      this.tell('client: length', `none; ${response.bodies[0]!.length} is right`);
    if (reply?.kind === 'fetch' && one(lines, 'content-encoding') !== undefined)
      this.tell('client: coding', `content-encoding ${one(lines, 'content-encoding')} of a body that is not packed`);
    if (exchange.request.method !== 'HEAD' || length === undefined || bodiless('GET', status)) return;
    if (mayPassBy(this.sight)) return;
    // of HEAD: what GET would have
    if (reply === undefined || status !== reply.status || reply.size === 0 || length === String(reply.size)) return;
    if (reply.kind === 'whole' && styles(exchange, 'response')[0] !== 'none') return;
    // a body that streams is not asked for when nobody gets it: the length is the filter's own word
    if (reply.kind === 'streamed') return;
    this.tell('client: length', `${length} to HEAD, and the body would be ${reply.size} bytes`);
  }

  private clientTrailers(response: Expected): void {
    const { exchange, ours, conversation } = this.sight;
    const got = one(ours.seen.trailers, TRAILER);
    if (response.trailers === 'maybe') return;
    const right = response.trailers ? String(exchange.number) : undefined;
    const possible = conversation.client === 'http2' || one(ours.seen.lines, 'transfer-encoding') !== undefined;
    if (got !== right && (got !== undefined || possible))
      this.tell('client: trailers', `${String(got)} instead of ${String(right)}`);
  }

  /** The filter changes nothing of the response: it is to be what it is without us. */
  private asWithoutUs(bodyToo: boolean): void {
    const { ours, bare } = this.sight;
    const differs = (what: string, got: unknown, right: unknown) => {
      if (got !== right) this.tell('client: not as without us', `${what}: ${String(got)} instead of ${String(right)}`);
    };
    differs('status', ours.seen.status, bare.seen.status);
    const known = this.lets('response') && one(bare.seen.lines, 'content-length') === undefined;
    if (!known || one(ours.seen.lines, 'content-length') === undefined)
      differs('framing', framing(ours.seen.lines), framing(bare.seen.lines));
    differs('interim', ours.seen.interim.join(), bare.seen.interim.join());
    // on one side Envoy may answer before the request is complete, and closes for that
    if ((bodyToo || bare.seen.stays) && this.sight.exchange.answer.when !== 'early')
      differs('connection', one(ours.seen.lines, 'connection'), one(bare.seen.lines, 'connection'));
    for (const name of ['content-type', 'content-range', 'etag', 'location'])
      differs(name, one(ours.seen.lines, name), one(bare.seen.lines, name));
    if (!bodyToo) return;
    differs('end', ours.seen.end, bare.seen.end);
    differs('body', ours.seen.body.toString('latin1', 0, 60), bare.seen.body.toString('latin1', 0, 60));
    differs('connection stays', ours.seen.stays, bare.seen.stays);
  }

  /** A body that was let go of: the exact length may go with it where none came, when its end was there by then. */
  private lets(direction: 'request' | 'response'): boolean {
    return styles(this.sight.exchange, direction).includes('bypass');
  }

  /** A connection ends only for a reason. */
  private connection(): void {
    const { exchange, ours, bare, conversation } = this.sight;
    if (ours.seen.stays || !bare.seen.stays || this.mayBeCoded || this.mayClose) return;
    const reply = replyOf(exchange);
    const unread = reply !== undefined && exchange.request.body.end !== 'with the headers';
    if (unread || reply?.headers.some(([name]) => name === 'connection') === true) return;
    const all = styles(exchange, 'response');
    // over HTTP/1.0 the end of the connection ends a body whose length is not known
    const streams =
      reply === undefined ? all.some((style) => !KEEPS.includes(style)) : reply.kind !== 'whole' || all[0] !== 'none';
    // nor does an empty local reply of Envoy's say over HTTP/1.0 that the connection stays
    const empty = bodiless('GET', ours.seen.status) || (reply?.kind === 'whole' && reply.size === 0);
    if (conversation.client.startsWith('http1.0') && (empty || streams || setLength(exchange, 'response') === ''))
      return;
    this.tell('client: connection lost', 'it stays without us');
  }

  private upstream(): void {
    const { exchange, ours, bare } = this.sight;
    for (const fault of ours.arrivals.flatMap(({ faults }) => faults))
      if (!bare.arrivals.some(({ faults }) => faults.includes(fault))) this.tell('upstream: broken framing', fault);
    if (!ofUpstream(exchange) || exchange.request.method === 'CONNECT' || this.neverOurs) return;
    const reply = replyOf(exchange);
    if (reply?.at === 'decodeHeaders' && ours.arrivals.length > 0)
      this.tell('upstream: count', `arrived ${ours.arrivals.length} times, and the filter has replied`);
    if (reply?.at.startsWith('decode') === true || this.code !== undefined || ours.seen.end === 'hung') return;
    if (exchange.answer.when === 'early' || bare.arrivals.length !== 1 || bare.arrivals[0]!.end !== 'clean') return;
    const [arrival] = ours.arrivals;
    if (arrival === undefined || ours.arrivals.length > 1)
      return this.tell('upstream: count', `arrived ${ours.arrivals.length} times`);
    this.arrived(arrival, bare.arrivals[0]!, expectedRequest(this.sight));
  }

  private arrived(arrival: Arrival, bare: Arrival, right: Expected): void {
    const { exchange } = this.sight;
    if (arrival.end !== 'clean') return this.tell('upstream: cut', `the request's end is ${arrival.end}`);
    if (!right.bodies.some((body) => body.equals(arrival.body)))
      this.tell('upstream: body', describeDifference(arrival.body, right.bodies[0]!));
    const length = one(arrival.lines, 'content-length');
    if (length !== undefined && Number(length) !== arrival.body.length)
      this.tell('upstream: broken framing', `content-length ${length} and ${arrival.body.length} bytes`);
    if (right.length && length === undefined)
      this.tell('upstream: length', `none; ${right.bodies[0]!.length} is right`);
    const known = this.lets('request') && length !== undefined && one(bare.lines, 'content-length') === undefined;
    if (right.asBare && !known && framing(arrival.lines) !== framing(bare.lines))
      this.tell('upstream: length', `${framing(arrival.lines)} instead of ${framing(bare.lines)}`);
    const got = one(arrival.trailers, TRAILER);
    const sent = right.trailers ? String(exchange.number) : undefined;
    if (got !== sent && length === undefined)
      this.tell('upstream: trailers', `${String(got)} instead of ${String(sent)}`);
  }
}

export const judge = (sight: Sight, resets: ResetLog): Verdict => new Judge(sight, resets).judge();
