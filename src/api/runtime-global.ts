/**
 * runtime.global over message ports. The main thread keeps one worker thread per name (GlobalHost); every other thread
 * has a port to the main thread (GlobalLink), over which it asks for a port to that worker, and then talks to it
 * directly. Ports are unreferenced while nothing is asked, so that they keep no thread alive.
 */
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { WRITES_DIRECTLY } from '../base/output.js';
import { describeError, FilterError } from './errors.js';
import { exitText } from '../base/host-errors.js';
import { CallSite } from '../base/places.js';

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

const failed = (name: string, why: string): FilterError =>
  new FilterError('TSF_GLOBAL_FAILED', `runtime.global("${name}"): ${why}`);

interface Waiting {
  readonly site: CallSite;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** One thread's side of one global. */
export class GlobalClient {
  private readonly name: string;
  private readonly url: string;
  private readonly link: GlobalLink;
  private port: Promise<MessagePort> | undefined;
  private readonly waiting = new Map<number, Waiting>();
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
    const site = new CallSite(GlobalClient.prototype.call);
    const port = await (this.port ??= this.connect()).catch((e: unknown) => {
      // One failure, but every call has its own place.
      throw site.mark(new FilterError('TSF_GLOBAL_FAILED', (e as Error).message, undefined, { cause: e }));
    });
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      const call: Call = { id, method, args };
      port.postMessage(call); // throws when the arguments cannot be cloned, which rejects
      this.waiting.set(id, { site, resolve, reject });
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
        call.reject(call.site.mark(failed(this.name, 'its thread has died')));
      }
      this.waiting.clear();
    });
    port.unref();
    return port;
  }
}

/** One running global. */
class GlobalThread {
  private readonly worker: Worker;
  private readonly opening = new Map<number, { resolve(open: boolean): void; reject(error: Error): void }>();
  private nextId = 1;
  /** Its module serves. */
  private loaded = false;

  /** `entry` exports the author's module as `module`. */
  constructor(name: string, file: URL, entry: string, onError: (error: unknown) => void, onExit: () => void) {
    this.worker = new Worker(file, { workerData: entry, ...WRITES_DIRECTLY });
    this.worker.unref();
    let cause: unknown;
    this.worker.on('error', (error) => {
      cause = error;
      onError(error);
    });
    this.worker.on('message', (id: number) => {
      this.loaded = true;
      this.opening.get(id)?.resolve(true);
      this.opening.delete(id);
    });
    this.worker.on('exit', (code) => {
      onExit();
      const why = cause === undefined ? exitText(code) : describeError(cause);
      for (const { resolve, reject } of this.opening.values()) {
        if (this.loaded) resolve(false);
        else reject(failed(name, `its module does not load: ${why}`));
      }
    });
  }

  /** A port that the thread has taken; undefined when it died before. Rejects when its module does not load. */
  async open(): Promise<MessagePort | undefined> {
    const { port1, port2 } = new MessageChannel();
    const id = this.nextId++;
    this.worker.postMessage({ id, port: port2 } satisfies Visit, [port2]);
    const open = await new Promise<boolean>((resolve, reject) => this.opening.set(id, { resolve, reject }));
    return open ? port1 : undefined;
  }

  async end(): Promise<void> {
    await this.worker.terminate();
  }
}

interface GlobalHostOptions {
  readonly onError: (name: string, error: unknown) => void;
  /** Makes an entry of a module's URL: one that this Node can import, and that exports the module as `module`. */
  readonly load: (url: string) => Promise<string>;
  /** What each thread runs. */
  readonly file?: URL;
}

/** The main thread's side: the threads themselves. */
export class GlobalHost implements GlobalLink {
  private readonly threads = new Map<string, { readonly url: string; readonly thread: Promise<GlobalThread> }>();
  private readonly options: GlobalHostOptions;

  constructor(options: GlobalHostOptions) {
    this.options = options;
  }

  async connect(name: string, url: string): Promise<MessagePort> {
    for (let tries = 0; tries < 3; tries++) {
      const port = await (await this.thread(name, url)).open();
      if (port !== undefined) return port;
    }
    throw failed(name, 'its thread does not stay alive');
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
    const threads = await Promise.allSettled([...this.threads.values()].map(({ thread }) => thread));
    await Promise.all(threads.flatMap((one) => (one.status === 'fulfilled' ? [one.value.end()] : [])));
  }

  private thread(name: string, url: string): Promise<GlobalThread> {
    const known = this.threads.get(name);
    if (known !== undefined) {
      // A reload may have moved the bundle: the first one goes on, that is what survives a reload.
      if (known.url !== url) this.options.onError(name, failed(name, `runs ${known.url}, not ${url}`));
      return known.thread;
    }
    // Whatever ends it, the next call starts another: also a module that did not load may be mended by then.
    const gone = (): void => {
      if (this.threads.get(name) === made) this.threads.delete(name);
    };
    const made = { url, thread: this.start(name, url, gone) };
    this.threads.set(name, made);
    made.thread.catch(gone);
    return made.thread;
  }

  private async start(name: string, url: string, onExit: () => void): Promise<GlobalThread> {
    const { onError, load, file = new URL('./runtime-thread.js', import.meta.url) } = this.options;
    const entry = await load(url).catch((e: unknown) => {
      const error = failed(name, `its module does not load: ${(e as Error).message}`);
      onError(name, error);
      throw error;
    });
    return new GlobalThread(
      name,
      file,
      entry,
      (error) => {
        onError(name, error);
      },
      onExit,
    );
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
