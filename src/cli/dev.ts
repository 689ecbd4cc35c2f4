/** `ts-filter-host dev`: the filters, an Envoy in front of them, and what an author wants to see of both. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { HostError } from '../base/host-errors.js';
import { privateDir } from '../base/private-dir.js';
import { DEV_LEVELS, LEVELS, type DevLevel } from './dev-levels.js';
import { startBackend, type Backend } from './dev-backend.js';
import type { FilterEntry } from './envoy-entries.js';
import { envoyFault, findEnvoy, type FoundEnvoy } from './find-envoy.js';
import { HotKeys } from './hot-keys.js';
import { modulePath } from './module-path.js';
import { Pretty, recordOf, type LogRecord } from './pretty.js';
import { wholeConfig, type Address } from './print-config.js';
import { Processes, takenPort, type Started } from './processes.js';

const READY_WITHIN_MS = 30_000;
const LOOK_MS = 50;
/** Who halts at a breakpoint takes his time. */
const UNHURRIED = '24h';

export interface DevOptions {
  readonly paths: readonly string[];
  readonly envoy: string | undefined;
  /** An envoy.yaml of the author's own. */
  readonly config: string | undefined;
  readonly port: number;
  readonly adminPort: number;
  readonly upstream: Address | undefined;
  /** Which filters, in which order; undefined: all. */
  readonly filters: readonly string[] | undefined;
  /** By the filter's name. */
  readonly pluginConfigs: ReadonlyMap<string, unknown>;
  readonly init: string | undefined;
  readonly workers: number;
  readonly logLevel: DevLevel;
  /** A debugger's port. */
  readonly inspect: number | undefined;
}

/** It warns of each start that it has no limit of connections. */
const QUIET = ['--component-log-level', 'main:error'];

const say = (text: string): void => void process.stdout.write(`${text}\n`);

