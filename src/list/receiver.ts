/**
 * What passes between two members of a list. A message goes from one `Receiver` to the next: a member, or behind the last
 * one Envoy or a reply. Where the message is one that the module holds, members have a `ModuleControl`, too.
 */
import type { HeaderBlock, HeaderType, OpList } from '../base/wire.js';

/** What is known of a piece of a body: bits, so that no object is made for each. */
export const Piece = {
  /** Its memory is nobody else's. */
  Owned: 1,
  /** It is the module's input, past every member so far: whoever is done with it acknowledges it. */
  Input: 2,
  /** The body ends with it. `end` follows: at once, or when the trailers are here. */
  Last: 4,
  /** With Last: trailers follow. */
  Trailers: 8,
} as const;

/** A length that is written behind a member: 'none' where it was taken away, undefined where nobody has a say. */
export type SaidLength = number | 'none' | undefined;

/** The headers of a message as they come out of whoever is before a receiver. */
export interface Head {
  /** Made when it is asked for: Envoy, for one, has no need of it. */
  block(): HeaderBlock;
  /** Nothing follows the headers but `lead`. */
  readonly ends: boolean;
  /** Bytes before the body that members have added and none has taken, the last member's first. */
  readonly lead: readonly Uint8Array[];
  /** It is an answer that has no body, whatever is made for it. */
  readonly bodiless: boolean;
  /** Some member has taken the body, if only for a while. */
  readonly taken: boolean;
  readonly length: SaidLength;
}

export interface Receiver {
  headers(head: Head): void;
  /** `traits` are bits of Piece. */
  data(bytes: Uint8Array, traits: number): void;
  /** The message is complete; `trailers` is the map behind it. */
  end(trailers: HeaderBlock | undefined): void;
  /** undefined: it takes more. A promise: it has enough, until that settles. */
  room(): Promise<void> | undefined;
}

/** What members do to a message of the module's, beside what they make of it. */
export interface ModuleControl {
  /** Operations on headers or trailers that Envoy has. */
  ops(type: HeaderType, ops: OpList): void;
  /** A member keeps its headers back; `whole`: it is the first that takes the body, and all at once. True: then the
   *  module bounds that body. */
  hold(whole: boolean): boolean;
  /** Bytes of its input that are done with. */
  acknowledge(bytes: number): void;
  /** A member has been asked for an answer, whose time the module may have to keep; and when nobody is asked any longer. */
  timed(on: boolean): void;
  /** The members have had their turn; `digested`: each has digested what it was given, and nothing waits between two. */
  turn(digested: boolean): void;
  /** The output is complete, but the input goes on. */
  drain(): void;
  /** No member takes the body any longer. True: the module sends no more of it. */
  letGo(): boolean;
}
