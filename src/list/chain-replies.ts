/**
 * Replies that the filters of a chain make, in Envoy's order: one that is made before any response passes the encode
 * hooks of all the others, from the last to the first. While a response is under way, a whole reply goes straight to the
 * client, and a streamed one takes the response's place from its member on. Its own encode hooks are behind a reply when it comes here (replies.ts).
 */
import { packHeaders } from '../base/header-block.js';
import { CreditOf, Direction, HeaderType } from '../base/wire.js';
import type { ChainStream } from './chain.js';
import { StreamedReplyEnd, WholeReplyEnd } from './chain-ends.js';
import type { ChainMember } from './chain-member.js';
import { Pass } from './chain-pass.js';
import { sendWhole, ShownReply, type WholeReply } from '../stream/whole-reply.js';

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
    if (!this.take(member)) {
      // It has taken itself out of a streamed reply that is on its way, and nothing can take that one's place.
      if (this.pass?.needs(member) === true)
        this.chain.fail(HeaderType.Response, 'a streamed reply cannot be replaced');
      return;
    }
    const { chain } = this;
    // Where a response is under way, Envoy sends this one past all filters.
    const others = this.underWay ? [] : this.others();
    if (others.length === 0) {
      this.send(reply);
      return;
    }
    this.later(() => {
      const shown = new ShownReply(reply, { grpc: chain.start.grpc, head: chain.head });
      const pass = new Pass(
        chain,
        Direction.Response,
        others,
        (one) =>
          new WholeReplyEnd(one, (lines, parts) => {
            this.send(shown.changed(lines, parts));
          }),
        shown.headers,
        shown.body === undefined,
      );
      this.pass = pass;
      // A hook in it may reply itself, which ends this one.
      pass.start();
      if (shown.body !== undefined) pass.data(shown.body, true, false);
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
        packHeaders(headers),
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
    this.pass.trailersCame(packHeaders(headers));
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

  private send(reply: WholeReply): void {
    this.sent = true;
    this.chain.killResponse();
    sendWhole(this.chain.sink, reply);
  }
}
