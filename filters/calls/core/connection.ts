/** A running runtime as its owner sees it: pieces of frames in and out, and an end. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type * as Processes from './processes.js';
import type { RuntimeSpec } from './spec.js';
import { workerScript } from './worker-script.js';

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

/** What starts and ends processes: here, or on the host's one thread for that. */
export type ProcessOwner = {
  readonly [K in 'startProcess' | 'processEnded' | 'endProcess']: (
    ...args: Parameters<(typeof Processes)[K]>
  ) => Promise<Awaited<ReturnType<(typeof Processes)[K]>>>;
};

const CLOSING_MS = 500;

/** Starts what the description names. Rejects with an Error whose message says why it does not run. */
export function connect(spec: RuntimeSpec, processes: ProcessOwner): Promise<Connection> {
  return spec.program.kind === 'command'
    ? connectCommand(spec.program, spec.startTimeoutMs, processes)
    : connectWorker(spec.program.module);
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
    const socket = await Promise.race([
      connected,
      processes.processEnded(id).then((how) => {
        throw new Error(`it ended before it connected: ${how}`);
      }),
      new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => {
          void processes.endProcess(id, 0);
          reject(new Error(`it has not connected within ${String(timeoutMs)} ms`));
        }, timeoutMs);
      }),
    ]);
    return overSocket(socket, id, processes);
  } finally {
    clearTimeout(timer);
    server.close();
    await rm(folder, { recursive: true, force: true });
  }
}

function overSocket(socket: Socket, id: string, processes: ProcessOwner): Connection {
  socket.unref();
  let isCorked = false;
  const uncork = (): void => {
    isCorked = false;
    socket.uncork();
  };
  return {
    listen: ({ bytes, drained, closed }) => {
      socket.on('data', bytes);
      socket.on('drain', drained);
      // `close` follows, which says all that is known.
      socket.on('error', () => undefined);
      socket.on('close', () => {
        const soon = new Promise<string>((resolve) => setTimeout(resolve, CLOSING_MS, 'it closed its socket').unref());
        const how = processes.processEnded(id).catch(() => 'it closed its socket');
        void Promise.race([how, soon]).then(closed);
      });
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
      await processes.endProcess(id, graceMs).catch(() => undefined);
      socket.destroy();
    },
  };
}

async function connectWorker(module: string): Promise<Connection> {
  const script = await workerScript(module);
  const worker = new Worker(script.url, { name: 'ts-calls' });
  worker.unref();
  // Its first message shows that it has been read.
  for (const event of ['message', 'exit']) worker.once(event, () => void script.done());
  let cause: string | undefined;
  const exited = new Promise<string>((resolve) => {
    worker.on('error', (error: unknown) => (cause = error instanceof Error ? error.message : String(error)));
    worker.once('exit', (code) => resolve(cause ?? `exit code ${String(code)}`));
  });
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
