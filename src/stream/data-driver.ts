/** The Go style of bodies: one hook call per piece, and a status that says what becomes of it. */
import { BodyBufferImpl, joinBytes } from '../buffer.js';
import { StatusType } from '../types.js';
import type { BodyBuffer } from '../types-data.js';
import type { BodyDriver } from './drivers.js';
import type { Flow } from './flow.js';
import type { FlowOutput } from './output.js';

export type DataHook = (data: BodyBuffer, endStream: boolean) => unknown;

interface Frame {
  readonly bytes: Uint8Array;
  readonly last: boolean;
}

export class DataDriver implements BodyDriver {
  private readonly flow: Flow;
  private readonly hook: DataHook;
  private readonly output: () => FlowOutput;
  private readonly queue: Frame[] = [];
  /** Chunks that the hook was handed and that have not gone on. */
  private kept: Uint8Array[] = [];
  /** The frame that the hook has; undefined = it has none. */
  private current: Frame | undefined;
  private buffer: BodyBufferImpl | undefined;
  /** Inside a loop over the queue: a hook that settles at once must not start another. */
  private looping = false;

  constructor(flow: Flow, hook: DataHook, output: () => FlowOutput) {
    this.flow = flow;
    this.hook = hook;
    this.output = output;
  }

  /** The flow itself knows of a pending hook. */
  get busy(): boolean {
    return false;
  }

  data(bytes: Uint8Array, last: boolean): void {
    this.queue.push({ bytes, last });
    this.next();
  }

  abort(): void {
    this.queue.length = 0;
  }

  /** The hook has settled. */
  settled(status: StatusType): void {
    const { flow } = this;
    const frame = this.current!;
    const chunk = this.buffer!.take();
    this.current = this.buffer = undefined;
    const out = this.output();
    out.acknowledged += frame.bytes.length;
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
          const { data } = flow.names;
          flow.fail(
            data,
            'TSF_STATUS_INVALID',
            `${data} stopped at the end of the stream: nothing will ever continue it`,
          );
          return;
        }
        if (status === StatusType.StopAndBuffer && !frame.last) this.gather();
      }
    }
    if (frame.last) this.finish();
    else this.next();
  }

  /** Whether a trailers hook is still to come, which lets kept chunks go. */
  private trailersFollow = false;

  private emit(out: FlowOutput, chunk: Uint8Array[]): void {
    for (const part of this.kept) out.write(part, true);
    this.kept = [];
    for (const part of chunk) out.write(part, true);
  }

  /** StopAndBuffer in the middle: all that comes makes one last call. What the hook has seen stays kept, as in Go. */
  private gather(): void {
    const frames = this.queue.splice(0);
    if (frames.at(-1)?.last !== true) {
      this.flow.gather(frames.map(({ bytes }) => bytes));
      return;
    }
    const bytes = joinBytes(frames.map((frame) => frame.bytes));
    this.queue.push({ bytes, last: true });
  }

  private finish(): void {
    // Chunks still kept here are the trailers hook's to let go; without one they go now.
    this.emit(this.output(), []);
    this.flow.finishBody(undefined);
  }

  private next(): void {
    if (this.looping) return;
    this.looping = true;
    const { flow, queue } = this;
    while (this.current === undefined && queue.length > 0 && !flow.dead) {
      const frame = queue.shift()!;
      this.trailersFollow = frame.last && flow.trailersFollow;
      if (frame.bytes.length === 0 && (!frame.last || this.trailersFollow)) {
        if (frame.last) this.finish();
        continue;
      }
      this.current = frame;
      this.buffer = new BodyBufferImpl(frame.bytes.length === 0 ? [] : [frame.bytes]);
      flow.call('data', this.hook as never, this.buffer, frame.last && !this.trailersFollow);
    }
    this.looping = false;
    if (this.current === undefined && !flow.dead && !flow.gathering) {
      this.output().asks();
      this.waitForRoom();
    }
  }

  /** Frames queue up, unacknowledged, while the ring has no room for what they would become. */
  private waitForRoom(): void {
    const room = this.flow.port.backpressure(this.flow.direction);
    if (room === undefined) return;
    this.looping = true;
    void room.then(() => {
      this.looping = false;
      if (!this.flow.dead) this.next();
    });
  }
}
