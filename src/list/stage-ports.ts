/** What a stage of a message has at its sides: the member in it, and the message that it is a stage of. */
import type { BodyMode, Direction, Follows, HeaderBlock, HeaderType, OpList } from '../base/wire.js';
import type { ModuleControl, Receiver } from './receiver.js';
import type { StageBody } from './stage-body.js';

/** What a message is, before anybody has seen it. */
export interface Message {
  readonly direction: Direction;
  readonly block: HeaderBlock;
  /** Nothing follows the headers. */
  readonly headersOnly: boolean;
  /** What follows is no body. */
  readonly tunnel: boolean;
  /** It is here already, all of it: nothing has to bound what a member gathers. */
  readonly here: boolean;
}

export interface Limits {
  /** The request came as HEAD. */
  readonly head: boolean;
  readonly window: number;
  readonly maxBodyBytes: number;
}

/** A member, as a message meets it. */
export interface StageMember {
  /** Phase bits. */
  readonly bits: number;
  /** Whether messages of that direction are its business. */
  partOf(direction: Direction): boolean;
  /** Its answers are about this message from now on. */
  place(direction: Direction, place: MemberPlace): void;
  headers(message: Message, block: HeaderBlock, endStream: boolean): void;
  data(direction: Direction, bytes: Uint8Array, follows: Follows): void;
  trailers(direction: Direction, block: HeaderBlock): void;
  /** A body that is gathered for it is over the limit. */
  bodyTooLarge(direction: Direction): void;
}

/** What a member says to a message; the arguments are those of StreamSink. */
export interface MemberPlace {
  answer(type: HeaderType, mode: BodyMode, ops: OpList): void;
  record(type: HeaderType, ops: OpList): void;
  output(flags: number, acknowledged: number, bytes: Uint8Array | undefined, owned: boolean): void;
  backpressure(): Promise<void> | undefined;
}

/** The message, as its stages have it. */
export interface StagePass {
  readonly message: Message;
  readonly limits: Limits;
  /** Where the module holds the message. */
  readonly control: ModuleControl | undefined;
  /** Nothing comes of it any more. */
  readonly dead: boolean;
  /** Whoever comes behind the last stage that there is. */
  next(): Receiver;
  /** Members answer inside of what they are told: when the outermost call ends, the members have had their turn. */
  enter(): void;
  leave(): void;
  /** A member keeps the headers back. True: the source bounds the body that it is the first to take, all at once. */
  hold(body: StageBody, whole: boolean): boolean;
  /** A member is asked for an answer; anew: it was not waited for. */
  asked(anew: boolean): void;
  answered(): void;
}
