/** What the main thread and a worker say to each other, by postMessage or, with `--workers 0`, by plain calls. */
import type { MessagePort } from 'node:worker_threads';
import type { FilterConfigMessage } from '../channel/codec/index.js';

/** A connection of a module, numbered by this process. */
export type ConnectionId = number;

export interface Verdict {
  readonly accepted: boolean;
  readonly message: string;
  readonly phases: number;
  readonly attributes: readonly number[];
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
  | { readonly type: 'judge'; readonly connection: ConnectionId; readonly config: FilterConfigMessage }
  | { readonly type: 'forget'; readonly connection: ConnectionId; readonly id: number }
  | {
      readonly type: 'channel';
      readonly connection: ConnectionId;
      readonly id: number;
      readonly ringBytes: number;
      readonly fds: ChannelFds;
    }
  | { readonly type: 'disconnect'; readonly connection: ConnectionId }
  /** Say `idle` as soon as no stream is left. */
  | { readonly type: 'drain' }
  | { readonly type: 'stop' };

export type FromWorker =
  | { readonly type: 'ready'; readonly filters: readonly string[] }
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'verdict'; readonly connection: ConnectionId; readonly id: number; readonly verdict: Verdict }
  /** The files are mapped; their descriptors may be closed. */
  | { readonly type: 'channelReady'; readonly connection: ConnectionId; readonly id: number }
  | { readonly type: 'channelFailed'; readonly connection: ConnectionId; readonly id: number; readonly message: string }
  /** The module broke the protocol on a ring. */
  | { readonly type: 'malformed'; readonly connection: ConnectionId; readonly message: string }
  | { readonly type: 'disconnected'; readonly connection: ConnectionId }
  | { readonly type: 'idle' }
  | { readonly type: 'stopped' };

/** What a worker is started with. */
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
}
