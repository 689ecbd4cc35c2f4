/**
 * Replies that the filters of a chain make, in Envoy's order: one that is made before any response passes the encode
 * hooks of all the others, from the last to the first. While a response is under way, a whole reply goes straight to the
 * client, and a streamed one takes the response's place from its member on. Its own encode hooks are behind a reply when it comes here (replies.ts).
 */
import { packHeaders } from '../header-lines.js';
import { CreditOf, Direction } from '../wire.js';
import type { ChainStream } from './chain.js';
import { flatLines, pairLines, valueOf } from './chain-block.js';
import { StreamedReplyEnd, WholeReplyEnd, type WholeReply } from './chain-ends.js';
import type { ChainMember } from './chain-member.js';
import { Pass } from './chain-pass.js';

const GRPC = 'application/grpc';

export class ChainReplies {
  /** A reply has been made; Envoy may not have heard of it yet. */
  made = false;
  private readonly chain: ChainStream;
  /** Told to Envoy, whole or its headers. */
  sent = false;
  /** Whose reply it is. */
  private replier: ChainMember | undefined;
  /** Those that replied: no other one's reply passes their hooks. */
  private readonly repliers = new Set<ChainMember>();
  private pass: Pass | undefined;
  /** A reply that begins when the author's code is off the stack. */
  private due: (() => void) | undefined;

  constructor(chain: ChainStream) {
    this.chain = chain;
  }

  whole(member: ChainMember, reply: WholeReply): void {
    if (!this.take(member)) return;
    const { chain } = this;
    // Where a response is under way, Envoy sends this one past all filters.
    const others = this.underWay ? [] : this.others();
    if (others.length === 0) {
      this.send(reply);
      return;
    }
    this.later(() => {
      const { status, grpcStatus, details } = reply;
      const { lines, ends } = replyLines(reply, chain);
      const sent = (now: [string, string][], body: Uint8Array): void => {
        this.send(
          chain.start.grpc
            ? { status, details, body, ...grpcParts(now, grpcStatus) }
            : { status: statusOf(now, status), grpcStatus, details, headers: plainLines(now), body },
        );
      };
      const kept = ends && !chain.start.grpc ? reply.body : undefined;
      const pass = new Pass(
        chain,
        Direction.Response,
        others,
        (one) => new WholeReplyEnd(one, kept, sent),
        packHeaders(lines),
        ends,
      );
      this.pass = pass;
      // A hook in it may reply itself, which ends this one.
      pass.start();
      if (!ends) pass.data(reply.body, true, false);
    });
  }

  streamed(member: ChainMember, headers: string[], end: boolean): void {
    if (!this.take(member)) return;
    const { chain } = this;
    // It replaces a response that is under way: those who have had that one are not asked again.
    const others = this.others().filter((one) => !this.underWay || one.index < member.index);
    if (others.length === 0) {
      this.sent = true;
      chain.sink.replyHeaders(headers, end);
      return;
    }
    this.later(() => {
      this.sent = true;
      const pass = new Pass(
        chain,
        Direction.Response,
        others,
        (one) => new StreamedReplyEnd(chain, one, end),
        packHeaders(pairLines(headers)),
        end,
      );
      this.pass = pass;
      pass.start();
    });
  }

  data(member: ChainMember, bytes: Uint8Array, end: boolean): void {
    if (member !== this.replier || this.chain.over) return;
    this.begin();
    if (this.pass === undefined) this.chain.sink.replyData(bytes, end);
    else this.pass.data(Uint8Array.prototype.slice.call(bytes), end, false);
  }

  trailers(member: ChainMember, headers: string[]): void {
    if (member !== this.replier || this.chain.over) return;
    this.begin();
    if (this.pass === undefined) {
      this.chain.sink.replyTrailers(headers);
      return;
    }
    this.pass.data(new Uint8Array(0), true, true);
    this.pass.trailersCame(packHeaders(pairLines(headers)));
  }

  /** What is before the reply: the first member that it passes, or Envoy. */
  backpressure(): Promise<void> | undefined {
    return this.pass === undefined ? this.chain.sink.backpressure(CreditOf.Reply) : this.pass.backpressure(undefined);
  }

