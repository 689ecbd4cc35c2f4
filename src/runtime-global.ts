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

/** The main thread's side: the threads themselves. */
export class GlobalHost implements GlobalLink {
  private readonly threads = new Map<string, { readonly worker: Worker; readonly url: string }>();
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

  connect(name: string, url: string): Promise<MessagePort> {
    let thread = this.threads.get(name);
    if (thread === undefined) {
      const worker = new Worker(this.file, { workerData: url });
      worker.unref();
      worker.on('error', (error) => {
        this.onError(name, error);
      });
      worker.on('exit', () => this.threads.delete(name)); // its ports close, and the next call starts a new one
      this.threads.set(name, (thread = { worker, url }));
    }
    if (thread.url !== url) {
      // A reload may have moved the bundle: the first one goes on, that is what survives a reload.
      this.onError(
        name,
        new FilterError('TSF_GLOBAL_FAILED', `runtime.global("${name}") runs ${thread.url}, asked for ${url}`),
      );
    }
    const { port1, port2 } = new MessageChannel();
    thread.worker.postMessage(port2, [port2]);
    return Promise.resolve(port1);
  }

  /** Serves one worker thread over `port`, whose other end is given to LinkedThread there. */
  serve(port: MessagePort): void {
    port.on('message', (request: Request) => {
      void this.connect(request.name, request.url).then((given) => {
        port.postMessage({ id: request.id, port: given }, [given]);
      });
    });
    port.unref();
  }

  async dispose(): Promise<void> {
    await Promise.all([...this.threads.values()].map(({ worker }) => worker.terminate()));
  }
}

/** A worker thread's link to the main thread. */
export class LinkedThread implements GlobalLink {
  private readonly port: MessagePort;
  private readonly waiting = new Map<number, (port: MessagePort) => void>();
  private nextId = 1;

  constructor(port: MessagePort) {
    this.port = port;
    port.on('message', ({ id, port: given }: { id: number; port: MessagePort }) => {
      this.waiting.get(id)?.(given);
      this.waiting.delete(id);
      if (this.waiting.size === 0) port.unref();
    });
    port.unref();
  }

  connect(name: string, url: string): Promise<MessagePort> {
    const id = this.nextId++;
    return new Promise((resolve) => {
      this.waiting.set(id, resolve);
      this.port.ref();
      const request: Request = { id, name, url };
      this.port.postMessage(request);
    });
  }
}
