/** A reply whose body comes piece by piece, bounded by what Envoy has taken of it. */
import { FilterError } from '../api/errors.js';
import type { Phase } from '../api/types.js';
import type { Chunk } from '../api/types-data.js';
import { CreditOf, type HeaderType, type StreamSink } from '../base/wire.js';
import { toBytes } from '../body/buffer.js';
import { closeIterator } from '../body/iteration.js';
import type { FlowStream } from '../body/ports.js';
import { wrongLength } from '../headers/framing.js';
import type { Life } from './life.js';

export type ReplyBody = AsyncIterable<Chunk> | Iterable<Chunk>;
const EMPTY = new Uint8Array(0);
const PIECE = 64 * 1024;

/** What it needs of its stream. */
export interface StreamedReplyPort extends Pick<FlowStream, 'author' | 'authorError' | 'settledLate'> {
  readonly life: Life;
  readonly sink: Pick<StreamSink, 'replyData' | 'backpressure'>;
}

/** A reply whose body comes piece by piece. */
export class StreamedReply {
  private readonly stream: StreamedReplyPort;
  private readonly body: ReplyBody;
  /** Its content-length, where it has one. */
  private readonly length: number | undefined;
  private readonly failType: HeaderType;
  private readonly phase: Phase;
  private iterator: AsyncIterator<Chunk> | Iterator<Chunk> | undefined;
  private made = 0;
  busy = false;

  constructor(
    stream: StreamedReplyPort,
    body: ReplyBody,
    length: number | undefined,
    failType: HeaderType,
    phase: Phase,
  ) {
    this.stream = stream;
    this.body = body;
    this.length = length;
    this.failType = failType;
    this.phase = phase;
  }

  start(): void {
    this.busy = true;
    void this.stream.author.run(this.phase, this.pump as never, this);
  }

  /** Nobody is to see the body: whoever makes it is told, and does not begin. */
  abandon(): void {
    try {
      this.iterator = iteratorOf(this.body);
      this.end();
    } catch (e) {
      this.late(e);
    }
  }

  end(): void {
    const { iterator } = this;
    this.iterator = undefined;
    closeIterator(this.stream.author, this.phase, iterator, this.late);
  }

  private async pump(): Promise<void> {
    const { stream, body } = this;
    try {
      const iterator = (this.iterator = iteratorOf(body));
      while (!stream.life.over) {
        const { value, done } = await iterator.next();
        if (done === true) {
          this.iterator = undefined;
          break;
        }
        if (!stream.life.over) await this.put(toBytes(value));
      }
      if (stream.life.over) return;
      this.check(this.length !== undefined && this.made < this.length);
      stream.sink.replyData(EMPTY, true);
    } catch (e) {
      stream.authorError(this.failType, this.phase, e);
    } finally {
      this.end();
      this.busy = false;
      stream.settledLate();
    }
  }

  private readonly late = (e: unknown): void => {
    this.stream.author.lateError(this.phase, e);
  };

  private check(wrong: boolean): void {
    if (!wrong) return;
    const why = wrongLength(this.length!, this.made, "; leave content-length out, or give the body's");
    throw new FilterError('TSF_LENGTH_WRONG', `reply(): ${why}`, this.phase);
  }

  private async put(bytes: Uint8Array): Promise<void> {
    const { sink } = this.stream;
    this.made += bytes.length;
    this.check(this.length !== undefined && this.made > this.length);
    for (let at = 0; at < bytes.length && !this.stream.life.over; at += PIECE) {
      sink.replyData(bytes.subarray(at, at + PIECE), false);
      const room = sink.backpressure(CreditOf.Reply);
      if (room !== undefined) await room;
    }
  }
}

const iteratorOf = (body: ReplyBody): AsyncIterator<Chunk> | Iterator<Chunk> =>
  Symbol.asyncIterator in body ? body[Symbol.asyncIterator]() : body[Symbol.iterator]();
