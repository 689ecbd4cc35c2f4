/**
 * One channel: the rings and doorbells that one Envoy worker shares with this thread, and the streams that live on it.
 *
 * A wake-up drains the whole ring and hands each frame to its stream; the microtasks that this starts run before the
 * wake-up is over, so that what an `async` filter answers at once is published together with the rest, by one store
 * and at most one ring of the doorbell. Whatever is answered later marks the poller dirty and goes out before the
 * event loop waits again.
 */
import { DataFlag, Encoder, FrameKind, FrameReader, HeadersFlag, MalformedFrame } from './codec/index.js';
import { Outbox, type RingWriter } from './outbox.js';
import { ChannelStream } from './sink.js';
import { afterTurn } from '../base/turns.js';
import {
  EndReason,
  type Follows,
  HeadersTrait,
  type HeaderType,
  type StreamSink,
  type StreamSource,
  type StreamStart,
} from '../base/wire.js';

/** What a channel needs of `sharedarraybuffer-ring`. */
export interface RingEndpoint extends RingWriter {
  readonly peerBytes: Uint8Array;
  /** Hands over what the peer has published, at most `limit` records; returns how many there were. */
  drain(handler: (kind: number, offset: number, length: number) => void, limit?: number): number;
  /** False: something came in the meantime, so this side stays awake. */
  sleep(): boolean;
  wake(): void;
}

/** What a channel needs of the addon's Poller. */
export interface Waker {
  /** Not 0 at 0: the host has something to say. */
  readonly dirty: { [index: number]: number };
  close(): void;
}

export interface ChannelDeps {
  readonly endpoint: RingEndpoint;
  readonly poller: (onWake: () => void, onFlush: () => void) => Waker;
  readonly createStream: (start: StreamStart, sink: StreamSink) => StreamSource;
  /** `stream_window` of a config: the bound for output and reply data that no Credit has covered. */
  readonly streamWindow: (configId: number) => number;
  /** The peer broke the protocol. The channel has stopped reading; whoever made it closes it. */
  readonly onMalformed: (reason: string) => void;
  /** A source threw, which it must not. */
  readonly onFault: (error: unknown) => void;
}

/** So long a wake-up handles frames before the event loop gets a turn: for other channels, timers and the watchdog. */
const WAKE_UP_MS = 10;
/** Frames between two looks at the clock. */
const FRAMES_AT_ONCE = 16;
/** Slots are indices of the worker's stream table; a larger one is no index. */
const MAX_SLOTS = 1 << 22;

