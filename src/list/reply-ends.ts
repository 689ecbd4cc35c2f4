/** Behind the last member that a reply passes. */
import { HeaderLines } from '../base/header-block.js';
import { CreditOf, type HeaderBlock, type StreamSink } from '../base/wire.js';
import type { ShownReply, WholeReply } from '../stream/whole-reply.js';
import { type Head, Piece, type Receiver } from './receiver.js';

const EMPTY = new Uint8Array(0);

/** A reply that is complete when it goes. */
export class WholeReplyEnd implements Receiver {
  private readonly shown: ShownReply;
  private readonly send: (reply: WholeReply) => void;
  private lines = new HeaderLines();

  constructor(shown: ShownReply, send: (reply: WholeReply) => void) {
    this.shown = shown;
    this.send = send;
  }

  headers(head: Head): void {
    this.lines = HeaderLines.of(head.block());
    for (const bytes of head.lead) this.shown.add(bytes, true);
  }

  data(bytes: Uint8Array, traits: number): void {
    this.shown.add(bytes, (traits & Piece.Owned) !== 0);
  }

  end(): void {
    this.send(this.shown.made(this.lines));
  }

  /** All of it is held here. */
  room(): undefined {
    return undefined;
  }
}

/** A reply that streams: Envoy's credit bounds it, as one that no other member sees. */
export class StreamedReplyEnd implements Receiver {
  private readonly sink: StreamSink;
  /** Told to be all of it. */
  private ended = false;

  constructor(sink: StreamSink) {
    this.sink = sink;
  }

  headers(head: Head): void {
    this.ended = head.ends && head.lead.length === 0;
    this.sink.replyHeaders(HeaderLines.of(head.block()).flat(), this.ended);
    for (const bytes of head.lead) this.sink.replyData(bytes, false);
  }

  data(bytes: Uint8Array): void {
    if (bytes.length > 0) this.sink.replyData(bytes, false);
  }

  end(trailers: HeaderBlock | undefined): void {
    if (trailers !== undefined) this.sink.replyTrailers(HeaderLines.of(trailers).flat());
    else if (!this.ended) this.sink.replyData(EMPTY, true);
  }

  room(): Promise<void> | undefined {
    return this.sink.backpressure(CreditOf.Reply);
  }
}
