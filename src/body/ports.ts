/** What a body that goes through the author's code needs of those around it, narrowest first. */
import type { KnownErrorCode } from '../api/errors.js';
import type { Phase, StatusType, StreamFilter } from '../api/types.js';
import type { HeaderMap } from '../api/types-data.js';
import type { FilledDeps } from '../base/deps.js';
import { type Direction, type HeaderType } from '../base/wire.js';
import type { HeaderMapImpl, HeaderOwner } from '../headers/headers.js';
import type { FlowOutput } from './output.js';

/** The author's filter, and the way in which its code is run. */
export interface Author extends HeaderOwner {
  readonly filter: StreamFilter;
  /** What runs, or is waited for. */
  readonly phase: Phase | undefined;
  /** Aborts with the stream. */
  readonly signal: AbortSignal;
  /** Runs the author's code in the stream's async context. */
  run<R>(phase: Phase | undefined, fn: (...args: never[]) => R, self: unknown, a?: unknown, b?: unknown): R;
  /** An error where the answer no longer matters. */
  lateError(phase: Phase, error: unknown): void;
}

/** A stream, as its two flows see it. */
export interface FlowStream {
  readonly author: Author;
  readonly deps: FilledDeps;
  /** The request came as HEAD. */
  readonly head: boolean;
  /** See OutputOwner. */
  readonly ackAt: number;
  /** For a body that is gathered here. */
  readonly maxBodyBytes: number;
  /** A body that is gathered here is larger than that. */
  bodyTooLarge(direction: Direction): void;
  /** The author made a mistake: the stream fails. `type`: how the failure is addressed. */
  authorError(type: HeaderType, phase: Phase, error: unknown): void;
  /** Work of the author's has settled although nobody waits for it. */
  settledLate(): void;
}

export type HookKind = 'headers' | 'data' | 'trailers';
export type PhaseNames = { readonly [K in HookKind | 'transform']: Phase };
const PHASES: readonly [PhaseNames, PhaseNames] = [
  { headers: 'decodeHeaders', data: 'decodeData', trailers: 'decodeTrailers', transform: 'transformRequest' },
  { headers: 'encodeHeaders', data: 'encodeData', trailers: 'encodeTrailers', transform: 'transformResponse' },
];

export function phasesOfDirection(direction: Direction): PhaseNames {
  return PHASES[direction];
}

/** The author's hook of that kind, where the filter has one. */
export function hookOf(filter: StreamFilter, direction: Direction, kind: HookKind): Hook | undefined {
  return filter[PHASES[direction][kind] as 'decodeHeaders'] as Hook | undefined;
}

export type Hook = (...args: unknown[]) => unknown;

/** Whoever has called a hook is told what it came to; neither Running nor LocalReply. */
export interface HookCaller {
  hookSettled(kind: HookKind, status: StatusType): void;
}

/** The author's hooks of one direction, one at a time. */
export interface HookRunner {
  call(kind: HookKind, caller: HookCaller, hook: Hook, a: unknown, b?: unknown): void;
}

/** Whoever runs a body through the author's code has these of the flow. */
export interface BodyHost {
  readonly author: Author;
  readonly hooks: HookRunner;
  readonly direction: Direction;
  readonly names: PhaseNames;
  /** No more answers from here: failed, replied or ended. */
  readonly dead: boolean;
  readonly out: FlowOutput;
  readonly headers: HeaderMapImpl;
  /** The input has ended and trailers come after it. */
  readonly trailersFollow: boolean;
  /** All of the body comes at once: it was stopped before it began. */
  readonly whole: boolean;
  /** undefined: go on. A promise: what is made has nowhere to go before it settles. */
  room(): Promise<void> | undefined;
  /** The message's trailers, undefined without. Rejects when the stream ends before they come. */
  trailersSoon(): Promise<HeaderMap | undefined>;
  /** The author's code threw, or made what cannot be. */
  failed(error: unknown): void;
  fault(phase: Phase, code: KnownErrorCode, message: string): void;
  /** For a body that is gathered here; over it, `tooLarge`. */
  readonly maxBodyBytes: number;
  tooLarge(): void;
  settledLate(): void;
  /** The input is dealt with, and the output complete but for `tail`. */
  finish(tail: Uint8Array | undefined): void;
  /** The filter lets go: what it had not consumed comes back, and so does what is on its way here. */
  letPass(rest: Uint8Array[]): void;
}

/** Runs a body through the author's code. */
export interface BodyDriver {
  /** The headers have been answered and the body streams: the author's code may begin, or asks at once. */
  start(): void;
  /** Bytes in order; `last` once. Only called while the flow is alive. */
  data(bytes: Uint8Array, last: boolean): void;
  /** The stream died or the flow was taken over. */
  abort(error: Error): void;
  /** Author's code has not finished. */
  readonly busy: boolean;
}
