/**
 * What the headers of a message say of its body, as `cpp/core/framing.h` decides it: which answers have none, and
 * content-length. While the headers are here it is said again and again how they may go, and the last word counts; `go`
 * writes it.
 */
import type { HeaderLines } from '../../base/header-block.js';
import { Direction, HeaderOp } from '../../base/wire.js';

const LENGTH = 'content-length';
const ENCODING = 'transfer-encoding';

/** What decides what may follow. */
export type RequestKind = 'plain' | 'head' | 'connect' | 'upgrade';
type BodyRule = 'body' | 'none' | 'tunnel';

export function kindOf(request: HeaderLines): RequestKind {
  const method = request.get(':method');
  if (method === 'CONNECT') return 'connect';
  if (request.get('upgrade') !== undefined) return 'upgrade';
  return method === 'HEAD' ? 'head' : 'plain';
}

export function responseRule(kind: RequestKind, status: number): BodyRule {
  if (kind === 'upgrade' && status === 101) return 'tunnel';
  if (kind === 'connect' && status >= 200 && status < 300) return 'tunnel';
  return kind === 'head' || isBodiless(status) ? 'none' : 'body';
}

const isBodiless = (status: number): boolean => status < 200 || status === 204 || status === 304;
const forbidsLength = (status: number): boolean => status < 200 || status === 204;

function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

/** What the filter has written of the length. */
type Written = 'nothing' | 'removed' | 'wrong' | number;
/** How the headers go: as they came, without a length, or with this one. */
type Shown = 'as it came' | 'none' | number;

/** One message of a stream. */
export class Framing {
  private readonly direction: Direction;
  private readonly lines: HeaderLines;
  private readonly kind: RequestKind;
  /** The headers ended it. */
  private readonly end: boolean;
  private written: Written = 'nothing';
  private shown: Shown = 'as it came';
  /** By headers that go before the body is complete. */
  private promised: number | undefined;
  private read = 0;
  private count = 0;
  /** No byte of a body may go on. */
  dropsBody = false;

  constructor(direction: Direction, lines: HeaderLines, kind: RequestKind, end: boolean) {
    this.direction = direction;
    this.lines = lines;
    this.kind = kind;
    this.end = end;
  }

  get isTunnel(): boolean {
    return this.rule() === 'tunnel';
  }

  /** The length that came with it. */
  get came(): number | undefined {
    return numberOf(this.lines.get(LENGTH));
  }

  /** False: the operation is about something else. */
  write(op: HeaderOp, name: string, value: string): boolean {
    const lower = name.toLowerCase();
    if (lower === ENCODING) return true;
    if (lower !== LENGTH) return false;
    this.written = op === HeaderOp.Delete ? 'removed' : (numberOf(value) ?? 'wrong');
    return true;
  }

  /** Bytes of the message that came. */
  took(bytes: number): void {
    this.read += bytes;
  }

  /** Bytes of what is made of it. False: more than was promised. */
  made(bytes: number): boolean {
    this.count += bytes;
    return this.promised === undefined || this.count <= this.promised;
  }

  // ---- how the headers may go; false: the length that the filter has written is wrong ----

  /** Before the body is complete. */
  open(): boolean {
    this.promised = undefined;
    const rule = this.rule();
    if (rule === 'tunnel') return true;
    if (rule === 'none') return this.withoutBody();
    if (this.written === 'wrong') return false;
    if (typeof this.written !== 'number') return this.show('none');
    this.promised = this.written;
    return this.show(this.written) && this.count <= this.written;
  }

  /** The rest will be as it came: so many bytes that are at the host, and what is still to come. */
  letGo(atHost: number): boolean {
    if (!this.open()) return false;
    if (this.shown !== 'none' || this.written !== 'nothing') return true;
    const all = this.came;
    if (all === undefined || all < this.read) return true;
    this.promised = this.count + atHost + all - this.read;
    return this.show(this.promised);
  }

  /** All of the body has been made. `bare`: only where the filter names a length. */
  complete(bare: boolean): boolean {
    this.promised = undefined;
    const rule = this.rule();
    if (rule === 'tunnel') return true;
    if (rule === 'none') return this.withoutBody();
    if (this.written === 'wrong' || (typeof this.written === 'number' && this.written !== this.count)) return false;
    const hasOne = this.end || (this.written === 'nothing' && this.came !== undefined);
    return this.show(typeof this.written === 'number' || (hasOne && !bare) ? this.count : 'none');
  }

