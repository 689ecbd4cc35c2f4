/**
 * runtime.global over message ports. The main thread keeps one worker thread per name (GlobalHost); every other thread
 * has a port to the main thread (GlobalLink), over which it asks for a port to that worker, and then talks to it
 * directly. Ports are unreferenced while nothing is asked, so that they keep no thread alive.
 */
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { FilterError } from './errors.js';

/** Asks the main thread for a port to the thread of `name`. */
export interface GlobalLink {
  connect(name: string, url: string): Promise<MessagePort>;
}

export interface Call {
  readonly id: number;
  readonly method: string;
  readonly args: unknown[];
}
export interface Result {
  readonly id: number;
  readonly ok: boolean;
  readonly value: unknown;
}
interface Request {
  readonly id: number;
  readonly name: string;
  readonly url: string;
}
interface Connected {
  readonly id: number;
  readonly port: MessagePort | undefined;
  readonly why?: string;
}
/** A port for the thread to serve; it answers with the id. */
export interface Visit {
  readonly id: number;
  readonly port: MessagePort;
}

/** One thread's side of one global. */
export class GlobalClient {
  private readonly name: string;
  private readonly url: string;
  private readonly link: GlobalLink;
  private port: Promise<MessagePort> | undefined;
  private readonly waiting = new Map<number, { resolve(value: unknown): void; reject(error: unknown): void }>();
  private readonly methods = new Map<string, (...args: unknown[]) => Promise<unknown>>();
  private nextId = 1;

  constructor(name: string, url: string, link: GlobalLink) {
    this.name = name;
    this.url = url;
    this.link = link;
  }

  method(method: string): (...args: unknown[]) => Promise<unknown> {
    let made = this.methods.get(method);
    if (made === undefined) this.methods.set(method, (made = (...args) => this.call(method, args)));
    return made;
  }

  private async call(method: string, args: unknown[]): Promise<unknown> {
    const port = await (this.port ??= this.connect());
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      const call: Call = { id, method, args };
      port.postMessage(call); // throws when the arguments cannot be cloned, which rejects
      this.waiting.set(id, { resolve, reject });
      port.ref();
    });
  }

  private async connect(): Promise<MessagePort> {
    let port: MessagePort;
    try {
      port = await this.link.connect(this.name, this.url);
    } catch (e) {
      this.port = undefined; // the next call tries again
      throw e;
    }
    port.on('message', (result: Result) => {
      const call = this.waiting.get(result.id);
      this.waiting.delete(result.id);
      if (this.waiting.size === 0) port.unref();
      if (result.ok) call?.resolve(result.value);
      else call?.reject(result.value);
    });
    port.on('close', () => {
      this.port = undefined;
      for (const call of this.waiting.values()) {
        call.reject(new FilterError('TSF_GLOBAL_FAILED', `runtime.global("${this.name}"): its thread has died`));
      }
      this.waiting.clear();
    });
    port.unref();
    return port;
  }
}

/** One running global. */
class GlobalThread {
  readonly url: string;
  readonly worker: Worker;
  private readonly opening = new Map<number, (open: boolean) => void>();
  private nextId = 1;

  constructor(file: URL, url: string, onError: (error: unknown) => void, onExit: () => void) {
    this.url = url;
    this.worker = new Worker(file, { workerData: url });
    this.worker.unref();
    this.worker.on('error', onError);
    this.worker.on('message', (id: number) => {
      this.opening.get(id)?.(true);
      this.opening.delete(id);
    });
    this.worker.on('exit', () => {
      onExit();
      for (const done of this.opening.values()) done(false);
    });
  }

  /** A port that the thread has taken; undefined when it died before. */
  async open(): Promise<MessagePort | undefined> {
    const { port1, port2 } = new MessageChannel();
    const id = this.nextId++;
    this.worker.postMessage({ id, port: port2 } satisfies Visit, [port2]);
    const open = await new Promise<boolean>((resolve) => this.opening.set(id, resolve));
    return open ? port1 : undefined;
  }
}

/** The main thread's side: the threads themselves. */
export class GlobalHost implements GlobalLink {
  private readonly threads = new Map<string, GlobalThread>();
  private readonly onError: (name: string, error: unknown) => void;
  private readonly file: URL;

  /** `file`: what each thread runs, another one only in tests. */
  constructor(
    onError: (name: string, error: unknown) => void = () => undefined,
    file = new URL('./runtime-thread.js', import.meta.url),
  ) {
    this.onError = onError;
    this.file = file;
  }

  async connect(name: string, url: string): Promise<MessagePort> {
    for (let tries = 0; tries < 3; tries++) {
      const port = await this.thread(name, url).open();
      if (port !== undefined) return port;
    }
    throw new FilterError('TSF_GLOBAL_FAILED', `runtime.global("${name}"): its thread does not stay alive`);
  }

  /** Serves one worker thread over `port`, whose other end is given to LinkedThread there. */
  serve(port: MessagePort): void {
    port.on('message', ({ id, name, url }: Request) => {
      this.connect(name, url).then(
        (given) => {
          port.postMessage({ id, port: given } satisfies Connected, [given]);
        },
        (e: unknown) => {
          port.postMessage({ id, port: undefined, why: (e as Error).message } satisfies Connected);
        },
      );
    });
    port.unref();
  }

  async dispose(): Promise<void> {
    await Promise.all([...this.threads.values()].map(({ worker }) => worker.terminate()));
  }

  private thread(name: string, url: string): GlobalThread {
    let thread = this.threads.get(name);
    if (thread === undefined) {
      const made: GlobalThread = new GlobalThread(
        this.file,
        url,
        (error) => {
          this.onError(name, error);
        },
        () => {
          if (this.threads.get(name) === made) this.threads.delete(name);
        },
      );
      this.threads.set(name, (thread = made));
    } else if (thread.url !== url) {
      // A reload may have moved the bundle: the first one goes on, that is what survives a reload.
      this.onError(
        name,
        new FilterError('TSF_GLOBAL_FAILED', `runtime.global("${name}") runs ${thread.url}, not ${url}`),
      );
    }
    return thread;
  }
}

/** A worker thread's link to the main thread. */
export class LinkedThread implements GlobalLink {
  private readonly port: MessagePort;
  private readonly waiting = new Map<number, { resolve(port: MessagePort): void; reject(error: Error): void }>();
  private nextId = 1;

  constructor(port: MessagePort) {
    this.port = port;
    port.on('message', ({ id, port: given, why }: Connected) => {
      const waiting = this.waiting.get(id);
      this.waiting.delete(id);
      if (this.waiting.size === 0) port.unref();
      if (given !== undefined) waiting?.resolve(given);
      else waiting?.reject(new FilterError('TSF_GLOBAL_FAILED', why ?? 'runtime.global: no connection'));
    });
    port.unref();
  }

  connect(name: string, url: string): Promise<MessagePort> {
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.port.ref();
      this.port.postMessage({ id, name, url } satisfies Request);
    });
  }
}
