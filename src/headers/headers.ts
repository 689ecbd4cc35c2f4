/**
 * Header maps over a block as it came from Envoy. Most filters read one or two headers and write one: a read looks
 * through the packed bytes, a write is only recorded. The lines are decoded into two flat lists the first time that a
 * read meets earlier writes, or somebody goes over all of them.
 */
import { FilterError } from '../api/errors.js';
import { findLine, HeaderLines, type Latin1Buffer, latin1Buffer, valueAt } from '../base/header-block.js';
import { checkValue, type HeaderRules, type HeaderWrite, statusOf, TYPE_NAMES } from './header-rules.js';
import type { HeaderMap, RequestHeaders, ResponseHeaders } from '../api/types-data.js';
import { type HeaderBlock, HeaderOp, HeaderType, type OpList } from '../base/wire.js';

/** No operations; never written to. */
export const NO_OPS: OpList = [];

/** What a map asks about when it is written. */
export interface HeaderOwner {
  /** The hook or transform that is running, for messages. */
  readonly phase: string | undefined;
  readonly rules: HeaderRules;
}

export class HeaderMapImpl implements HeaderMap {
  protected readonly owner: HeaderOwner;
  readonly type: HeaderType;
  private readonly block: Latin1Buffer;
  private readonly count: number;
  /** Undefined until somebody needs all of them. */
  private lines: HeaderLines | undefined;
  private ops: OpList = NO_OPS;
  /** False once they went on. */
  held: boolean;
  /** The content-length that the filter has written; undefined: none. */
  writtenLength: number | undefined;

  constructor(owner: HeaderOwner, type: HeaderType, block: HeaderBlock, held: boolean) {
    this.owner = owner;
    this.type = type;
    this.block = latin1Buffer(block.bytes);
    this.count = block.count;
    this.held = held;
  }

  // ---- reading ----

  get(name: string): string | undefined {
    const lower = this.lookup(name);
    return this.untouched ? this.came(lower) : this.all().get(lower);
  }

  getAll(name: string): string[] {
    const lower = this.lookup(name);
    if (this.untouched && findLine(this.block, this.count, lower) < 0) return [];
    const { names, values } = this.all();
    const found: string[] = [];
    for (let i = 0; i < names.length; i++) if (names[i] === lower) found.push(values[i]!);
    return found;
  }

  getRaw(name: string): Uint8Array | undefined {
    const value = this.get(name);
    return value === undefined ? undefined : Uint8Array.from(Buffer.from(value, 'latin1'));
  }

  has(name: string): boolean {
    const lower = this.lookup(name);
    if (this.untouched) return findLine(this.block, this.count, lower) >= 0;
    return this.all().names.includes(lower);
  }

  get size(): number {
    return this.untouched ? this.count : this.all().names.length;
  }

  *[Symbol.iterator](): Iterator<[name: string, value: string]> {
    // A copy: writes while somebody iterates neither skip nor repeat lines.
    yield* [...this.all()];
  }

  toHeaders(): Headers {
    const headers = new Headers();
    for (const [name, value] of this) if (!name.startsWith(':')) headers.append(name, value);
    return headers;
  }

  // ---- writing ----

  set(name: string, value: string): this {
    const lower = this.writable('set', name);
    checkValue(lower, value);
    if (lower === 'content-length') this.writtenLength = Number(value);
    this.write(HeaderOp.Set, lower, value);
    return this;
  }

  add(name: string, value: string): this {
    const lower = this.writable('add', name);
    checkValue(lower, value);
    if (lower === 'content-length') this.writtenLength = Number(value);
    this.write(HeaderOp.Add, lower, value);
    return this;
  }

  delete(name: string): this {
    const lower = this.writable('delete', name);
    if (lower === 'content-length') this.writtenLength = undefined;
    this.write(HeaderOp.Delete, lower, '');
    return this;
  }

  // ---- for the stream ----

