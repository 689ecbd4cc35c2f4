/** Every error that a call can end with, in one closed table; the README explains each. */

/** Code → what it means, one line. */
export const CALLS_ERRORS = {
  CALLS_ARGUMENT: 'an option, a method or a payload is of the wrong type or out of range',
  CALLS_TOO_LARGE: 'a payload or an answer does not fit into a frame of 16 MiB',
  CALLS_BUSY: 'as many calls, or as many bytes, wait for this runtime as it may have',
  CALLS_START_FAILED: 'the runtime could not be started, or did not say hello in time',
  CALLS_LOAD_FAILED: 'the runtime has no part of that name, or its init failed',
  CALLS_DOWN: 'the runtime keeps failing and is not started again yet; `cause` is its last failure',
  CALLS_DIED: 'the runtime ended before it answered',
  CALLS_PROTOCOL: 'the runtime sent what the protocol does not allow',
  CALLS_STUCK: 'the runtime answered none of its calls any more and was ended',
  CALLS_METHOD: 'the runtime has no such method',
  CALLS_REMOTE: 'the method failed; `remoteCode` and the message are its own',
  CALLS_DEADLINE: 'no answer came in time',
  CALLS_CLOSED: 'the runtime was closed',
} as const;

/** A code of the README's table. Written as a pattern, so that a program that compares with an older code still compiles. */
export type CallsErrorCode = `CALLS_${Uppercase<string>}`;
export type KnownCallsErrorCode = keyof typeof CALLS_ERRORS;

/** What became of a call that failed; crosses threads, which an Error with members of its own does not. */
export interface Failure {
  readonly code: KnownCallsErrorCode;
  readonly message: string;
  readonly remoteCode?: string;
  readonly cause?: Failure;
}

// A filter may be bundled with a copy of this package of its own: errors are told by this brand, never by instanceof.
const brand: unique symbol = Symbol.for('envoy-ts-filter/calls.error') as never;

/** What a call rejects with, but for the reason of its signal. */
export class CallsError extends Error {
  readonly code: CallsErrorCode;
  /** With `CALLS_REMOTE`: the code that the runtime gave. */
  declare readonly remoteCode?: string; // declared: an error without one has no such member

  constructor({ code, message, remoteCode, cause }: Failure) {
    super(message, cause === undefined ? undefined : { cause: new CallsError(cause) });
    this.code = code;
    if (remoteCode !== undefined) this.remoteCode = remoteCode;
    Object.defineProperty(this, brand, { value: true });
  }

  override get name(): string {
    return 'CallsError';
  }

  /** True for any CallsError, also one made by another copy of this package. */
  static is(e: unknown): e is CallsError {
    return typeof e === 'object' && e !== null && (e as { [brand]?: unknown })[brand] === true;
  }
}