export class Dev {
  readonly #options: DevOptions;
  readonly #folder = mkdtempSync(join(privateDir(), 'dev-'));
  readonly #pretty = new Pretty(process.stdout.isTTY && process.env['NO_COLOR'] === undefined);
  readonly #processes = new Processes({
    ended: (one, how) => void this.stop(`${one.name} ended by itself (${how}); its output is above`),
    problem: (text) => say(`dev: ${text}`),
  });
  #resolve: (code: number) => void = () => undefined;
  readonly #ended = new Promise<number>((resolve) => (this.#resolve = resolve));
  readonly #keys = new HotKeys({
    r: () => this.#reload(),
    l: () => this.#nextLevel(),
    o: () => this.#hint(),
    q: () => void this.stop(),
    h: () => this.#help(),
  });
  #level: DevLevel;
  #found: FoundEnvoy | undefined;
  #backend: Backend | undefined;
  #host: Started | undefined;
  #envoy: Started | undefined;
  /** Of the filters that are loaded. */
  #names: readonly string[] = [];
  /** Of those that Envoy has been given. */
  #given: readonly string[] = [];

  constructor(options: DevOptions) {
    this.#options = options;
    this.#level = options.logLevel;
  }

  /** Until all has ended; the exit code. */
  async run(): Promise<number> {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void this.stop());
    try {
      await this.#start();
    } catch (error) {
      if (!this.#processes.isStopping) {
        await this.stop();
        throw error;
      }
    }
    return this.#ended;
  }

  /** `why`: it is a failure. */
  async stop(why?: string): Promise<void> {
    if (this.#processes.isStopping) return;
    this.#keys.close();
    if (why !== undefined) say(`dev: ${why}`);
    await this.#processes.stop();
    this.#backend?.close();
    rmSync(this.#folder, { recursive: true, force: true });
    this.#resolve(why === undefined ? 0 : 1);
  }

  async #start(): Promise<void> {
    const { envoy, port, adminPort, upstream, inspect } = this.#options;
    this.#found = findEnvoy(envoy);
    const fault = envoyFault(this.#found);
    if (fault !== undefined) throw failed(fault);
    for (const [one, flag] of [
      [port, '--port'],
      [adminPort, '--admin-port'],
      [inspect, '--inspect'],
    ] as const) {
      const taken = one === undefined ? undefined : await takenPort(one);
      if (taken !== undefined) throw failed(`${taken}, or give another ${flag}`);
    }
    if (upstream === undefined) this.#backend = await startBackend();
    this.#startHost();
    await this.#until('the filters are loaded', () => this.#names.length > 0);
    await this.#startEnvoy();
    say('');
    this.#hint();
    say(`${this.#keys.areThere ? 'r reload · l log level · o curl lines · q quit' : 'Ctrl-C ends it.'}\n`);
  }

  get #socket(): string {
    return join(this.#folder, 's');
  }

  #startHost(): void {
    const { paths, workers, init, inspect } = this.#options;
    const script = process.argv[1] ?? '';
    const more = [
      ...(init === undefined ? [] : ['--init', init]),
      ...(inspect === undefined ? [] : ['--inspect', String(inspect)]),
    ];
    const fixed = ['serve', '--socket', this.#socket, '--watch', '--workers', String(workers), '--log-level', 'debug'];
    this.#host = this.#processes.start(
      'ts-filter-host',
      process.execPath,
      [script, ...fixed, ...more, '--', ...paths],
      {
        // By the channel the host knows when this process is gone.
        stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
      },
    );
    const { stdout } = this.#host.child;
    if (stdout !== null) createInterface({ input: stdout }).on('line', (line) => this.#heard(line));
  }

  /** A line of the host's. */
  #heard(line: string): void {
    const record = recordOf(line);
    if (record === undefined) return say(line);
    if ((record.level ?? LEVELS.info) >= LEVELS[this.#level])
      say(process.stdout.isTTY ? this.#pretty.line(record) : line);
    this.#follow(record);
  }

  #follow({ msg, filters }: LogRecord): void {
    if ((msg !== 'listening' && msg !== 'filters loaded anew') || !Array.isArray(filters)) return;
    this.#names = filters.map(String);
    if (this.#envoy === undefined || this.#options.config !== undefined) return;
    if (this.#wanted().join() !== this.#given.join()) void this.#restartEnvoy();
  }

  #wanted(): readonly string[] {
    return this.#options.filters ?? this.#names;
  }

  async #restartEnvoy(): Promise<void> {
    const before = this.#envoy;
    if (before === undefined) return;
    this.#envoy = undefined;
    say('dev: other filters than before: Envoy is started again');
    await this.#processes.stopOne(before);
    await this.#startEnvoy().catch((error: unknown) => this.stop(String(error)));
  }

  async #startEnvoy(): Promise<void> {
    const path = this.#options.config ?? join(this.#folder, 'envoy.yaml');
    if (this.#options.config === undefined) writeFileSync(path, this.#envoyConfig());
    const args = ['--use-dynamic-base-id', '--concurrency', '2', '--log-level', 'warning', ...QUIET, '-c', path];
    const env = { ENVOY_DYNAMIC_MODULES_SEARCH_PATH: dirname(modulePath()), TS_FILTER_SOCKET: this.#socket };
    const found = this.#found;
    if (found === undefined || this.#processes.isStopping) return;
    const own = this.#processes.start('envoy', found.path, args, { env, stdio: ['ignore', 'inherit', 'inherit'] });
    this.#envoy = own;
    const admin = `http://127.0.0.1:${this.#options.adminPort}/ready`;
    if (this.#options.config !== undefined) return;
    await this.#until('Envoy is ready', () =>
      fetch(admin, { signal: AbortSignal.timeout(1_000) }).then(
        ({ ok }) => ok,
        () => false,
      ),
    );
  }

  #envoyConfig(): string {
    const { port, adminPort, upstream, pluginConfigs, inspect } = this.#options;
    this.#given = this.#wanted();
    const patience = inspect === undefined ? {} : { message_timeout: UNHURRIED, host_stall_timeout: UNHURRIED };
    const filters = this.#given.map((name): FilterEntry => ({
      name,
      value: { socket: this.#socket, host_wait: '5s', ...patience, plugin_config: pluginConfigs.get(name) ?? {} },
    }));
    const host = '127.0.0.1';
    return wholeConfig({
      filters,
      listen: { host, port },
      admin: { host, port: adminPort },
      upstream: upstream ?? { host, port: this.#backend?.port ?? 0 },
      isUnhurried: inspect !== undefined,
    });
  }

  async #until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = Date.now() + READY_WITHIN_MS;
    while (!(await holds())) {
      if (this.#processes.isStopping) throw failed('stopped');
      if (Date.now() > deadline)
        throw failed(`not within ${READY_WITHIN_MS / 1000} s: ${what}; the output above may say why`);
      await sleep(LOOK_MS);
    }
  }

  #reload(): void {
    this.#host?.child.kill('SIGHUP');
  }

  #nextLevel(): void {
    this.#level = DEV_LEVELS[(DEV_LEVELS.indexOf(this.#level) + 1) % DEV_LEVELS.length] ?? 'info';
    say(`dev: log lines from ${this.#level} up`);
  }

  #hint(): void {
    const { port, adminPort, config, inspect } = this.#options;
    if (config !== undefined) return say(`dev: Envoy runs with ${config}`);
    say(`Ready: Envoy ${this.#found?.version} with ${this.#given.join(', ')}. Try:\n`);
    say(
      `  curl -i localhost:${port}/\n  curl -i -d 'some text' localhost:${port}/\n  curl localhost:${adminPort}/stats`,
    );
    if (inspect !== undefined)
      say(`\nDebugger: 127.0.0.1:${inspect} (chrome://inspect, or your editor's "attach"). No timeout counts.`);
  }

  #help(): void {
    say('r reload the filters · l next log level · o curl lines · h this · q quit');
  }
}

const failed = (text: string): HostError => new HostError('TSF_DEV_FAILED', text);