  /** A write of our own: no rule of the operator's or of HTTP's forbids it. */
  write(op: HeaderOp, name: string, value: string): void {
    if (this.ops === NO_OPS) this.ops = [op, name, value];
    else this.ops.push(op, name, value);
    this.lines?.write(op, name, value);
  }

  /** The length that the filter stands for. */
  writeLength(length: number): void {
    this.writtenLength = length;
    this.write(HeaderOp.Set, 'content-length', String(length));
  }

  /** Throws unless the map is held; `call` is how the author knows it. */
  assertHeld(call: string): void {
    if (this.held) return;
    const where = this.owner.phase === undefined ? '' : ` in ${this.owner.phase}`;
    throw new FilterError(
      'TSF_HEADERS_SENT',
      `${call}${where}: the ${TYPE_NAMES[this.type] ?? 'headers'} have gone on`,
    );
  }

  get hasOps(): boolean {
    return this.ops.length !== 0;
  }

  /** The operations since the last time, for the sink. Reads go on seeing them. */
  takeOps(): OpList {
    if (this.ops.length === 0) return NO_OPS;
    this.all();
    return this.drop();
  }

  /** The same when the map is let go: only a later read pays for decoding. */
  release(): OpList {
    const { ops } = this;
    this.held = false;
    if (ops.length !== 0 && this.lines === undefined) this.late = ops;
    return this.drop();
  }

  /** `content-length` as it came, as a number. */
  contentLength(): number | undefined {
    const text = this.came('content-length');
    return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
  }

  // ---- inside ----

  /** Operations that were handed over but not applied to the lines yet. */
  private late: OpList | undefined;

  /** Nothing decoded, nothing written: the block says it all. */
  private get untouched(): boolean {
    return this.lines === undefined && this.ops.length === 0 && this.late === undefined;
  }

  private drop(): OpList {
    const { ops } = this;
    this.ops = NO_OPS;
    return ops;
  }

  private writable(write: HeaderWrite, name: string): string {
    if (!this.held) this.assertHeld(`headers.${write}(${JSON.stringify(name)})`);
    return this.owner.rules.name(this.type, write, name);
  }

  private lookup(name: string): string {
    const lower = name.toLowerCase();
    return lower === 'host' && this.type === HeaderType.Request ? ':authority' : lower;
  }

  /** The first line of that name as it came, whatever was written since. */
  private came(lower: string): string | undefined {
    const at = findLine(this.block, this.count, lower);
    if (at < 0) return undefined;
    return valueAt(this.block, at, lower);
  }

  /** Decoded now at the latest. */
  private all(): HeaderLines {
    if (this.lines !== undefined) return this.lines;
    const { block: bytes, count, late, ops } = this;
    const lines = (this.lines = HeaderLines.of({ bytes, count }));
    if (late !== undefined) lines.apply(late);
    this.late = undefined;
    return lines.apply(ops);
  }
}

export class RequestHeadersImpl extends HeaderMapImpl implements RequestHeaders {
  get scheme(): string {
    return this.get(':scheme') ?? '';
  }
  set scheme(value: string) {
    this.set(':scheme', value);
  }
  get method(): string {
    return this.get(':method') ?? '';
  }
  set method(value: string) {
    this.set(':method', value);
  }
  get path(): string {
    return this.get(':path') ?? '';
  }
  set path(value: string) {
    this.set(':path', value);
  }
  get host(): string {
    return this.get(':authority') ?? '';
  }
  set host(value: string) {
    this.set(':authority', value);
  }

  /** Ordered with the writes. */
  routeCache(op: typeof HeaderOp.ClearRouteCache | typeof HeaderOp.RefreshRouteCache): void {
    this.write(op, '', '');
  }
}

export class ResponseHeadersImpl extends HeaderMapImpl implements ResponseHeaders {
  get status(): number {
    return Number(this.get(':status') ?? 0);
  }
  set status(value: number) {
    this.set(':status', String(statusOf(value)));
  }
}
