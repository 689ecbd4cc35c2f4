/** One message sent, and what was seen of it at both receivers. */
import type { ClientHttp2Session } from 'node:http2';
import { http1, type Line, type Request, type Response } from '../fixture/http1.js';
import { http2, openSession } from '../fixture/http2.js';
import { sleep } from '../../src/testing/envoy/wait.js';
import { bytesOf, piecesOf } from './bodies.js';
import { expected, sentMessage, type Chain } from './chain.js';
import type { Message } from './ours.js';
import type { MessagePlan } from './plan.js';
import { TRAILER, type Arrival, type Board, type Receivers } from './receiver.js';

/** Far longer than any honest message takes. */
const HUNG_MS = 15_000;
/** Both bodies are shown when they are not longer together. */
const SHOWN_BYTES = 100;

/** What a receiver got, against what it should have got. `whole`: with a clean end. */
export interface Seen {
  readonly end: 'whole' | 'broken' | 'none' | 'hung';
  /** Empty: what it got is right. */
  readonly wrong: string;
}

export interface Sight {
  readonly key: string;
  readonly plan: MessagePlan;
  readonly chain: Chain;
  readonly request: Seen;
  readonly response: Seen;
  /** What the client was told: the status and, for a reply of a proxy, its text. */
  readonly status: number;
  readonly text: string;
  readonly began: number;
  readonly ended: number;
}

function difference(body: Buffer, candidates: readonly Message[], sent: Buffer): string {
  if (candidates.some((one) => one.body.equals(body))) return '';
  const right = candidates[0]!.body;
  let same = 0;
  while (same < body.length && same < right.length && body[same] === right[same]) same++;
  const how = [`${body.length} bytes instead of ${right.length}, right up to ${same}`];
  if (same === body.length) how.push('the rest is missing');
  if (body.length > 0 && body.equals(sent.subarray(0, body.length))) how.push('untouched by our filters');
  if (body.length + right.length <= SHOWN_BYTES)
    how.push(`${body.toString('hex')} instead of ${right.toString('hex')}`);
  return how.join(', ');
}

function wrongTrailer(got: string | undefined, possible: boolean, plan: MessagePlan, end: string): string {
  const right = end === 'trailers' ? String(plan.index) : undefined;
  if (got === right || (got === undefined && !possible)) return '';
  return `trailer ${String(got)} instead of ${String(right)}`;
}

function seenRequest(plan: MessagePlan, chain: Chain, arrivals: readonly Arrival[]): Seen {
  const [arrival, second] = arrivals;
  if (second !== undefined) return { end: 'whole', wrong: `arrived ${arrivals.length} times` };
  if (arrival === undefined) return { end: 'none', wrong: 'never arrived' };
  // node lets go of a request when its answer is complete
  if (arrival.end === 'open' && plan.answer === 'rash') return { end: 'broken', wrong: 'answered before its end' };
  if (arrival.end === 'open') return { end: 'hung', wrong: 'no end came' };
  if (arrival.end === 'broken') return { end: 'broken', wrong: 'was reset' };
  const sent = bytesOf(plan.request);
  const candidates = expected(chain, 'request', sentMessage(sent, plan.request.end));
  const wrong =
    difference(arrival.body, candidates, sent) ||
    wrongTrailer(arrival.trailer, arrival.trailersPossible, plan, plan.request.end);
  return { end: 'whole', wrong };
}

function seenResponse(plan: MessagePlan, chain: Chain, answer: Response | Error): Seen {
  if (answer instanceof Error)
    return answer.message.startsWith('hung')
      ? { end: 'hung', wrong: 'no end came' }
      : { end: 'broken', wrong: answer.message };
  if (!answer.complete) return { end: 'broken', wrong: answer.broken };
  if (answer.status !== 200) return { end: 'whole', wrong: `status ${answer.status}` };
  const sent = bytesOf(plan.response);
  const candidates = expected(chain, 'response', sentMessage(sent, plan.response.end));
  const possible = plan.client === 'http2' || answer.header('content-length') === undefined;
  const wrong =
    difference(answer.body, candidates, sent) ||
    wrongTrailer(answer.trailer(TRAILER), possible, plan, plan.response.end);
  return { end: 'whole', wrong };
}

/** Sends the messages of one Envoy. */
export class Sender {
  private readonly sessions = new Map<number, Promise<ClientHttp2Session>>();

  constructor(
    private readonly board: Board,
    private readonly receivers: Receivers,
    private readonly authorization: string,
  ) {}

  close(): void {
    for (const opening of this.sessions.values())
      opening.then(
        (session) => session.destroy(),
        () => undefined,
      );
    this.sessions.clear();
  }

  async send(key: string, plan: MessagePlan, chain: Chain, port: number): Promise<Sight> {
    this.board.plans.set(key, plan);
    const began = Date.now();
    const answer = await this.exchange(key, plan, port).catch((error: Error) => error);
    const arrivals = this.board.arrivals.get(key) ?? [];
    // a stream that the client has lost ends at the upstream, too
    const patience = plan.answer === 'rash' ? 500 : Math.max(1_000, HUNG_MS - (Date.now() - began));
    await Promise.race([
      Promise.all(arrivals.map((arrival) => arrival.ended)),
      sleep(patience, undefined, { ref: false }),
    ]);
    this.board.plans.delete(key);
    this.board.arrivals.delete(key);
    const replied = !(answer instanceof Error) && answer.status !== 200;
    return {
      key,
      plan,
      chain,
      request: seenRequest(plan, chain, arrivals),
      response: seenResponse(plan, chain, answer),
      status: answer instanceof Error ? 0 : answer.status,
      text: replied ? answer.text.slice(0, 200) : '',
      began,
      ended: Date.now(),
    };
  }

  private async exchange(key: string, plan: MessagePlan, port: number): Promise<Response> {
    const { request, client, shared, upstream } = plan;
    const headers: Line[] = [
      // a name that nobody has asked for yet: a forward proxy has to resolve it
      ['host', `m${key.replace('.', '-')}.localhost:${this.receivers[upstream]}`],
      ['x-upstream', upstream],
      ['x-envoy-fault-delay-request', String(plan.faultMs)],
      ['authorization', this.authorization],
    ];
    const what: Request = {
      method: 'POST',
      path: `/m/${key}`,
      headers,
      keep: 64 << 20,
      timeoutMs: HUNG_MS,
      ...(request.end === 'with the headers' ? {} : { body: piecesOf(request) }),
      ...(request.length ? { length: request.size } : {}),
      ...(request.end === 'trailers' ? { trailers: [[TRAILER, String(plan.index)]] } : {}),
    };
    if (client === 'http1') return http1(port, what);
    return http2(port, what, shared ? await this.session(port) : undefined);
  }

  /** The chain's shared connection; a new one when Envoy has closed it. */
  private async session(port: number): Promise<ClientHttp2Session> {
    const known = await this.sessions.get(port);
    if (known !== undefined && !known.closed && !known.destroyed) return known;
    const opening = openSession(port);
    this.sessions.set(port, opening);
    return opening;
  }
}
