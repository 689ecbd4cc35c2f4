/** One thread with filters, as the main thread holds it: a worker thread, or with `--workers 0` the main thread itself. */
import { MessageChannel, Worker } from 'node:worker_threads';
import { WRITES_DIRECTLY } from '../base/output.js';
import { exitText } from '../base/host-errors.js';
import type { Logger } from '../base/log.js';
import type { FromWorker, ToWorker, WorkerData, WorkerStart } from '../thread/messages.js';
import type { GlobalHost } from '../api/runtime-global.js';

/** Young generation: fresh body chunks fill a larger one before anything is freed (facts: resident memory). */
const YOUNG_GENERATION_MB = 8;

export interface Thread {
  /** Nothing of it runs any more. */
  readonly ended: Promise<void>;
  /** Node's number of it; 0 is the main thread. */
  readonly id: number;
  post(message: ToWorker): void;
  terminate(): void;
  /** Milliseconds for which its event loop has waited since its start. */
  waited(): number;
}

export interface ThreadEvents {
  message(message: FromWorker): void;
  /** Why, as far as it is known. */
  ended(cause: unknown): void;
}

export type Spawn = (start: WorkerStart, events: ThreadEvents) => Thread;

export function workerThreads(globals: GlobalHost): Spawn {
  return (start, events) => {
    const { port1, port2 } = new MessageChannel();
    globals.serve(port1);
    const worker = new Worker(new URL('../thread/worker.js', import.meta.url), {
      name: `ts-filter-${start.worker}`,
      workerData: { start, globals: port2 } satisfies WorkerData,
      transferList: [port2],
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
      ...WRITES_DIRECTLY,
    });
    let cause: unknown;
    worker.on('message', (message: FromWorker) => events.message(message));
    worker.on('error', (error) => (cause = error));
    const ended = new Promise<void>((resolve) => {
      worker.on('exit', (code) => {
        resolve();
        events.ended(cause ?? new Error(exitText(code)));
      });
    });
    return {
      ended,
      id: worker.threadId,
      post: (message) => worker.postMessage(message),
      terminate: () => void worker.terminate(),
      waited: () => worker.performance.eventLoopUtilization().idle,
    };
  };
}

/** The same thread object, called instead of sent to. */
export function mainThread(globals: GlobalHost, log: Logger): Spawn {
  return (start, events) => {
    let thread: { handle(message: ToWorker): void } | undefined;
    const run = async (): Promise<void> => {
      const { startThread } = await import('../thread/worker.js');
      const early: FromWorker[] = [];
      let emit = (message: FromWorker): void => void early.push(message);
      thread = await startThread(start, globals, log, (message) => emit(message));
      emit = (message) => events.message(message);
      early.forEach(emit);
    };
    run().catch((error: unknown) => events.ended(error));
    return {
      ended: Promise.resolve(),
      id: 0,
      post: (message) => thread?.handle(message),
      terminate: () => undefined,
      waited: () => performance.eventLoopUtilization().idle,
    };
  };
}
