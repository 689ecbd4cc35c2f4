/**
 * Every error that a filter can meet, in one closed table. docs/errors.md explains each for people; a test holds the
 * two together.
 */
import { authorFrame } from '../base/places.js';
import type { Phase } from './types.js';

/** Code → what it means, one line. Codes are never reused and never change their meaning. */
export const ERROR_CODES = {
  // definitions and configs
  TSF_CONFIG_INVALID: 'a definition or a config was refused; `path` names the key',
  TSF_CONFIG_UNKNOWN: 'a stream named a config that this host does not have',
  TSF_FILTER_INVALID: 'create() returned something that is not a filter, or a filter with a mistake in it',
  // headers
  TSF_HEADERS_SENT: 'the headers have gone on and can only be read',
  TSF_HEADER_EMPTY: 'the value is empty, which Envoy cannot write; delete the header instead',
  TSF_HEADER_INVALID: 'the name or the value breaks the grammar of HTTP',
  TSF_HEADER_PSEUDO: 'that pseudo-header cannot be written or removed here',
  TSF_HEADER_REFUSED: "the operator's headers.allow / headers.deny forbid writing that header",
  // answers
  TSF_STATUS_INVALID: 'the hook answered a status that it cannot answer here',
  TSF_NO_REPLY: 'the hook answered LocalReply but no reply was made',
  TSF_NOT_RUNNING: 'continue() without a hook that answered Running',
  TSF_ALREADY_REPLIED: 'a reply was already made on this stream',
  TSF_REPLY_LATE: 'the response headers have gone, a reply is no longer possible',
  TSF_REPLY_INVALID: 'the reply has a bad status, header, body, gRPC status or details',
  // bodies
  TSF_BUFFER_GONE: 'a BodyBuffer was used after its hook had settled',
  TSF_WRONG_PHASE: 'that call is not possible in this phase',
  TSF_TRANSFORM_INVALID: 'a transform is not one of the three shapes, or did something that its shape cannot do',
  TSF_CHUNK_INVALID: 'a transform emitted something that is neither a Uint8Array nor a string',
  TSF_LENGTH_WRONG: 'a body is not as long as its content-length, or its sameLength, says',
  TSF_LINE_TOO_LONG: 'a line or an event is longer than the limit given to lines(), ndjson() or sse()',
  // life
  TSF_STREAM_ABORTED: 'the stream has died; `by` tells of what',
  TSF_STREAM_ENDED: 'the call came after the end of the stream',
  TSF_NOT_SUBSCRIBED: 'the request headers were never sent to this host',
  // reading from Envoy
  TSF_PROPERTY_UNKNOWN: 'Envoy has no attribute of that name',
  TSF_PROPERTY_STRUCTURED: 'the attribute is a map or a message, which modules cannot read',
  TSF_PROPERTY_NOT_FOUND: 'the attribute has no value on this stream, or not yet',
  // asking Envoy to do something
  TSF_CALL_CLUSTER: 'Envoy has no cluster of that name',
  TSF_CALL_FAILED: 'a call to a cluster got no answer, or not all of it',
  TSF_CALL_LIMIT: 'too much of the answer to a call waits to be read',
  TSF_METRIC_UNKNOWN: "the filter's configuration declares no such metric",
  TSF_METRIC_LABELS: 'the labels are not those that the metric was declared with',
  TSF_UNSUPPORTED: 'this Envoy is too old for that',
  TSF_UPSTREAM: 'an upstream HTTP filter cannot do that',
  // rest
  TSF_ARGUMENT_INVALID: 'an argument is of the wrong type or out of range',
  TSF_GLOBAL_FAILED: 'the thread of runtime.global has died, or its module does not load or lacks that function',
} as const;

/**
 * A code of docs/errors.md. Written as a pattern, so that a program that compares with an older code still compiles.
 *
 * @example
 * const harmless: readonly ErrorCode[] = ['TSF_STREAM_ABORTED', 'TSF_PROPERTY_NOT_FOUND'];
 * const mtls = await callbacks.getProperty('connection.mtls').catch((e: unknown) => {
 *   if (FilterError.is(e) && harmless.includes(e.code)) return false;
 *   throw e;
 * });
 * headers.set('x-mtls', String(mtls));
 */
