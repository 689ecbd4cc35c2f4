/** The headers of a message behind one member: as it got them, with what it has made of them. */
import { applyOps, valueIn } from '../base/header-block.js';
import { Direction, type HeaderBlock, HeaderOp, type OpList } from '../base/wire.js';
import { isBodiless, LENGTH, lengthIn } from '../headers/framing.js';
import { NO_OPS } from '../headers/headers.js';
import type { Head, SaidLength } from './receiver.js';
import type { StageBody } from './stage-body.js';
import type { Message } from './stage-ports.js';

const EMPTY = new Uint8Array(0);
const NO_LEAD: readonly Uint8Array[] = [];

export class StageHead implements Head {
  lead: readonly Uint8Array[] = NO_LEAD;
  bodiless = false;
  /** Bytes that the member has put before the body. */
  added: Uint8Array = EMPTY;
  readonly before: Head;
  /** As the member got them. */
  readonly came: HeaderBlock;
  private readonly body: StageBody;
  private ops: OpList = NO_OPS;

  constructor(before: Head, body: StageBody) {
    this.before = before;
    this.came = before.block();
    this.body = body;
  }

  /** The member was given nothing but headers. */
  get alone(): boolean {
    return this.before.ends && this.before.lead.length === 0;
  }

  record(ops: OpList): void {
    this.ops = this.ops.length === 0 ? ops : [...this.ops, ...ops];
  }

  /** They go on. head: the request came as HEAD. */
  letGo({ direction, tunnel }: Message, head: boolean): void {
    this.bodiless = direction === Direction.Response && !tunnel && this.endsWithoutBody(head);
    if (this.bodiless) return;
    const past = this.body.takes ? NO_LEAD : this.before.lead;
    this.lead = this.added.length === 0 ? past : [this.added, ...past];
  }

  // ---- Head ----

  block(): HeaderBlock {
    const block = applyOps(this.came, this.ops);
    const { takes } = this.body;
    const { length } = this.added;
    if (this.bodiless || lengthIn(this.ops) !== undefined || (!takes && length === 0)) return block;
    const came = this.alone ? '0' : valueIn(block, LENGTH);
    if (came === undefined) return block;
    const made: OpList = takes ? [HeaderOp.Delete, LENGTH, ''] : [HeaderOp.Set, LENGTH, String(Number(came) + length)];
    return applyOps(block, made);
  }

  get ends(): boolean {
    return this.before.ends && !this.body.takes;
  }

  get taken(): boolean {
    return this.body.taken || this.before.taken;
  }

  get length(): SaidLength {
    const said = lengthIn(this.ops);
    if (said !== undefined) return said;
    if (this.body.takes || this.bodiless) return undefined;
    const before = this.before.length;
    return typeof before === 'number' ? before + this.added.length : before;
  }

  // ---- inside ----

  /** Of one whose status says so as it came, the module knows. */
  private endsWithoutBody(head: boolean): boolean {
    const { ops } = this;
    for (let i = ops.length - 3; i >= 0; i -= 3)
      if (ops[i + 1] === ':status') return isBodiless(Number(ops[i + 2]), head);
    return head || this.before.bodiless;
  }
}