export class Channel {
  readonly #deps: ChannelDeps;
  readonly #endpoint: RingEndpoint;
  readonly #reader: FrameReader;
  readonly #outbox: Outbox;
  readonly #encoder: Encoder;
  readonly #poller: Waker;
  readonly #table: (ChannelStream | undefined)[] = [];
  readonly #onFrame = (kind: number, offset: number, length: number): void => this.#frame(kind, offset, length);
  readonly #turn = (): void => {
    this.#turnDue = false;
    this.#wake();
    this.#dirty[0] = 1;
  };
  readonly #changed = (): void => {
    this.#dirty[0] = 1;
  };
  #dirty: Waker['dirty'] = new Int32Array(1);
  #turnDue = false;
  #closed = false;
  /** The peer broke the protocol: nothing is read or written any more. */
  #stopped = false;

  constructor(deps: ChannelDeps) {
    this.#deps = deps;
    this.#endpoint = deps.endpoint;
    this.#reader = new FrameReader(deps.endpoint.peerBytes);
    this.#outbox = new Outbox(deps.endpoint, (error) => this.#stop(error));
    this.#encoder = new Encoder(this.#outbox);
    this.#poller = deps.poller(
      () => this.#wake(),
      () => this.#flush(),
    );
    this.#dirty = this.#poller.dirty;
  }

  /** Ends every stream; sinks that are still held fall silent. */
  close(reason: EndReason): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poller.close();
    for (const stream of this.#table) if (stream !== undefined) this.#end(stream, reason);
    this.#outbox.close();
  }

  /** The peer has written all that it ever will: it is heard, what comes of that is said, and the channel closes. */
  finish(done: () => void): void {
    this.#wake();
    const close = (): void => {
      if (this.#turnDue) {
        afterTurn(close);
        return;
      }
      this.#flush();
      this.close(EndReason.Downstream);
      done();
    };
    // What last hooks say before their first await goes along.
    afterTurn(close);
  }

  #wake(): void {
    if (this.#closed || this.#stopped) return;
    const endpoint = this.#endpoint;
    endpoint.wake();
    try {
      // A peer that is faster than the filters keeps the ring full.
      const until = performance.now() + WAKE_UP_MS;
      while (endpoint.drain(this.#onFrame, FRAMES_AT_ONCE) === FRAMES_AT_ONCE) {
        if (performance.now() < until) continue;
        this.#again();
        return;
      }
    } catch (error) {
      this.#stop(error);
    }
  }

  #flush(): void {
    if (this.#closed || this.#stopped) return;
    const outbox = this.#outbox;
    outbox.flush();
    if (outbox.dirty) outbox.publish();
    if (this.#turnDue) return;
    // False when frames came meanwhile, or room for what waits.
    if (!this.#endpoint.sleep()) this.#again();
  }

  #again(): void {
    if (this.#turnDue) return;
    this.#turnDue = true;
    afterTurn(this.#turn);
  }

  #stop(error: unknown): void {
    if (this.#stopped) return;
    this.#stopped = true;
    const reason = error instanceof MalformedFrame ? error.message : `ring: ${String(error)}`;
    this.#poller.close();
    this.#deps.onMalformed(reason);
  }

  #frame(kind: number, offset: number, length: number): void {
    if (this.#closed) return;
    const reader = this.#reader;
    switch (kind) {
      case FrameKind.Headers: {
        reader.open(reader.headers, offset, length);
        this.#headers();
        return;
      }
      case FrameKind.Data: {
        const t = reader.data;
        reader.open(t, offset, length);
        const stream = this.#find(t.stream(), t.generation());
        if (stream?.source === undefined) return;
        const flags = t.flags();
        if ((flags & DataFlag.TooLarge) !== 0) {
          this.#deliver(stream, (source) => source.onBodyTooLarge(t.direction()));
          return;
        }
        const bytes = reader.dataBytes();
        const direction = t.direction();
        try {
          stream.source.onData(direction, bytes, followsOf(flags));
        } catch (error) {
          this.#fault(stream, error);
        }
        return;
      }
      case FrameKind.End: {
        const t = reader.end;
        reader.open(t, offset, length);
        const stream = this.#find(t.stream(), t.generation());
        if (stream !== undefined) this.#end(stream, t.reason());
        return;
      }
      case FrameKind.Credit: {
        const t = reader.credit;
        reader.open(t, offset, length);
        const stream = this.#find(t.stream(), t.generation());
        stream?.credit(t.of(), t.bytes());
        return;
      }
      case FrameKind.QueryAnswer: {
        const t = reader.queryAnswer;
        reader.open(t, offset, length);
        const stream = this.#find(t.stream(), t.generation());
        this.#deliver(stream, (source) => source.onQueryAnswer(t.query(), t.found(), reader.queryBlock()));
        return;
      }
      case FrameKind.CallEvent: {
        const t = reader.callEvent;
        reader.open(t, offset, length);
        const stream = this.#find(t.stream(), t.generation());
        this.#deliver(stream, (source) => source.onCallEvent(t.call(), t.part(), t.end(), reader.callBlock()));
        return;
      }
      case FrameKind.LogRun: {
        const t = reader.logRun;
        reader.open(t, offset, length);
        const stream = this.#find(t.stream(), t.generation());
        this.#deliver(stream, (source) => source.onLogRun(t.kind(), reader.logBlock()));
        return;
      }
      default:
        // A newer module may say more than we know.
        return;
    }
  }

  /** What a frame off the hot path says. */
  #deliver(stream: ChannelStream | undefined, say: (source: StreamSource) => void): void {
    if (stream?.source === undefined) return;
    try {
      say(stream.source);
    } catch (error) {
      this.#fault(stream, error);
    }
  }

  #headers(): void {
    const t = this.#reader.headers;
    const flags = t.flags();
    const slot = t.stream();
    const generation = t.generation();
    let block = this.#reader.headersBlock();
    let stream: ChannelStream | undefined;
    if ((flags & HeadersFlag.Start) !== 0 && this.#find(slot, generation) === undefined) {
      const length = t.attributesLength();
      if (length > block.length) throw new MalformedFrame('attribute block is longer than its frame');
      stream = this.#start(slot, generation, flags, block.subarray(0, length));
      if (length > 0) block = block.subarray(length);
    } else {
      stream = this.#find(slot, generation);
    }
    if (stream?.source === undefined) return;
    let count = t.count();
    if ((flags & HeadersFlag.More) !== 0) {
      (stream.parts ??= []).push(block);
      stream.partCount += count;
      return;
    }
    if (stream.parts !== undefined) {
      stream.parts.push(block);
      block = Buffer.concat(stream.parts);
      count += stream.partCount;
      stream.parts = undefined;
      stream.partCount = 0;
    }
    const type: HeaderType = t.type();
    try {
      if ((flags & HeadersFlag.Log) !== 0) stream.source.onLogHeaders(type, { bytes: block, count });
      else {
        stream.source.onHeaders(type, { bytes: block, count }, traitsOf(flags));
      }
    } catch (error) {
      this.#fault(stream, error);
    }
  }

  #start(slot: number, generation: number, flags: number, attributes: Uint8Array): ChannelStream | undefined {
    if (slot >= MAX_SLOTS) throw new MalformedFrame(`slot ${slot}`);
    const before = this.#table[slot];
    // The slot is in use again, so its last user is gone, whatever happened to its End.
    if (before !== undefined) this.#end(before, 1);
    const t = this.#reader.headers;
    const configId = t.config();
    const stream = new ChannelStream(
      this.#outbox,
      this.#encoder,
      this.#changed,
      slot,
      generation,
      configId,
      this.#deps.streamWindow(configId),
    );
    try {
      stream.source = this.#deps.createStream(
        {
          configId,
          routeConfigId: t.routeConfig(),
          attempt: t.attempt(),
          workerId: t.worker(),
          grpc: (flags & HeadersFlag.Grpc) !== 0,
          upstream: (flags & HeadersFlag.Upstream) !== 0,
          head: (flags & HeadersFlag.Head) !== 0,
          observed: (flags & HeadersFlag.Observed) !== 0,
          attributes,
        },
        stream,
      );
    } catch (error) {
      this.#fault(stream, error);
      return undefined;
    }
    this.#table[slot] = stream;
    return stream;
  }

  #find(slot: number, generation: number): ChannelStream | undefined {
    const stream = slot < this.#table.length ? this.#table[slot] : undefined;
    return stream !== undefined && stream.generation === generation ? stream : undefined;
  }

  #end(stream: ChannelStream, reason: EndReason): void {
    this.#table[stream.slot] = undefined;
    stream.end();
    try {
      stream.source?.onEnd(reason);
    } catch (error) {
      this.#deps.onFault(error);
    }
  }

  /** A source threw: its stream fails, the others go on. */
  #fault(stream: ChannelStream, error: unknown): void {
    this.#deps.onFault(error);
    stream.fail(0, error instanceof Error ? error.message : String(error));
    stream.close();
  }
}

function followsOf(flags: number): Follows {
  if ((flags & DataFlag.Last) === 0) return 'more';
  return (flags & DataFlag.Trailers) === 0 ? 'nothing' : 'trailers';
}

function traitsOf(flags: number): number {
  const end = (flags & HeadersFlag.EndStream) === 0 ? 0 : HeadersTrait.EndStream;
  const context = (flags & HeadersFlag.Context) === 0 ? 0 : HeadersTrait.Context;
  const tunnel = (flags & HeadersFlag.Upgrade) === 0 ? 0 : HeadersTrait.Tunnel;
  return end | context | tunnel;
}
