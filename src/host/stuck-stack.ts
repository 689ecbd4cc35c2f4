/**
 * Where a thread is that does not turn. V8 halts JavaScript between two of its instructions, in a loop, a regular expression
 * and Atomics.wait too, and shows the stack; it cannot inside native code, for instance in execSync or a long sort.
 *
 * The main thread reaches its workers by the inspector's NodeWorker domain. No port is opened.
 */
import { readFileSync } from 'node:fs';
import inspector from 'node:inspector';
import { SourceMap, type SourceMapPayload } from 'node:module';
import { fileURLToPath } from 'node:url';

interface CallFrame {
  readonly functionName: string;
  readonly url: string;
  readonly location: { readonly scriptId: string; readonly lineNumber: number; readonly columnNumber: number };
}
interface FromInspector {
  readonly method?: string;
  readonly params?: {
    readonly callFrames?: readonly CallFrame[];
    readonly scriptId?: string;
    readonly url?: string;
  };
}
interface Attached {
  readonly params: { readonly sessionId: string; readonly workerInfo: { readonly title: string } };
}
interface Received {
  readonly params: { readonly sessionId: string; readonly message: string };
}

/** Lines as in an error's stack, places in the author's own sources. undefined: it did not halt in time. */
export async function stuckStack(threadId: number, milliseconds: number): Promise<string | undefined> {
  const session = new inspector.Session() as unknown as LooseSession;
  session.connect();
  try {
    const frames = await pausedFrames(session, threadId, milliseconds);
    return frames?.map(describe).join('\n');
  } finally {
    session.disconnect();
  }
}

/** @types/node does not know all of the NodeWorker domain's events. */
interface LooseSession {
  connect(): void;
  disconnect(): void;
  post(method: string, params: object, callback?: () => void): void;
  on(event: 'NodeWorker.attachedToWorker', listener: (message: Attached) => void): void;
  on(event: 'NodeWorker.receivedMessageFromWorker', listener: (message: Received) => void): void;
}

function pausedFrames(
  session: LooseSession,
  threadId: number,
  milliseconds: number,
): Promise<readonly CallFrame[] | undefined> {
  return new Promise((resolve) => {
    let sessionId: string | undefined;
    const urls = new Map<string, string>();
    const send = (id: number, method: string): void =>
      session.post('NodeWorker.sendMessageToWorker', { sessionId, message: JSON.stringify({ id, method }) }, ignore);
    const finish = (frames?: readonly CallFrame[]): void => {
      clearTimeout(late);
      if (sessionId !== undefined) send(3, 'Debugger.disable');
      resolve(frames?.map((frame) => ({ ...frame, url: urls.get(frame.location.scriptId) ?? frame.url })));
    };
    const late = setTimeout(finish, milliseconds);
    // The inspector numbers threads in its own way; their title has Node's number.
    session.on('NodeWorker.attachedToWorker', ({ params }) => {
      if (!params.workerInfo.title.startsWith(`[worker ${threadId}]`)) return;
      ({ sessionId } = params);
      send(1, 'Debugger.enable');
      send(2, 'Debugger.pause');
    });
    session.on('NodeWorker.receivedMessageFromWorker', ({ params }) => {
      if (params.sessionId !== sessionId) return;
      const { method, params: told } = JSON.parse(params.message) as FromInspector;
      if (method === 'Debugger.scriptParsed' && told?.scriptId !== undefined) urls.set(told.scriptId, told.url ?? '');
      if (method === 'Debugger.paused') finish(told?.callFrames ?? []);
    });
    session.post('NodeWorker.enable', { waitForDebuggerOnStart: false }, ignore);
  });
}

const ignore = (): void => undefined;

function describe({ functionName, url, location }: CallFrame): string {
  const { lineNumber, columnNumber } = location;
  const source = sourceOf(url, lineNumber, columnNumber) ?? `${url}:${lineNumber + 1}:${columnNumber + 1}`;
  return functionName === '' ? `    at ${source}` : `    at ${functionName} (${source})`;
}

/** By the source map in the bundle. */
function sourceOf(url: string, line: number, column: number): string | undefined {
  if (!url.startsWith('file:') || !url.endsWith('.mjs')) return undefined;
  try {
    const text = readFileSync(fileURLToPath(url), 'utf8');
    const [, base64] = /\/\/# sourceMappingURL=data:application\/json;base64,(\S+)\s*$/.exec(text) ?? [];
    if (base64 === undefined) return undefined;
    const payload = JSON.parse(Buffer.from(base64, 'base64').toString()) as SourceMapPayload;
    const entry = new SourceMap(payload).findEntry(line, column);
    if (!('originalSource' in entry)) return undefined;
    const file = new URL(entry.originalSource, payload.sourceRoot === '' ? url : payload.sourceRoot);
    return `${file.href}:${entry.originalLine + 1}:${entry.originalColumn + 1}`;
  } catch {
    return undefined;
  }
}
