/** A running runtime as its owner sees it: pieces of frames in and out, and an end. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import type * as Processes from './processes.js';
import type { RuntimeSpec } from './spec.js';
import type * as Scripts from './worker-script.js';

export interface ConnectionEvents {
  bytes(piece: Uint8Array): void;
  /** `write` may go on. */
  drained(): void;
  /** Nothing more comes. */
  closed(why: string): void;
}

export interface Connection {
  listen(events: ConnectionEvents): void;
  /** False: it was taken, and the next should wait for `drained`. */
  write(frame: Uint8Array<ArrayBuffer>): boolean;
  /** It is ended by force unless it ends by itself in time. Resolves when it has ended. */
  end(graceMs: number): Promise<void>;
}

type Owned = Pick<typeof Processes, 'startProcess' | 'processEnded' | 'endProcess'> &
  Pick<typeof Scripts, 'bundleWorker'>;

/** What needs processes: done here, or by the host's one thread for that. */
export type ProcessOwner = {
  readonly [K in keyof Owned]: (...args: Parameters<Owned[K]>) => Promise<Awaited<ReturnType<Owned[K]>>>;
};

const CLOSING_MS = 500;

/** Starts what the description names. Rejects with an Error whose message says why it does not run. */
export function connect(spec: RuntimeSpec, processes: ProcessOwner): Promise<Connection> {
  return spec.program.kind === 'command'
    ? connectCommand(spec.program, spec.startTimeoutMs, processes)
    : connectWorker(spec.program.module, processes);
}

async function connectCommand(
  { command, cwd, env }: RuntimeSpec['program'] & { kind: 'command' },
  timeoutMs: number,
  processes: ProcessOwner,
): Promise<Connection> {
  // A folder that only this user can enter: who connects is the program, or somebody who could be it.
  const folder = await mkdtemp(join(tmpdir(), 'ts-calls-'));
  const server = createServer();
  let timer: NodeJS.Timeout | undefined;
  try {
    const path = join(folder, 'socket');
    server.listen(path);
    await once(server, 'listening');
    server.unref();
    // Before the start: it may be quicker than the news of it.
    const connected = once(server, 'connection').then(([one]) => one as Socket);
    const id = await processes.startProcess({
      command,
      env: { ...env, TS_FILTER_CALLS: path },
      ...(cwd === undefined ? {} : { cwd }),
    });
    // Asked at once, since nobody remembers it for long.
    const ended = processes.processEnded(id).catch(() => 'how it ended is not known');
    const socket = await Promise.race([
      connected,
      ended.then((how) => {
        throw new Error(`it ended before it connected: ${how}`);
      }),
      new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => {
          processes.endProcess(id, 0).catch(() => undefined);
          reject(new Error(`it has not connected within ${String(timeoutMs)} ms`));
        }, timeoutMs);
      }),
    ]);
    return overSocket(socket, ended, (graceMs) => processes.endProcess(id, graceMs));
  } finally {
    clearTimeout(timer);
    server.close();
    await rm(folder, { recursive: true, force: true });
  }
}

function overSocket(socket: Socket, ended: Promise<string>, end: (graceMs: number) => Promise<void>): Connection {
  socket.unref();
  // `close` follows, which says all that is known.
  socket.on('error', () => undefined);
  let isCorked = false;
  const uncork = (): void => {
    isCorked = false;
    socket.uncork();
  };
  return {
    listen: ({ bytes, drained, closed }) => {
      const onClose = (): void => {
        const soon = new Promise<string>((resolve) => setTimeout(resolve, CLOSING_MS, 'it closed its socket').unref());
        void Promise.race([ended, soon]).then(closed);
      };
      socket.on('data', bytes);
      socket.on('drain', drained);
      if (socket.closed) onClose();
      else socket.once('close', onClose);
    },
    write: (frame) => {
      // Frames of one turn leave in one piece.
      if (!isCorked) {
        isCorked = true;
        socket.cork();
        process.nextTick(uncork);
      }
      return socket.write(frame);
    },
    end: async (graceMs) => {
      await end(graceMs).catch(() => undefined);
      // Its last answers may not have been read yet.
      if (graceMs > 0 && !socket.closed) {
        await once(socket, 'close', { signal: AbortSignal.timeout(CLOSING_MS) }).catch(() => undefined);
      }
      socket.destroy();
    },
  };
}

async function connectWorker(module: string, processes: ProcessOwner): Promise<Connection> {
  const bundle = /\.[cm]?ts$/.test(module) ? await processes.bundleWorker(module) : undefined;
  const url = bundle === undefined ? new URL(module) : pathToFileURL(bundle);
  const worker = new Worker(url, { name: 'ts-calls', stdout: true });
  worker.unref();
  // The host's standard output is its log, which is JSON.
  worker.stdout.on('data', (piece: Uint8Array) => process.stderr.write(piece));
  let cause: string | undefined;
  const exited = new Promise<string>((resolve) => {
    worker.on('error', (error: unknown) => (cause = error instanceof Error ? error.message : String(error)));
    worker.once('exit', (code) => resolve(cause ?? `exit code ${String(code)}`));
  });
  if (bundle !== undefined) {
    // Its first message shows that the file has been read.
    const isRead = Promise.race([once(worker, 'message'), exited]);
    void isRead.catch(() => undefined).then(() => rm(dirname(bundle), { recursive: true, force: true }));
  }
  return {
    listen: ({ bytes, closed }) => {
      worker.on('message', bytes);
      void exited.then(closed);
    },
    write: (frame) => {
      worker.postMessage(frame, [frame.buffer]);
      return true;
    },
    end: async (graceMs) => {
      const timer = setTimeout(() => void worker.terminate(), graceMs).unref();
      await exited;
      clearTimeout(timer);
    },
  };
}
