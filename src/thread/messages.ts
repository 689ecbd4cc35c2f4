/** What the main thread and a worker say to each other, by postMessage or, with `--workers 0`, by plain calls. */
import type { MessagePort } from 'node:worker_threads';
import type { FilterConfigMessage } from '../channel/codec/index.js';

/** A connection of a module, numbered by this process. */
export type ConnectionId = number;

export interface Verdict {
  readonly accepted: boolean;
  /** Not accepted, and not the last word: the filter cannot be loaded now. */
  readonly unavailable?: true;
  readonly message: string;
  readonly phases: number;
  readonly attributes: readonly number[];
  readonly stateless: boolean;
}

export function refusedVerdict(message: string): Verdict {
  return { accepted: false, message, phases: 0, attributes: [], stateless: false };
}

export interface ChannelFds {
  readonly outbound: number;
  readonly inbound: number;
  /** Envoy rings it, the host's thread polls it. */
  readonly hostBell: number;
  /** The host rings it. */
  readonly workerBell: number;
}

/** Descriptors stay the main thread's: it closes them when the worker has said so, or is gone. */
export type ToWorker =
  | {
      readonly type: 'judge';
      readonly connection: ConnectionId;
      readonly config: FilterConfigMessage;
      /** The module has its verdict: streams may come as soon as there is a channel. */
      readonly again: boolean;
    }
  | { readonly type: 'forget'; readonly connection: ConnectionId; readonly id: number }
  | {
      readonly type: 'channel';
      readonly connection: ConnectionId;
      readonly id: number;
      readonly ringBytes: number;
      readonly fds: ChannelFds;
    }
  /** The module uses that channel no more, and has written all that it ever will. */
  | { readonly type: 'close'; readonly connection: ConnectionId; readonly id: number }
  | { readonly type: 'disconnect'; readonly connection: ConnectionId }
  /** Say `pong`. */
  | { readonly type: 'ping' }
  /** Another thread could load what this one lacks. */
  | { readonly type: 'loadAgain' }
  | { readonly type: 'stop' };

export type FromWorker =
  | ({ readonly type: 'ready' } & Loaded)
  /** More than before. */
  | ({ readonly type: 'loaded' } & Loaded)
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'verdict'; readonly connection: ConnectionId; readonly id: number; readonly verdict: Verdict }
  /** The files are mapped; their descriptors may be closed. */
  | { readonly type: 'channelReady'; readonly connection: ConnectionId; readonly id: number }
  | { readonly type: 'channelFailed'; readonly connection: ConnectionId; readonly id: number; readonly message: string }
  /** The module broke the protocol on a ring. */
  | { readonly type: 'malformed'; readonly connection: ConnectionId; readonly message: string }
  | { readonly type: 'closed'; readonly connection: ConnectionId; readonly id: number }
  | { readonly type: 'disconnected'; readonly connection: ConnectionId }
  /** Nobody has caught an error: this thread ends now. */
  | ({ readonly type: 'dying' } & LastWords)
  | { readonly type: 'pong' }
  | { readonly type: 'stopped' };

/** What a thread can serve. */
export interface Loaded {
  readonly filters: readonly LoadedFilter[];
  /** Absolute paths of the sources that it cannot load now. */
  readonly missing: readonly string[];
}

export interface LoadedFilter {
  readonly name: string;
  /** Absolute path of its source. */
  readonly file: string;
}

/** What a thread can still say of the error that ends it. */
export interface LastWords {
  /** With what Node knows of the emitter, where it was an 'error' event. */
  readonly stack: string;
  /** Of an 'error' event that nobody listened to: the emitter's class, if Node names it. */
  readonly emitter: string | undefined;
}

/** What a worker thread is born with. */
export interface WorkerData {
  readonly start: WorkerStart;
  /** To the threads of runtime.global. */
  readonly globals: MessagePort;
}

export interface WorkerStart {
  readonly worker: number;
  /** The bundle's file URL. */
  readonly bundle: string;
  /** `--init`, bundled too. */
  readonly init: string | undefined;
  readonly logLevel: string;
  /** A file that cannot be loaded now is a failure: others serve all filters. */
  readonly needsAll: boolean;
}