  kill(): void {
    this.due = undefined;
    this.pass?.kill();
  }

  // ---- inside ----

  /** False: too late, Envoy has a reply. */
  private take(member: ChainMember): boolean {
    const { chain } = this;
    if (chain.over || this.sent) return false;
    chain.killRequest();
    this.kill();
    this.pass = undefined;
    this.made = true;
    this.replier = member;
    this.repliers.add(member);
    return true;
  }

  /** A response, or another member's reply, is on its way to the client. */
  private get underWay(): boolean {
    return this.chain.responseBegun || this.repliers.size > 1;
  }

  /** Whose encode hooks a reply passes before any response, from the last to the first. */
  private others(): ChainMember[] {
    return this.chain.backwards.filter((one) => !this.repliers.has(one) && one.partOf(Direction.Response));
  }

  private later(task: () => void): void {
    this.due = task;
    this.chain.timeReply();
    queueMicrotask(() => {
      this.begin();
    });
  }

  private begin(): void {
    const { due } = this;
    this.due = undefined;
    if (due === undefined || this.chain.over) return;
    this.chain.killResponse();
    due();
  }

  private send({ status, grpcStatus, details, headers, body }: WholeReply): void {
    this.sent = true;
    this.chain.killResponse();
    this.chain.sink.localReply(status, grpcStatus, details, headers, body);
  }
}

/** The reply's headers as Envoy would make them for the first encode hook, and whether they are all of it. */
function replyLines(
  { status, grpcStatus, headers, body }: WholeReply,
  chain: ChainStream,
): { lines: [string, string][]; ends: boolean } {
  const given = pairLines(headers);
  const some = body.length > 0;
  if (chain.start.grpc) {
    // Envoy answers a gRPC request by headers alone.
    const lines: [string, string][] = [[':status', '200'], ...without(given, 'content-length', 'content-type')];
    lines.push(['content-type', GRPC]);
    if (!given.some(([name]) => name === 'grpc-status'))
      lines.push(['grpc-status', String(grpcStatus >= 0 ? grpcStatus : grpcStatusOf(status))]);
    const message = some ? percentEncoded(body) : '';
    if (message !== '') lines.push(['grpc-message', message]);
    return { lines, ends: true };
  }
  const lines: [string, string][] = [[':status', String(status)]];
  if (some) {
    lines.push(['content-length', String(body.length)]);
    if (!given.some(([name]) => name === 'content-type')) lines.push(['content-type', 'text/plain']);
  }
  lines.push(...without(given, 'content-length'));
  if (grpcStatus >= 0) lines.push(['grpc-status', String(grpcStatus)]);
  return { lines, ends: !some || chain.method === 'HEAD' };
}

function without(lines: [string, string][], ...names: string[]): [string, string][] {
  return lines.filter(([name]) => !names.includes(name));
}

function statusOf(lines: [string, string][], otherwise: number): number {
  const status = Number(valueOf(lines, ':status'));
  return Number.isInteger(status) ? status : otherwise;
}

/** Envoy writes content-length itself. */
function plainLines(lines: [string, string][]): string[] {
  return flatLines(without(lines, ':status', 'content-length', 'grpc-status'));
}

/** Of a gRPC reply: Envoy makes status and content-type, and takes the message as it stands when there is no body. */
function grpcParts(lines: [string, string][], otherwise: number): { grpcStatus: number; headers: string[] } {
  const status = valueOf(lines, 'grpc-status');
  return {
    grpcStatus: status !== undefined && /^\d{1,2}$/.test(status) ? Number(status) : otherwise,
    headers: flatLines(without(lines, ':status', 'content-type', 'grpc-status')),
  };
}

/** As Envoy maps it. */
function grpcStatusOf(http: number): number {
  switch (http) {
    case 400:
      return 13;
    case 401:
      return 16;
    case 403:
      return 7;
    case 404:
      return 12;
    case 429:
    case 502:
    case 503:
    case 504:
      return 14;
    default:
      return 2;
  }
}

/** A body as grpc-message: what is not printable ASCII, and the percent sign, as %XX. */
function percentEncoded(body: Uint8Array): string {
  let text = '';
  for (const byte of body) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    text += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return text;
}
