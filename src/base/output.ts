/**
 * What a thread writes to stdout and stderr goes to the descriptor at once: console in a worker thread would send it to the
 * main thread, and gather it without limit while that is busy. The descriptors are pipes that are always read (pumpOutput in
 * cpp/addon/addon.d.ts), so that no write waits for whoever reads the log.
 */
import { writeSync } from 'node:fs';
import { Writable } from 'node:stream';

type Descriptor = 1 | 2;

/** A process that shares the pipe may have made it one that does not wait. Its reader takes no longer than that. */
const TRIES = 40;
const TRY_MS = 1;
const nap = new Int32Array(new SharedArrayBuffer(4));

/** Never throws: a log is no reason to end streams. */
export function writeOut(fd: Descriptor, data: string | Uint8Array): void {
  let rest = typeof data === 'string' ? Buffer.from(data) : data;
  for (let tries = 0; rest.length > 0 && tries < TRIES;) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
      tries++;
      Atomics.wait(nap, 0, 0, TRY_MS);
    }
  }
}

class Output extends Writable {
  readonly fd: Descriptor;

  constructor(fd: Descriptor) {
    super({ autoDestroy: false });
    this.fd = fd;
    // A write behind an author's end().
    this.on('error', () => undefined);
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: () => void): void {
    writeOut(this.fd, chunk);
    done();
  }
}

/**
 * For a Worker that calls writeDirectly: the thread that made it asks for none of its output. Node 22 and later ask by a method of
 * the very streams that are replaced there, and the worker would die of it.
 */
export const WRITES_DIRECTLY = { stdout: true, stderr: true } as const;

/** process.stdout and process.stderr of this thread, and with them console; before anything has used them. */
export function writeDirectly(): void {
  for (const [name, fd] of [
    ['stdout', 1],
    ['stderr', 2],
  ] as const) {
    Object.defineProperty(process, name, { configurable: true, enumerable: true, value: new Output(fd) });
  }
}
