/** Starts what one thread serves: the init script, the bundle with the filters, then messages. Also the entry point of
 *  worker threads. */
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { FilterThread } from './filter-thread.js';
import type { HostErrorCode } from '../base/host-errors.js';
import { lastWords } from './last-words.js';
import { type FileEvents, FilterFiles } from '../loader/filter-files.js';
import { importBundle, loadFailure, shown } from '../loader/loader-import.js';
import { createLog, type Logger } from '../base/log.js';
import type { FromWorker, Loaded, ToWorker, WorkerData, WorkerStart } from './messages.js';
import { writeDirectly } from '../base/output.js';
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
  let thread: FilterThread | undefined;
  try {
    if (start.init !== undefined) await import(start.init);
    at = 'TSF_LOAD_FAILED';
    process.on('unhandledRejection', (reason) => floating(reason, log));
    const loaded = (): Loaded => ({
      filters: files.definitions.map(({ filter, file }) => ({ name: filter.name, file })),
      missing: files.missing,
    });
    const files = new FilterFiles(await importBundle(start.bundle), {
      ...failures(log),
      loaded(file, definitions) {
        log.info({ file }, 'a filter file that could not be loaded has loaded now');
        // Before it is ready that says all.
        if (thread === undefined) return;
        thread.add(definitions.map(({ filter }) => filter));
        emit({ type: 'loaded', ...loaded() });
      },
    });
    await files.start(start.needsAll);
    thread = new FilterThread(files, start.worker, log, emit);
    emit({ type: 'ready', ...loaded() });
    return thread;
  } catch (error) {
    emit({ type: 'failed', message: loadFailure(error, at) });
    return undefined;
  }
}

function failures(log: Logger): Omit<FileEvents, 'loaded'> {
  const meanwhile = "the others are served, and what is configured with one of this file's has no host meanwhile";
  return {
    failed: (file, err, retryInMs) =>
      log.error(
        { code: 'TSF_LOAD_FAILED', file, err, retryInMs },
        `${loadFailure(err, 'TSF_LOAD_FAILED', file)}; its file is loaded again in ${retryInMs} ms; ${meanwhile}. Connect in parseConfig or at the first use, and a missing dependency is for streams to meet`,
      ),
    slow: (file, afterMs) =>
      log.error(
        { code: 'TSF_LOAD_SLOW', file },
        `${shown(file)} still loads after ${afterMs} ms: does its top-level await, or one of what it imports, ever settle? ${meanwhile}. Give what it awaits a time limit, or await it in parseConfig`,
      ),
  };
}

/** Filters are written by people who forget an await now and then; that is no reason to end other streams. */
function floating(reason: unknown, log: Logger): void {
  log.error(
    { code: 'TSF_UNHANDLED_REJECTION', err: reason },
    `a rejection that no filter awaits: ${reason instanceof Error ? reason.message : String(reason)}`,
  );
}

async function main(): Promise<void> {
  const port = parentPort;
  if (port === null) return;
  writeDirectly();
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
