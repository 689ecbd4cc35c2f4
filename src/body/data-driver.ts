/** The Go style of bodies: one hook call per piece, and a status that says what becomes of it. */
import { BodyBufferImpl, joinBytes } from './buffer.js';
import { StatusType } from '../api/types.js';
import type { BodyBuffer } from '../api/types-data.js';
import { OutputFlag } from '../base/wire.js';
import type { FlowOutput } from './output.js';
import type { BodyDriver, BodyHost, Hook, HookCaller, HookKind } from './ports.js';

export type DataHook = (data: BodyBuffer, endStream: boolean) => unknown;

interface Frame {
  readonly bytes: Uint8Array;
  readonly last: boolean;
  /** Of pieces that were gathered, and acknowledged as they came. */
  readonly gathered: boolean;
}

export class DataDriver implements BodyDriver, HookCaller {
  private readonly host: BodyHost;
  private readonly hook: DataHook;
  private readonly queue: Frame[] = [];
  /** Chunks that the hook was handed and that have not gone on. */
  private kept: Uint8Array[] = [];
  /** StopAndBuffer: what has come since, acknowledged and kept for one last call. */
  private rest: Uint8Array[] | undefined;
  /** What waits in both, against max_body_bytes. */
  private keptBytes = 0;
  /** The frame that the hook has; undefined = it has none. */
  private current: Frame | undefined;
  private buffer: BodyBufferImpl | undefined;
  /** Inside a loop over the queue: a hook that settles at once must not start another. */
  private looping = false;
  /** Whether a trailers hook is still to come, which lets kept chunks go. */
  private trailersFollow = false;

  constructor(host: BodyHost, hook: DataHook) {
    this.host = host;
    this.hook = hook;
  }

  /** The flow itself knows of a pending hook. */
  get busy(): boolean {
    return false;
  }

  start(): void {
    this.host.out.asks();
  }

  data(bytes: Uint8Array, last: boolean): void {
    if (this.rest === undefined) this.queue.push({ bytes, last, gathered: false });
    else this.gather(this.rest, bytes, last);
    this.next();
  }

  abort(): void {
    this.queue.length = 0;
  }

  /** The hook has settled. */
  hookSettled(_kind: HookKind, status: StatusType): void {
    const { host } = this;
    const frame = this.current!;
    const chunk = this.buffer!.take();
    this.current = this.buffer = undefined;
    const { out } = host;
    if (!frame.gathered) out.consumed(frame.bytes.length);
    switch (status) {
      case StatusType.Continue:
        this.emit(out, chunk);
        break;
      case StatusType.StopNoBuffer:
        break;
      default: {
        // StopAndBuffer, StopAndBufferWatermark: kept until a later piece, or the trailers, continue.
        this.kept.push(...chunk);
        if (frame.last && !this.trailersFollow) {
          const { data } = host.names;
          host.fault(
            data,
            'TSF_STATUS_INVALID',
            `${data} stopped at the end of the stream: nothing will ever continue it`,
          );
          return;
        }
        if (status === StatusType.StopAndBuffer && !frame.last) this.gatherRest();
      }
    }
    if (host.dead) return;
    if (frame.last) this.finish();
    else this.next();
  }

  private emit(out: FlowOutput, chunk: Uint8Array[]): void {
    for (const part of this.kept) out.write(part, true);
    this.kept = [];
    for (const part of chunk) out.write(part, true);
  }

  /** StopAndBuffer in the middle: all that comes makes one last call. What the hook has seen stays kept, as in Go. */
  private gatherRest(): void {
    const rest: Uint8Array[] = (this.rest = []);
    this.keptBytes = this.kept.reduce((sum, part) => sum + part.length, 0);
    for (const { bytes, last } of this.queue.splice(0)) this.gather(rest, bytes, last);
  }

  private gather(rest: Uint8Array[], bytes: Uint8Array, last: boolean): void {
    const { host } = this;
    if (host.dead) return;
    rest.push(bytes);
    this.host.out.consumed(bytes.length);
    this.keptBytes += bytes.length;
    if (this.keptBytes > host.maxBodyBytes) host.tooLarge();
    else if (last) {
      this.rest = undefined;
      this.queue.push({ bytes: joinBytes(rest), last, gathered: true });
    }
  }

  private finish(): void {
    // Chunks still kept here are the trailers hook's to let go; without one they go now.
    this.emit(this.host.out, []);
    this.host.finish(undefined);
  }

  private next(): void {
    if (this.looping) return;
    this.looping = true;
    const { host, queue } = this;
    while (this.current === undefined && queue.length > 0 && !host.dead) {
      this.host.out.goesOn();
      this.hand(queue.shift()!);
    }
    this.looping = false;
    if (this.current === undefined && !host.dead) {
      this.host.out.asks();
      this.waitForRoom();
    }
  }

  private hand(frame: Frame): void {
    const { host } = this;
    const { bytes, last, gathered } = frame;
    this.trailersFollow = last && host.trailersFollow;
    // A body that was stopped as a whole is handed over even when it is empty.
    if (bytes.length === 0 && (!last || this.trailersFollow) && !host.whole) {
      if (last) this.finish();
      return;
    }
    this.current = frame;
    this.buffer = new BodyBufferImpl(bytes.length === 0 ? [] : [bytes]);
    host.hooks.call('data', this, this.hook as Hook, this.buffer, last && !this.trailersFollow);
    // The module has sent all of it long ago, and does not know from when the hook's time counts.
    if (gathered && this.isWaiting()) this.host.out.flush(OutputFlag.Timed);
  }

  /** Asked after the call: the hook takes its time. */
  private isWaiting(): boolean {
    return this.current !== undefined && !this.host.dead;
  }

  /** Frames queue up, unacknowledged, while there is no room for what they would become. */
  private waitForRoom(): void {
    const room = this.host.room();
    if (room === undefined) return;
    this.looping = true;
    void room.then(() => {
      this.looping = false;
      if (!this.host.dead) this.next();
    });
  }
}