export type ErrorCode = `TSF_${Uppercase<string>}`;
/** The codes that this version has. */
export type KnownErrorCode = keyof typeof ERROR_CODES;

// A filter may be bundled with a copy of this package of its own: errors are told by this brand, never by instanceof.
const brand: unique symbol = Symbol.for('envoy-ts-filter.error') as never;

/**
 * The base of all errors of this package.
 *
 * @example
 * try {
 *   headers.set('x-note', callbacks.request.get('x-from-outside') ?? '');
 * } catch (e) {
 *   if (!FilterError.is(e) || e.code !== 'TSF_HEADER_EMPTY') throw e;
 * }
 */
export class FilterError extends Error {
  /** What went wrong; see docs/errors.md. */
  readonly code: ErrorCode;
  /** The hook or transform that was running, where that says something. */
  declare readonly phase?: Phase; // declared: an error without one has no such member

  constructor(code: KnownErrorCode, message: string, phase?: Phase, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    if (phase !== undefined) this.phase = phase;
    Object.defineProperty(this, brand, { value: true });
  }

  override get name(): string {
    return 'FilterError';
  }

  /** True for any FilterError, also one made by another copy of this package. */
  static is(e: unknown): e is FilterError {
    return typeof e === 'object' && e !== null && (e as { [brand]?: unknown })[brand] === true;
  }
}

/**
 * A definition or a config was refused. Throw it from `parseConfig` to name the key.
 *
 * @example
 * parseConfig(raw) {
 *   const greeting = raw ?? 'hello';
 *   if (typeof greeting !== 'string') throw new ConfigError('', 'must be a string');
 *   return greeting;
 * }
 */
export class ConfigError extends FilterError {
  /** Where in the config, as `a.b[2]`; empty for the whole. */
  readonly path: string;

  constructor(path: string, message: string) {
    super('TSF_CONFIG_INVALID', path === '' ? message : `${path}: ${message}`);
    this.path = path;
  }

  override get name(): string {
    return 'ConfigError';
  }
}

/** What ended a stream before its time. `complete`: nothing failed, but a hook, a transform or a call was still at work,
 *  say on a request that the upstream did not read to its end. `dropped`: with `observe_only`, what went by was more than
 *  the filter could be told. */
export type AbortedBy = 'complete' | 'downstream' | 'upstream' | 'timeout' | 'local_reply' | 'host_drain' | 'dropped';

const ABORTED: { readonly [by in AbortedBy]: string } = {
  complete: 'the response is complete, and nobody waits for the rest',
  downstream: 'the client went away',
  upstream: 'the upstream went away',
  timeout: 'the answer came too late',
  local_reply: 'Envoy or another filter replied instead',
  host_drain: 'this host is being replaced and its drain time is over',
  dropped: 'it is only observed, and more went by than could be told',
};

/**
 * The reason of `callbacks.signal`, and what a body that is read rejects with when its stream dies.
 *
 * @example
 * callbacks.signal.addEventListener('abort', () => {
 *   const reason = callbacks.signal.reason as StreamAbortedError;
 *   if (reason.by === 'downstream') callbacks.log.info('the client has left');
 * });
 */
export class StreamAbortedError extends FilterError {
  readonly by: AbortedBy;

  constructor(by: AbortedBy) {
    super('TSF_STREAM_ABORTED', `stream aborted: ${ABORTED[by]}`);
    this.by = by;
  }

  override get name(): string {
    return 'StreamAbortedError';
  }
}

/** One line that tells an operator what a filter threw: name, code, message, and the author's first place in its stack. */
export function describeError(e: unknown): string {
  try {
    if (!(e instanceof Error) && !FilterError.is(e))
      return `threw ${typeof e === 'string' ? JSON.stringify(e) : String(e)}`;
    const code = (e as { code?: unknown }).code;
    const head = `${e.name}${typeof code === 'string' ? ` ${code}` : ''}: ${e.message.split('\n', 1)[0] ?? ''}`;
    const stack = e.stack ?? '';
    const at = authorFrame(stack) ?? /\n\s+at (.+)/.exec(stack)?.[1];
    return at === undefined ? head : `${head} (at ${at})`;
  } catch {
    return 'threw something that cannot be shown'; // a getter of the thrown value threw
  }
}
