/** What a flow of the module's consists of, and what it needs of its stream. */
import type { HeaderLines } from '../../base/header-block.js';
import { type CreditOf, Direction, type HeaderType, PhaseBit } from '../../base/wire.js';
import type { Failure } from './failures.js';
import type { RequestKind } from './framing.js';
import { Pieces } from './passage.js';

/** The keys of `filter_config` that bound a flow. */
export interface FlowSettings {
  readonly messageTimeoutMs: number;
  readonly streamWindow: number;
  readonly maxBodyBytes: number;
  readonly maxPendingOutput: number;
  /** Body bytes of one frame at most. */
  readonly pieceBytes: number;
}

/** What a flow needs of its stream. */
export interface FlowOwner {
  readonly settings: FlowSettings;
  readonly kind: RequestKind;
  readonly isGrpc: boolean;
  /** The filter's answers still count. */
  readonly isLive: boolean;
  /** Hooks that the filter has. */
  readonly phases: number;
  toHost(type: HeaderType, lines: HeaderLines, flags: number): void;
  data(direction: Direction, flags: number, bytes: Uint8Array): void;
  credit(of: CreditOf, bytes: number): void;
  fail(failure: Failure): void;
}

export const bodyPhases = (direction: Direction): number =>
  direction === Direction.Request
    ? PhaseBit.decodeData | PhaseBit.transformRequest
    : PhaseBit.encodeData | PhaseBit.transformResponse;

export const headerPhases = (direction: Direction): number =>
  bodyPhases(direction) | (direction === Direction.Request ? PhaseBit.decodeHeaders : PhaseBit.encodeHeaders);

export const trailerPhase = (direction: Direction): number =>
  direction === Direction.Request ? PhaseBit.decodeTrailers : PhaseBit.encodeTrailers;

export const ENCODE_PHASES =
  PhaseBit.encodeHeaders | PhaseBit.encodeData | PhaseBit.encodeTrailers | PhaseBit.transformResponse;

export type InputEnd = 'open' | 'in' | 'trailers';

/** What has come, and how much of it the host was told. */
export class Input {
  end: InputEnd = 'open';
  trailers: HeaderLines | undefined;
  trailersAre: 'none' | 'here' | 'told' | 'answered' = 'none';
  /** The host sees the body, so it sees and answers the trailers too. */
  hosted = false;
  endTold = false;
  /** Bytes at the host, not acknowledged. */
  outstanding = 0;
}

/** What the host has made of it. */
export class Output {
  readonly waiting = new Pieces();
  /** But for what the trailers hook adds. */
  complete = false;
  /** Bytes that the host has not been credited for. */
  uncredited = 0;
}
