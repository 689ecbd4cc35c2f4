/** What the log says of a thread that has ended or hangs: the file, the filter, the cause and the mend. */
import { fileURLToPath } from 'node:url';
import { errorFields, type LogFields } from '../base/log.js';
import type { LastWords, LoadedFilter } from '../thread/messages.js';
import { authorFrame } from '../base/places.js';

export interface Fault {
  readonly fields: LogFields;
  readonly text: string;
}

export function deathOf(cause: unknown, words: LastWords | undefined, filters: readonly LoadedFilter[]): Fault {
  const stack = words?.stack ?? (cause instanceof Error ? (cause.stack ?? '') : '');
  const place = words === undefined ? undefined : placeIn(stack, filters);
  const fields: LogFields = {
    ...errorFields(cause),
    code: 'TSF_WORKER_DIED',
    ...place,
    ...(words === undefined ? {} : { stack }),
  };
  const where = place?.at === undefined ? `one of ${filesOf(filters)}` : place.at;
  const text = `a worker thread died; its streams are lost and it is replaced: ${causeOf(cause, words, where)}`;
  return { fields, text };
}

export function stallOf(stack: string | undefined, limit: number, filters: readonly LoadedFilter[]): Fault {
  const place = placeIn(stack ?? '', filters);
  const where =
    stack === undefined
      ? `inside native code of Node or a package, where V8 shows no stack, called by one of ${filesOf(filters)}`
      : `at ${place.at ?? filesOf(filters)}`;
  return {
    fields: { code: 'TSF_WORKER_STALLED', ...place, ...(stack === undefined ? {} : { stack }) },
    text: `a worker thread has not turned for ${limit} ms, ${where}; its streams are lost and it is replaced. Give long work to a thread of its own, or raise --stall-timeout and the module's host_stall_timeout`,
  };
}

function causeOf(cause: unknown, words: LastWords | undefined, where: string): string {
  const code = (cause as { code?: unknown } | null)?.code;
  const message = cause instanceof Error ? cause.message : String(cause);
  if (code === 'ERR_WORKER_OUT_OF_MEMORY')
    return `${message}; it kept more than its heap has room for: bound what ${where} keeps between requests, or give the host more by NODE_OPTIONS=--max-old-space-size=<MB>`;
  if (words?.emitter !== undefined)
    return `an 'error' event of ${article(words.emitter)} that nobody listens to (${message}), made by ${where}; add an 'error' listener: client.on('error', ...)`;
  if (words !== undefined) return `an error that nobody caught (${message}), at ${where}; catch it where it is thrown`;
  return `${message}; what a filter must not do is process.exit() or to close its thread's port`;
}

const article = (name: string): string => `${/^[AEIOU]/.test(name) ? 'an' : 'a'} ${name}`;

function filesOf(filters: readonly LoadedFilter[]): string {
  return [...new Set(filters.map(({ file }) => file))].join(', ');
}

/** The author's line, and which filter's file it is in. */
function placeIn(stack: string, filters: readonly LoadedFilter[]): { at?: string; filter?: string } {
  const at = authorFrame(stack);
  if (at === undefined) return {};
  const files = [...stack.matchAll(/(file:\/\/\/[^\s():]+|\/[^\s():]+):\d+:\d+/g)].map(([, file = '']) => pathOf(file));
  const filter = filters.find(({ file }) => files.includes(file))?.name;
  return { at, ...(filter === undefined ? {} : { filter }) };
}

/** The author's own words may be in a stack, and are not always a URL. */
function pathOf(file: string): string {
  try {
    return file.startsWith('file:') ? fileURLToPath(file) : file;
  } catch {
    return file;
  }
}
