/** A channel in plain memory: the host's end is the real one (`channel`), the module's end is here. No addon, no thread. */
import { createChannel, Endpoint } from 'sharedarraybuffer-ring';
import { Channel } from '../channel/channel.js';
import { afterTurn } from '../base/turns.js';
import { EndReason, type StreamSink, type StreamSource, type StreamStart } from '../base/wire.js';
import { type Frame, readSaid, type Said, type StreamId } from './frames.js';

export interface RingsOptions {
  /** Of each ring, a power of two from 64 KiB. */
  readonly capacity: number;
  readonly streamWindow: number;
  readonly createStream: (start: StreamStart, sink: StreamSink) => StreamSource;
  /** What the host says. */
  readonly heard: (id: StreamId, said: Said) => void;
  /** A fault of the host's, or a frame that it cannot read: never the author's. */
  readonly onFault: (error: unknown) => void;
}

export class Rings {
  readonly #module: Endpoint;
  readonly #channel: Channel;
  readonly #heard: RingsOptions['heard'];
  /** Frames that the ring has no room for. */
  readonly #waiting: Frame[] = [];
  #wake: () => void = () => undefined;
  #flush: () => void = () => undefined;
  #hostDue = false;
  #moduleDue = false;
  #closed = false;

  constructor({ capacity, streamWindow, createStream, heard, onFault }: RingsOptions) {
    const { a, b } = createChannel(capacity);
    this.#heard = heard;
    this.#module = new Endpoint(a.own, a.peer, { ring: () => this.#hostSoon() });
    const host = new Endpoint(b.own, b.peer, { ring: () => this.#moduleSoon() });
    const soon = (): void => this.#flushSoon();
    this.#channel = new Channel({
      endpoint: host,
      poller: (onWake, onFlush) => {
        this.#wake = onWake;
        this.#flush = onFlush;
        // Written when the host has something to say; the addon's poller looks at it before the loop waits.
        return { dirty: markOf(soon), close: () => undefined };
      },
      createStream,
      streamWindow: () => streamWindow,
      onMalformed: (reason) => onFault(new Error(`the host cannot read a frame: ${reason}`)),
      onFault,
    });
    this.#hostSoon();
    this.#moduleSoon();
  }

  /** In order; what does not fit goes when there is room. */
  send(frame: Frame): void {
    this.#waiting.push(frame);
    this.#write();
  }

  close(): void {
    this.#closed = true;
    this.#channel.close(EndReason.Downstream);
  }

  #write(): void {
    const module = this.#module;
    while (this.#waiting.length > 0) {
      const { kind, bytes } = this.#waiting[0]!;
      const at = module.claim(kind, bytes.length);
      if (at < 0) break;
      module.ownBytes.set(bytes, at);
      module.commit();
      this.#waiting.shift();
    }
    module.publish();
  }

  // ---- the event loop's share ----

  #hostSoon(): void {
    if (this.#hostDue) return;
    this.#hostDue = true;
    afterTurn(() => {
      this.#hostDue = false;
      if (this.#closed) return;
      this.#wake();
      this.#flushSoon();
    });
  }

  #flushDue = false;
  #flushSoon(): void {
    if (this.#flushDue) return;
    this.#flushDue = true;
    afterTurn(() => {
      this.#flushDue = false;
      if (!this.#closed) this.#flush();
    });
  }

  #moduleSoon(): void {
    if (this.#moduleDue) return;
    this.#moduleDue = true;
    afterTurn(() => {
      this.#moduleDue = false;
      if (!this.#closed) this.#drain();
    });
  }

  #drain(): void {
    const module = this.#module;
    module.wake();
    const all: { id: StreamId; said: Said }[] = [];
    module.drain((kind, offset) => {
      const { id, said } = readSaid(kind, module.peerBytes, offset);
      if (said !== undefined) all.push({ id, said });
    });
    for (const { id, said } of all) this.#heard(id, said);
    this.#write();
    if (!module.sleep()) this.#moduleSoon();
  }
}

/** A word that tells when it is written. */
function markOf(written: () => void): { [index: number]: number } {
  let value = 0;
  return {
    get 0() {
      return value;
    },
    set 0(to: number) {
      value = to;
      if (to !== 0) written();
    },
  };
}
