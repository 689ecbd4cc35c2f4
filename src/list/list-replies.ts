/**
 * Replies that the filters of a list make, in Envoy's order: one that is made before any response passes the encode
 * hooks of all the others, from the last to the first. While a response is under way, a whole reply goes straight to the
 * client, and a streamed one takes the response's place from its member on. Its own encode hooks are behind a reply when
 * it comes here (replies.ts).
 */
import { packHeaders } from '../base/header-block.js';
import { CreditOf, Direction, HeaderType, type StreamSink } from '../base/wire.js';
import { type Asked, sendWhole, ShownReply, type WholeReply } from '../stream/whole-reply.js';
import type { ListMember, MemberReplies } from './member.js';
import { Pass } from './pass.js';
import type { Receiver } from './receiver.js';
import { StreamedReplyEnd, WholeReplyEnd } from './reply-ends.js';
import type { Limits, Message } from './stage-ports.js';

const EMPTY = new Uint8Array(0);

/** What replies have of their list. */
export interface RepliesList {
  readonly sink: StreamSink;
  readonly asked: Asked;
  readonly limits: Limits;
  /** Nothing is said to Envoy any more. */
  readonly over: boolean;
  /** A response is on its way to the client. */
  readonly responseBegun: boolean;
  /** From the last to the first. */
  readonly backwards: readonly ListMember[];
  fail(type: HeaderType, text: string): void;
  killRequest(): void;
  killResponse(): void;
  /** Hooks run that the module knows nothing of: it times the request until it hears of the reply. */
  timeReply(): void;
}

export class ListReplies implements MemberReplies {
  /** A reply has been made; Envoy may not have heard of it yet. */
  made = false;
  private readonly list: RepliesList;
  /** Told to Envoy, whole or its headers. */
  private sent = false;
  /** Whose reply it is. */
  private replier: ListMember | undefined;
  /** Those that replied: no other one's reply passes their hooks. */
  private readonly repliers = new Set<ListMember>();
  private pass: Pass | undefined;
  /** A reply that begins when the author's code is off the stack. */
  private due: (() => void) | undefined;

  constructor(list: RepliesList) {
    this.list = list;
  }

  whole(member: ListMember, reply: WholeReply): void {
    const { list } = this;
    if (!this.take(member)) {
      // It has taken itself out of a streamed reply that is on its way, and nothing can take that one's place.
      if (this.pass?.needs(member) === true) list.fail(HeaderType.Response, 'a streamed reply cannot be replaced');
      return;
    }
    // Where a response is under way, Envoy sends this one past all filters.
    const others = this.underWay ? [] : this.others();
    if (others.length === 0) {
      this.send(reply);
      return;
    }
    this.later(() => {
      const shown = new ShownReply(reply, list.asked);
      const end = new WholeReplyEnd(shown, (made) => {
        this.send(made);
      });
      const { body } = shown;
      // A hook in it may reply itself, which ends this one.
      const pass = this.begin(others, end, { block: shown.headers, headersOnly: body === undefined, here: true });
      if (body !== undefined) pass.data(body, 'nothing');
    });
  }

  streamed(member: ListMember, headers: string[], end: boolean): void {
    if (!this.take(member)) return;
    const { sink } = this.list;
    // It replaces a response that is under way: those who have had that one are not asked again.
    const others = this.others().filter((one) => !this.underWay || one.index < member.index);
    if (others.length === 0) {
      this.sent = true;
      sink.replyHeaders(headers, end);
      return;
    }
    this.later(() => {
      this.sent = true;
      const message = { block: packHeaders(headers), headersOnly: end, here: false };
      this.begin(others, new StreamedReplyEnd(sink), message);
    });
  }

  data(member: ListMember, bytes: Uint8Array, end: boolean): void {
    if (member !== this.replier || this.list.over) return;
    this.beginDue();
    if (this.pass === undefined) this.list.sink.replyData(bytes, end);
    else this.pass.data(Uint8Array.prototype.slice.call(bytes), end ? 'nothing' : 'more');
  }

  trailers(member: ListMember, headers: string[]): void {
    if (member !== this.replier || this.list.over) return;
    this.beginDue();
    if (this.pass === undefined) {
      this.list.sink.replyTrailers(headers);
      return;
    }
    this.pass.data(EMPTY, 'trailers');
    this.pass.trailersCame(packHeaders(headers));
  }

  /** What is before the reply: the first member that it passes, or Envoy. */
  backpressure(): Promise<void> | undefined {
    return this.pass === undefined ? this.list.sink.backpressure(CreditOf.Reply) : this.pass.room();
  }

  kill(): void {
    this.due = undefined;
    this.pass?.kill();
  }

  // ---- inside ----

  /** False: too late, Envoy has a reply. */
  private take(member: ListMember): boolean {
    const { list } = this;
    if (list.over || this.sent) return false;
    list.killRequest();
    this.kill();
    this.pass = undefined;
    this.made = true;
    this.replier = member;
    this.repliers.add(member);
    return true;
  }

  /** A response, or another member's reply, is on its way to the client. */
  private get underWay(): boolean {
    return this.list.responseBegun || this.repliers.size > 1;
  }

  /** Whose encode hooks a reply passes before any response, from the last to the first. */
  private others(): ListMember[] {
    return this.list.backwards.filter((one) => !this.repliers.has(one) && one.partOf(Direction.Response));
  }

  private later(task: () => void): void {
    this.due = task;
    this.list.timeReply();
    queueMicrotask(() => {
      this.beginDue();
    });
  }

  private beginDue(): void {
    const { due } = this;
    this.due = undefined;
    if (due === undefined || this.list.over) return;
    this.list.killResponse();
    due();
  }

  private begin(
    members: readonly ListMember[],
    end: Receiver,
    reply: Pick<Message, 'block' | 'headersOnly' | 'here'>,
  ): Pass {
    const message = { ...reply, direction: Direction.Response, tunnel: false };
    const pass = (this.pass = new Pass(message, this.list.limits, members, end, undefined));
    pass.start();
    return pass;
  }

  private send(reply: WholeReply): void {
    this.sent = true;
    this.list.killResponse();
    sendWhole(this.list.sink, reply);
  }
}
