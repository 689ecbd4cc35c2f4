/** Child processes that belong together: when one ends by itself all end, in the opposite order, each by its id. */
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';

const STOP_WITHIN_MS = 10_000;

export interface Started {
  readonly name: string;
  readonly child: ChildProcess;
  /** Settles when it has ended, or could not be started. */
  readonly exited: Promise<unknown>;
}

export interface ProcessesEvents {
  /** That one has ended, and nobody had asked it to. */
  ended(one: Started, how: string): void;
  problem(text: string): void;
}

export class Processes {
  readonly #events: ProcessesEvents;
  readonly #running: Started[] = [];
  readonly #atExit = () => this.#kill();
  #stopping: Promise<void> | undefined;

  constructor(events: ProcessesEvents) {
    this.#events = events;
    process.on('exit', this.#atExit);
  }

  get isStopping(): boolean {
    return this.#stopping !== undefined;
  }

  start(
    name: string,
    command: string,
    args: readonly string[],
    options: { env?: NodeJS.ProcessEnv; cwd?: string; stdio?: StdioOptions } = {},
  ): Started {
    const { env = {}, stdio = 'inherit', ...more } = options;
    // A process group of its own: Ctrl-C goes to this process only, which then stops the others in order.
    const child = spawn(command, args, { ...more, stdio, env: { ...process.env, ...env }, detached: true });
    const exited = once(child, 'exit').catch((error: unknown) => this.#events.problem(`${name}: ${String(error)}`));
    const one = { name, child, exited };
    this.#running.push(one);
    void exited.then(() => {
      const at = this.#running.indexOf(one);
      if (at < 0 || this.isStopping) return;
      this.#running.splice(at, 1);
      this.#events.ended(one, String(child.signalCode ?? child.exitCode));
    });
    return one;
  }

  /** Ends that one; its end is no surprise. */
  async stopOne(one: Started): Promise<void> {
    const at = this.#running.indexOf(one);
    if (at >= 0) this.#running.splice(at, 1);
    await this.#end(one);
  }

  /** The last one first. */
  stop(): Promise<void> {
    this.#stopping ??= (async () => {
      for (const one of [...this.#running].reverse()) await this.#end(one);
      process.off('exit', this.#atExit);
    })();
    return this.#stopping;
  }

  async #end({ name, child, exited }: Started): Promise<void> {
    if (!isRunning(child)) return;
    child.kill('SIGTERM');
    const late = setTimeout(() => {
      this.#events.problem(`${name} did not end within ${STOP_WITHIN_MS / 1000} s and is killed`);
      child.kill('SIGKILL');
    }, STOP_WITHIN_MS);
    await exited;
    clearTimeout(late);
  }

  /** This process ends, and nothing can be waited for any more. */
  #kill(): void {
    for (const { child } of this.#running) if (isRunning(child)) child.kill('SIGKILL');
  }
}

const isRunning = ({ pid, exitCode, signalCode }: ChildProcess): boolean =>
  pid !== undefined && exitCode === null && signalCode === null;

/** Undefined: nobody listens there. */
export async function takenPort(port: number): Promise<string | undefined> {
  const probe = connect(port, '127.0.0.1');
  const taken = await once(probe, 'connect').then(
    () => true,
    () => false,
  );
  probe.destroy();
  return taken ? `port ${port} is taken; end what listens there (ss -ltnp 'sport = :${port}')` : undefined;
}
