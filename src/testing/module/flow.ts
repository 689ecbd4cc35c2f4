/**
 * One direction of a stream in the module: what Envoy gives to the host, and what comes back, as `cpp/core/flow*.cc` do it
 * (docs/lifecycle.md, "One flow").
 */
import type { HeaderLines } from '../../base/header-block.js';
import {
  BodyMode,
  CreditOf,
  Direction,
  headersOf,
  HeaderType,
  type OpList,
  OutputFlag,
  trailersOf,
} from '../../base/wire.js';
import { HeadersFlag } from '../../channel/codec/index.js';
import type { Said } from '../frames.js';
import { FAILURES } from './failures.js';
import { FlowInput } from './flow-input.js';
import { headerPhases } from './flow-parts.js';
import type { FlowEvent } from './states.js';

export class ModuleFlow extends FlowInput {
  // ---- Envoy's hooks ----

  /** `context`: the request's headers go before them, for information. */
  begin(context: HeaderLines | undefined): void {
    const { direction, owner } = this;
    if ((owner.phases & headerPhases(direction)) === 0) {
      this.move('skip');
      this.advance();
      return;
    }
    this.move('ask');
    this.time();
    if (context !== undefined) owner.toHost(HeaderType.Request, context, HeadersFlag.Context);
    const flags = (this.headersOnly ? HeadersFlag.EndStream : 0) | (this.framing.isTunnel ? HeadersFlag.Upgrade : 0);
    owner.toHost(headersOf(direction), this.lines, flags);
  }

  came(bytes: Uint8Array, last: boolean): void {
    if (this.state === 'replied') return;
    this.passage.input.push(bytes);
    if (last) this.input.end = 'in';
    this.timeGathered();
    this.advance();
  }

  trailersCame(lines: HeaderLines): void {
    if (this.state === 'replied') return;
    const { input } = this;
    input.end = 'trailers';
    input.trailers = lines;
    input.trailersAre = 'here';
    if (this.state === 'passing' && this.wantsTrailers) {
      this.absorbInput();
      this.letGo = true;
      this.move('trailers');
    }
    this.timeGathered();
    this.advance();
  }

  /** A reply is in its place. */
  reply(): void {
    this.output.waiting.clear();
    this.gathered.clear();
    this.deadline.stop();
    this.move('reply');
    this.passage.drop();
  }

  extend(milliseconds: number): void {
    this.deadline.extend(milliseconds);
  }

  // ---- from the host ----

  onAnswer(said: Extract<Said, { is: 'answer' }>): void {
    if (said.type === trailersOf(this.direction)) {
      if (this.input.trailersAre !== 'told') return;
      this.input.trailers!.apply(said.ops);
      this.input.trailersAre = 'answered';
      this.deadline.stop();
      this.advance();
      return;
    }
    if (this.state !== 'asked') return;
    this.applyOps(said.ops);
    this.deadline.stop();
    const { mode } = said;
    if (mode === BodyMode.Pass || this.headersOnly || this.framing.isTunnel) this.goBy();
    else {
      this.input.hosted = true;
      this.move(mode === BodyMode.Whole ? 'gather' : 'stream');
      this.whole = mode === BodyMode.Whole;
      this.hold = mode !== BodyMode.Stream;
      this.timeGathered();
      if (!this.hold) this.letHeadersGo();
    }
    this.advance();
  }

  onOps(said: Extract<Said, { is: 'ops' }>): void {
    if (said.type === trailersOf(this.direction)) this.input.trailers?.apply(said.ops);
    else if (!this.headersGone && !this.letGo) this.applyOps(said.ops);
  }

  onOutput({ flags, acknowledged, bytes }: Extract<Said, { is: 'output' }>): void {
    this.input.outstanding -= acknowledged;
    if (!this.owner.isLive) return;
    const added = (flags & OutputFlag.Added) !== 0;
    switch (this.state) {
      case 'asked':
        this.take(bytes);
        this.giveCredit();
        return;
      case 'ending':
        if (added && !this.output.complete && this.input.trailersAre !== 'answered') this.take(bytes);
        return;
      case 'streaming':
      case 'gathering':
      case 'letting go':
        break;
      default:
        return;
    }
    this.deadline.stop();
    this.whole = false;
    if (!this.take(bytes)) return;
    this.takeFlags(flags);
    this.advance();
  }

  override advance(): void {
    if (this.state === 'passing') {
      this.passOn();
      return;
    }
    if (!this.owner.isLive) return;
    this.send();
    this.give();
    if (!this.owner.isLive) return;
    this.giveCredit();
    this.send();
  }

  // ---- what came back ----

  private applyOps(ops: OpList): void {
    for (let i = 0; i < ops.length; i += 3) {
      const [op, name, value] = [ops[i] as 0 | 1 | 2, ops[i + 1] as string, ops[i + 2] as string];
      if (!this.framing.write(op, name, value)) this.lines.write(op, name, value);
    }
  }

  private take(bytes: Uint8Array): boolean {
    if (!this.framing.dropsBody) this.output.waiting.push(bytes);
    this.output.uncredited += bytes.length;
    if (!this.framing.made(bytes.length)) this.owner.fail(FAILURES.wrongLength);
    else if (this.output.waiting.length > this.owner.settings.maxPendingOutput) this.owner.fail(FAILURES.outputLimit);
    else return true;
    return false;
  }

