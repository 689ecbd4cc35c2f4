/**
 * The files of a thread's filters. Each is loaded by itself: one that throws takes no other one along, and is tried again.
 */
import { BackOff } from '../base/back-off.js';
import { HostError } from '../base/host-errors.js';
import { type BundledFile, type Definition, filtersIn, shown } from './loader-import.js';

/** The others are not kept waiting longer. */
const PATIENCE_MS = 2_000;
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 30_000;

export interface FileEvents {
  /** It threw or rejected; it is tried again. */
  failed(file: string, error: unknown, retryInMs: number): void;
  /** It still awaits something. */
  slow(file: string, afterMs: number): void;
  /** Later than the others. */
  loaded(file: string, filters: readonly Definition[]): void;
}

interface OneFile extends BundledFile {
  readonly backOff: BackOff;
  isLoaded: boolean;
  retry: NodeJS.Timeout | undefined;
}

export class FilterFiles {
  readonly #files: readonly OneFile[];
  readonly #events: FileEvents;
  readonly #byName = new Map<string, Definition>();
  #isStarting = true;
  #needsAll = false;

  constructor(files: readonly BundledFile[], events: FileEvents) {
    this.#files = files.map((one) => ({
      ...one,
      backOff: new BackOff(FIRST_RETRY_MS, LAST_RETRY_MS),
      isLoaded: false,
      retry: undefined,
    }));
    this.#events = events;
  }

  /** Of all files that have loaded. */
  get definitions(): readonly Definition[] {
    return [...this.#byName.values()];
  }

  /** Files whose filters cannot be served now. */
  get missing(): readonly string[] {
    return this.#files.filter(({ isLoaded }) => !isLoaded).map(({ file }) => file);
  }

  /** Settles when each file has loaded or failed, or has had its time; with `needsAll` only when all have loaded. Rejects for
   *  a mistake that loading again would only repeat: those are for a person to mend. */
  async start(needsAll = false): Promise<void> {
    this.#needsAll = needsAll;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => (timer = setTimeout(() => resolve('late'), PATIENCE_MS)));
    try {
      const all = Promise.all(this.#files.map((one) => this.#load(one, true)));
      const isLate = (await (needsAll ? all : Promise.race([all, late]))) === 'late';
      this.#isStarting = false;
      if (!isLate) return;
      for (const one of this.#files)
        if (!one.isLoaded && one.retry === undefined) this.#events.slow(one.file, PATIENCE_MS);
    } finally {
      clearTimeout(timer);
    }
  }

  /** What they depend on may be back. */
  tryAgain(): void {
    for (const one of this.#files) {
      if (one.retry === undefined) continue;
      clearTimeout(one.retry);
      void this.#load(one);
    }
  }

  async #load(one: OneFile, isFirst = false): Promise<void> {
    one.retry = undefined;
    try {
      const filters = filtersIn(one.file, await one.load());
      this.#take(filters);
      one.isLoaded = true;
      if (!this.#isStarting) this.#events.loaded(one.file, filters);
    } catch (error) {
      if (isFirst && this.#isStarting && (this.#needsAll || isMistake(error))) throw error;
      const delay = one.backOff.after(0);
      this.#events.failed(one.file, error, delay);
      one.retry = setTimeout(() => void this.#load(one), delay).unref();
    }
  }

  #take(filters: readonly Definition[]): void {
    for (const { filter, file } of filters) {
      const other = this.#byName.get(filter.name);
      if (other === undefined) continue;
      throw new HostError(
        'TSF_FILTER_DUPLICATE',
        `two filters are named "${filter.name}": in ${shown(other.file)} and in ${shown(file)}; rename one`,
      );
    }
    for (const one of filters) this.#byName.set(one.filter.name, one);
  }
}

/** In a definition, or in what a file exports. */
const isMistake = (error: unknown): boolean =>
  error instanceof HostError || (error as { code?: unknown } | null)?.code === 'TSF_CONFIG_INVALID';
