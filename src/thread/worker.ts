/** Starts what one thread serves: the init script, the bundle with the filters, then messages. Also the entry point of
 *  worker threads. */
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { FilterThread } from './filter-thread.js';
import type { HostErrorCode } from '../base/host-errors.js';
import { lastWords } from './last-words.js';
import { collectFilters, loadFailure } from '../loader/loader-import.js';
import { createLog, type Logger } from '../base/log.js';
import type { FromWorker, ToWorker, WorkerData, WorkerStart } from './messages.js';
import { linkGlobals } from '../api/runtime.js';
import { type GlobalLink, LinkedThread } from '../api/runtime-global.js';

export async function startThread(
  start: WorkerStart,
  globals: GlobalLink,
  log: Logger,
  emit: (message: FromWorker) => void,
): Promise<FilterThread | undefined> {
  process.setSourceMapsEnabled(true);
  linkGlobals(globals);
  let at: HostErrorCode = 'TSF_INIT_FAILED';
  try {
    if (start.init !== undefined) await import(start.init);
    at = 'TSF_LOAD_FAILED';
    const loaded = await collectFilters(start.bundle);
    const definitions = loaded.map(({ filter }) => filter);
    const thread = new FilterThread(definitions, start.worker, log, emit);
    process.on('unhandledRejection', (reason) => thread.unhandledRejection(reason));
    emit({ type: 'ready', filters: loaded.map(({ filter, file }) => ({ name: filter.name, file })) });
    return thread;
  } catch (error) {
    emit({ type: 'failed', message: loadFailure(error, at) });
    return undefined;
  }
}

async function main(): Promise<void> {
  const port = parentPort;
  if (port === null) return;
  const { start, globals } = workerData as WorkerData;
  const log = createLog(start.logLevel, { worker: start.worker });
  const emit = (message: FromWorker): void => port.postMessage(message);
  process.on('uncaughtExceptionMonitor', (error) => emit({ type: 'dying', ...lastWords(error) }));
  // Messages wait in the port until there is a listener.
  const thread = await startThread(start, new LinkedThread(globals), log, emit);
  if (thread === undefined) return;
  port.on('message', (message: ToWorker) => thread.handle(message));
}

if (!isMainThread) await main();