  private takeFlags(flags: number): void {
    if ((flags & OutputFlag.Last) !== 0) {
      this.move('last');
      this.gathered.clear();
    } else if ((flags & OutputFlag.Bypass) !== 0) {
      this.move('let go');
      if (!this.headersGone && !this.framing.letGo(this.input.outstanding)) this.owner.fail(FAILURES.wrongLength);
    }
    if ((flags & OutputFlag.Release) !== 0) this.hold = false;
    if ((flags & OutputFlag.Timed) !== 0) this.time();
    if ((flags & (OutputFlag.Last | OutputFlag.Trailing)) !== 0) {
      this.output.complete = true;
      this.timeTrailers();
    }
  }

  private give(): void {
    if (this.state === 'gathering' && this.input.endTold && !this.whole) this.move('output');
    if (this.state === 'letting go' && this.input.outstanding === 0) this.finishLettingGo();
    if (this.isComplete) {
      if (!this.settleEnd()) this.owner.fail(FAILURES.wrongLength);
      else if (this.passage.finish(this.output.waiting, this.input.trailers)) {
        this.deadline.stop();
        this.move('end');
      }
      return;
    }
    if (this.state !== 'streaming' && this.state !== 'ending' && this.state !== 'letting go') return;
    if (this.output.waiting.length === 0 && this.hold) return;
    this.letHeadersGo();
    if (!this.owner.isLive || (this.framing.isFull && this.state !== 'ending')) return;
    this.passage.inject(this.output.waiting);
  }

  private get isComplete(): boolean {
    const { end, trailersAre } = this.input;
    if (this.state !== 'ending' || end === 'open') return false;
    return trailersAre === 'none' || trailersAre === 'answered' || !this.wantsTrailers;
  }

  private finishLettingGo(): void {
    this.framing.made(this.gathered.length);
    this.gathered.moveTo(this.output.waiting);
    if (this.input.trailersAre !== 'none' && this.wantsTrailers) {
      this.absorbInput();
      this.move('trailers');
    } else this.goBy('consumed');
  }

  /** From here on the message goes past the host. */
  private goBy(event: FlowEvent = 'pass'): void {
    if (this.input.trailersAre !== 'none' && this.wantsTrailers && event === 'pass') {
      // They came before this answer and are still to be asked for.
      this.absorbInput();
      this.letGo = true;
      this.move('trailers');
      return;
    }
    const rest = event === 'consumed' && this.input.end === 'in' ? this.passage.input.length : undefined;
    const isRight = this.headersGone ? this.framing.isKeptByPassing(rest) : this.framing.pass(rest);
    if (!isRight) {
      this.owner.fail(FAILURES.wrongLength);
      return;
    }
    this.letGo = true;
    if (this.framing.dropsBody) {
      this.output.waiting.clear();
      if (!this.headersOnly) {
        this.output.complete = true;
        this.input.hosted = false;
        this.move('drain');
        return;
      }
    }
    this.move(event);
    if (!this.headersOnly) this.passage.letHeadersGo(undefined, false);
  }

  private passOn(): void {
    const { passage, output, input } = this;
    passage.input.moveTo(output.waiting);
    const hasEnded = input.end === 'in' || (input.end === 'trailers' && input.trailersAre !== 'none');
    if (hasEnded) {
      if (passage.finish(output.waiting, input.trailers)) this.state = 'done';
    } else {
      passage.letHeadersGo(undefined, false);
      passage.inject(output.waiting);
    }
  }

  /** What the host never saw is the rest of the output. */
  private absorbInput(): void {
    const { input } = this.passage;
    this.framing.took(input.length);
    this.framing.made(input.length);
    input.moveTo(this.output.waiting);
  }

  private letHeadersGo(): void {
    if (this.letGo) return;
    if (!this.framing.open()) {
      this.owner.fail(FAILURES.wrongLength);
      return;
    }
    if (this.framing.dropsBody) this.output.waiting.clear();
    if (this.framing.isFull && this.state !== 'ending') return;
    this.letGo = true;
    this.passage.letHeadersGo(this.framing.came, this.input.end !== 'open');
  }

  private settleEnd(): boolean {
    if (this.headersGone) return this.framing.dropsBody || this.framing.isKept;
    const bare = this.input.trailersAre !== 'none' || this.owner.isGrpc;
    const isRight = this.input.hosted ? this.framing.complete(bare) : this.framing.pass(undefined);
    if (this.framing.dropsBody) this.output.waiting.clear();
    return isRight;
  }

  /** Half a window at a time. */
  private giveCredit(): void {
    const { streamWindow } = this.owner.settings;
    const { output } = this;
    if (output.uncredited < streamWindow / 2) return;
    if (output.waiting.length >= streamWindow && !this.framing.isFull) return;
    const of = this.direction === Direction.Request ? CreditOf.Request : CreditOf.Response;
    this.owner.credit(of, output.uncredited);
    output.uncredited = 0;
  }
}
