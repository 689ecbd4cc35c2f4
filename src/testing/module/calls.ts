/** `httpCall`: requests of the filter's own, answered by whoever the test has put in the clusters' place. */
import { HeaderLines, packHeaders } from '../../base/header-block.js';
import { CallEventPart, CallFailure } from '../../base/wire.js';
import { callEventFrame, type Frame, type Said, type StreamId } from '../frames.js';

/** What a cluster makes of a request; it may take its time. Rejecting is a reset. */
export interface CallAnswer {
  readonly lines: HeaderLines;
  readonly body: AsyncIterable<Uint8Array>;
  readonly trailers: HeaderLines | undefined;
}

/** A request as the cluster gets it. */
export interface CallAsked {
  readonly cluster: string;
  readonly lines: HeaderLines;
  readonly body: Promise<Uint8Array>;
}

/** undefined: no such cluster. */
export type Clusters = (asked: CallAsked) => Promise<CallAnswer> | undefined;
type CallSaid = Extract<Said, { is: 'callStart' | 'callData' | 'callTrailers' | 'callCancel' }>;

/** The end of a call's request, once it is there. */
class Asking {
  private readonly pieces: Uint8Array[] = [];
  private settle!: (bytes: Uint8Array) => void;
  readonly body = new Promise<Uint8Array>((resolve) => (this.settle = resolve));

  data(bytes: Uint8Array): void {
    this.pieces.push(bytes);
  }

  end(): void {
    this.settle(Buffer.concat(this.pieces));
  }
}

export class Calls {
  private readonly id: StreamId;
  private readonly clusters: Clusters;
  private readonly send: (frame: Frame) => void;
  private readonly running = new Map<number, Asking>();

  constructor(id: StreamId, clusters: Clusters, send: (frame: Frame) => void) {
    this.id = id;
    this.clusters = clusters;
    this.send = send;
  }

  on(said: CallSaid | Said): void {
    switch (said.is) {
      case 'callStart':
        this.start(said);
        return;
      case 'callData': {
        const asking = this.running.get(said.call);
        asking?.data(said.bytes);
        if (said.end) asking?.end();
        return;
      }
      case 'callTrailers':
        this.running.get(said.call)?.end();
        return;
      case 'callCancel':
        this.running.delete(said.call);
        return;
      default:
    }
  }

  /** Envoy ends them with the stream. */
  end(): void {
    this.running.clear();
  }

  private start({ call, cluster, headers, end }: Extract<Said, { is: 'callStart' }>): void {
    const asking = new Asking();
    if (end) asking.end();
    const answer = this.clusters({ cluster, lines: HeaderLines.fromFlat(headers), body: asking.body });
    if (answer === undefined) {
      this.tell(call, CallEventPart.Failed, true, Buffer.from(CallFailure.NoCluster));
      return;
    }
    this.running.set(call, asking);
    this.answer(call, answer).catch(() => {
      if (this.running.delete(call)) this.tell(call, CallEventPart.Failed, true, Buffer.from('reset'));
    });
  }

  private async answer(call: number, coming: Promise<CallAnswer>): Promise<void> {
    const { lines, body, trailers } = await coming;
    if (!this.running.has(call)) return;
    this.tell(call, CallEventPart.Headers, false, packHeaders(lines.flat()).bytes);
    for await (const bytes of body) {
      if (!this.running.has(call)) return;
      this.tell(call, CallEventPart.Data, false, bytes);
    }
    if (!this.running.delete(call)) return;
    if (trailers === undefined) this.tell(call, CallEventPart.Data, true, new Uint8Array(0));
    else this.tell(call, CallEventPart.Trailers, true, packHeaders(trailers.flat()).bytes);
  }

  private tell(call: number, part: CallEventPart, end: boolean, bytes: Uint8Array): void {
    this.send(callEventFrame(this.id, call, part, end, bytes));
  }
}
