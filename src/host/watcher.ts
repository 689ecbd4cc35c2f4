/**
 * Notices changes of the files that the filters are made of. It watches their folders, since editors put a new file in the
 * place of the old one, and is no judge: whoever is told compares the bundles.
 */
import { type FSWatcher, readdirSync, watch } from 'node:fs';
import { dirname, extname, join, resolve } from 'node:path';
import { messageOf } from '../base/host-errors.js';
import type { Logger } from '../base/log.js';
import { filesOfFailure, isSource } from '../loader/loader.js';

/** Some editors write a file in several steps, and a checkout many files. */
const PAUSE_MS = 50;

export interface WatcherOptions {
  /** Files and folders as they were given. */
  readonly paths: readonly string[];
  /** The files that they are made of now. */
  readonly inputs: readonly string[];
  readonly log: Logger;
  readonly onChange: () => void;
}

export class Watcher {
  readonly #options: WatcherOptions;
  readonly #folders = new Map<string, FSWatcher>();
  #files: ReadonlySet<string> = new Set();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: WatcherOptions) {
    this.#options = options;
    this.follow(options.inputs);
  }

  /** They are made of these files from now on. */
  follow(inputs: readonly string[]): void {
    this.#files = new Set(inputs);
    const given = this.#options.paths.flatMap((path) => foldersOf(resolve(path)));
    const folders = new Set([...given, ...inputs.map((file) => dirname(file))]);
    for (const [folder, watcher] of this.#folders) {
      if (folders.has(folder)) continue;
      watcher.close();
      this.#folders.delete(folder);
    }
    for (const folder of folders) this.#watch(folder);
  }

  /** A bundle has failed: what it was made of is known no longer, but for the files with the faults. */
  failed(error: unknown): void {
    const files = filesOfFailure(error);
    this.#files = new Set([...this.#files, ...files]);
    for (const file of files) this.#watch(dirname(file));
  }

  close(): void {
    clearTimeout(this.#timer);
    for (const watcher of this.#folders.values()) watcher.close();
    this.#folders.clear();
  }

  #watch(folder: string): void {
    if (this.#folders.has(folder)) return;
    try {
      const watcher = watch(folder, { persistent: false }, (_event, name) => this.#changed(folder, name));
      // The folder has gone.
      watcher.on('error', () => {
        watcher.close();
        this.#folders.delete(folder);
      });
      this.#folders.set(folder, watcher);
    } catch (error) {
      // One that has gone already the bundle names.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      this.#options.log.warn({ folder }, `--watch does not see changes in ${folder}: ${messageOf(error)}`);
    }
  }

  #changed(folder: string, name: string | null): void {
    // A new folder may be a filter.
    const concerns = name === null || extname(name) === '' || isSource(name) || this.#files.has(join(folder, name));
    if (!concerns) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#options.onChange, PAUSE_MS);
  }
}

/** A folder of filters, and those in it, each of which may be one; none where it is a file. */
function foldersOf(path: string): string[] {
  try {
    const inside = readdirSync(path, { withFileTypes: true }).filter(
      (entry) => entry.isDirectory() && entry.name !== 'node_modules' && !entry.name.startsWith('.'),
    );
    return [path, ...inside.map(({ name }) => join(path, name))];
  } catch {
    return [];
  }
}
