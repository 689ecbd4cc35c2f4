/** A reply in the place of a response, as `cpp/core/reply.h` sends it: whole, or as it streams. */
import { HeaderLines } from '../../base/header-block.js';
import type { Said } from '../frames.js';
import { ReplyFraming, type RequestKind } from './framing.js';
import { Pieces, type Receiver } from './passage.js';

type State = 'none' | 'open' | 'closing' | 'sent';

export class Reply {
  private readonly client: Receiver;
  private state: State = 'none';
  private framing: ReplyFraming | undefined;
  private readonly waiting = new Pieces();
  private credited = 0;
  /** In the place of a response that is under way it goes in one piece. */
  private held: HeaderLines | undefined;
  private trailers: HeaderLines | undefined;

  constructor(client: Receiver) {
    this.client = client;
  }

  get exists(): boolean {
    return this.state !== 'none';
  }

  get isUnderWay(): boolean {
    return this.state === 'open' || this.state === 'closing';
  }

  get waitingBytes(): number {
    return this.waiting.length;
  }

  /** All of it, as Envoy sends it. */
  whole(lines: HeaderLines, body: Uint8Array | undefined): void {
    this.state = 'sent';
    const isEmpty = body === undefined || body.length === 0;
    this.client.headers(lines, isEmpty);
    if (isEmpty) return;
    this.client.data(body);
    this.client.end(undefined);
  }

  /** It is whole, and sent by somebody else. */
  taken(): void {
    this.state = 'sent';
  }

  /** False: the length that its headers name is wrong. */
  begin(kind: RequestKind, said: Extract<Said, { is: 'replyHeaders' }>, inOne: boolean): boolean {
    const lines = HeaderLines.fromFlat(said.headers);
    const framing = new ReplyFraming(kind, Number(lines.get(':status')), lines, said.end);
    if (!framing.isValid || (said.end && !framing.isKept)) return false;
    this.framing = framing;
    const ends = said.end || !framing.hasBody;
    this.state = ends ? 'sent' : 'open';
    if (inOne && !ends) this.held = lines;
    else this.client.headers(lines, ends);
    return true;
  }

  data(bytes: Uint8Array, end: boolean): boolean {
    this.waiting.push(bytes);
    if (end) this.state = 'closing';
    return this.framing!.made(bytes.length) && (!end || this.framing!.isKept);
  }

  end(headers: readonly string[]): boolean {
    if (!this.framing!.isKept) return false;
    this.trailers = HeaderLines.fromFlat(headers);
    this.state = 'closing';
    return true;
  }

  cut(): void {
    this.waiting.clear();
    this.state = 'sent';
  }

  /** As far as the client takes it; returns for how much of it the host has credit. */
  flush(): number {
    if (!this.isUnderWay) return 0;
    if (this.state === 'open' && (this.held !== undefined || this.framing!.isFull)) {
      const fresh = this.waiting.length - this.credited;
      this.credited = this.waiting.length;
      return fresh;
    }
    this.sendHeld();
    let taken = 0;
    while (!this.client.isFull) {
      const bytes = this.waiting.shift();
      if (bytes === undefined) break;
      taken += bytes.length;
      this.client.data(bytes);
    }
    if (this.state === 'closing' && this.waiting.length === 0) {
      this.state = 'sent';
      this.client.end(this.trailers);
    }
    const before = Math.min(this.credited, taken);
    this.credited -= before;
    return taken - before;
  }

  private sendHeld(): void {
    const lines = this.held;
    if (lines === undefined) return;
    this.held = undefined;
    if (!this.framing!.namesLength && this.trailers === undefined)
      lines.add('content-length', String(this.waiting.length));
    this.client.headers(lines, false);
  }
}