  /** The rest is as it came; where all of it is here, it is so many bytes. */
  pass(rest: number | undefined): boolean {
    this.promised = undefined;
    this.shown = 'as it came';
    const rule = this.rule();
    if (rule === 'tunnel') return true;
    if (rule === 'none') return this.withoutBody();
    const endedByHeaders = this.direction === Direction.Response && this.end;
    const isChanged = this.count !== this.read || endedByHeaders;
    if (this.written === 'nothing' && !isChanged && rest === undefined) return true;
    const length = this.lengthWith(rest);
    if (this.written === 'wrong') return false;
    if (this.written === 'removed') return this.show('none');
    if (typeof this.written === 'number') {
      if (length === undefined) return this.show('none');
      return this.show(this.written) && length === this.written;
    }
    if (length === undefined) return isChanged ? this.show('none') : true;
    return endedByHeaders && this.count === 0 && this.came === undefined ? true : this.show(length);
  }

  /** They go now. */
  go(): void {
    const { shown, lines } = this;
    if (shown === 'none') lines.delete(LENGTH);
    else if (shown !== 'as it came' && lines.get(LENGTH) !== String(shown)) lines.set(LENGTH, String(shown));
  }

  // ---- the headers have gone; false: not what they promised ----

  get isKept(): boolean {
    return this.promised === undefined || this.promised === this.count;
  }

  /** All that was promised is here: the last of it waits for the filter's end. */
  get isFull(): boolean {
    return this.promised !== undefined && this.promised <= this.count;
  }

  /** Nothing is counted from here on. */
  isKeptByPassing(rest: number | undefined): boolean {
    const { promised } = this;
    this.promised = undefined;
    return promised === undefined || promised === this.lengthWith(rest);
  }

  // ---- inside ----

  private get status(): number {
    return numberOf(this.lines.get(':status')) ?? 0;
  }

  private rule(): BodyRule {
    if (this.direction === Direction.Response) return responseRule(this.kind, this.status);
    return this.kind === 'connect' || this.kind === 'upgrade' ? 'tunnel' : 'body';
  }

  /** Of the whole message as it goes on. */
  private lengthWith(rest: number | undefined): number | undefined {
    if (this.end) return this.count;
    const all = this.came;
    if (all !== undefined && all >= this.read) return this.count + all - this.read;
    return rest === undefined ? undefined : this.count + rest;
  }

  /** The length of an answer to HEAD, or of a 304, is that of the body which a GET would get. */
  private withoutBody(): boolean {
    this.dropsBody = true;
    if (this.written === 'wrong') return false;
    if (this.written === 'removed' || forbidsLength(this.status)) return this.show('none');
    if (typeof this.written === 'number') return this.show(this.written);
    const all = this.came;
    return all !== undefined && this.count > this.read ? this.show(all + this.count - this.read) : true;
  }

  private show(shown: Shown): true {
    this.shown = shown;
    return true;
  }
}

/** A reply that a filter makes. */
export class ReplyFraming {
  readonly hasBody: boolean;
  /** Of a whole reply: the body gives the length, also where HEAD hides it. */
  readonly hasLength: boolean;
  /** False: the headers name a length that is none. */
  readonly isValid: boolean = true;
  private readonly promised: number | undefined;
  private count = 0;

  /** Takes out of the lines what an answer to that request may not have. `end`: nothing follows them. */
  constructor(kind: RequestKind, status: number, lines: HeaderLines, end: boolean) {
    const rule = responseRule(kind, status);
    this.hasBody = rule === 'body';
    this.hasLength = this.hasBody || (kind === 'head' && !isBodiless(status));
    const text = lines.get(LENGTH);
    const length = numberOf(text);
    if (text !== undefined && length === undefined) this.isValid = false;
    lines.delete(ENCODING);
    const keeps = !forbidsLength(status) && rule !== 'tunnel';
    if (!keeps || (this.hasBody && !end && length === 0)) lines.delete(LENGTH);
    if (this.hasBody && !(!end && length === 0)) this.promised = length;
  }

  get namesLength(): boolean {
    return this.promised !== undefined;
  }

  /** False: more than was promised. */
  made(bytes: number): boolean {
    this.count += bytes;
    return this.promised === undefined || this.count <= this.promised;
  }

  get isKept(): boolean {
    return this.promised === undefined || this.promised === this.count;
  }

  get isFull(): boolean {
    return this.promised !== undefined && this.promised <= this.count;
  }
}
