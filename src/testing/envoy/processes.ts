/**
 * A real Envoy with the module, a real ts-filter-host, a temporary folder of their own, and an end that leaves nothing
 * behind. Several may run at once: every port is chosen by the kernel.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AccessEntry, AccessLog } from './access-log.js';
import { Child } from './child.js';
import { envoyConfig } from './config.js';
import type { ChainOptions, Config, FilterSpec, ProcessOptions, UpstreamPort } from './options.js';
import { envoyBinary, hostScript, moduleDir } from './paths.js';
import { eventually, GaveUp, within } from './wait.js';

const HOST_START_MS = 15_000;
const ENVOY_START_MS = 20_000;
/** How long a SIGTERM may take. */
export const STOP_MS = 8_000;

/** The two, while a test uses them. */
export class Processes<O extends ProcessOptions & ChainOptions = ProcessOptions & ChainOptions> {
  port = 0;
  sidePort = 0;
  adminPort = 0;
  readonly dir = mkdtempSync(join(tmpdir(), 'tsf-e2e-'));
  readonly socket = join(this.dir, 'host.sock');
  private readonly accesses = new AccessLog(join(this.dir, 'access.log'));
  envoy!: Child;
  /** Every host this fixture has had, latest last. */
  readonly hosts: Child[] = [];

  constructor(
    readonly options: O,
    protected readonly upstreamPort: UpstreamPort | undefined,
  ) {}

  get host(): Child {
    const host = this.hosts.at(-1);
    if (host === undefined) throw new Error('this fixture has no host');
    return host;
  }

  protected get binary(): string {
    return envoyBinary(this.options.envoy);
  }

  protected get moduleDir(): string {
    return moduleDir(this.options.moduleDir);
  }

  protected get hostPaths(): readonly string[] {
    return this.options.hostPaths ?? [];
  }

  /** Runs the host. */
  protected get node(): string {
    return process.execPath;
  }

  /** Filters of a listener of their own. */
  protected get side(): readonly FilterSpec[] {
    return [];
  }

  hostArgs(): string[] {
    const workers = String(this.options.hostWorkers ?? 1);
    return [
      hostScript(),
      ...this.hostPaths,
      '--socket',
      this.socket,
      '--workers',
      workers,
      ...(this.options.supervise === true ? [] : ['--no-supervise']),
      ...(this.options.hostArgs ?? []),
    ];
  }

  /** The host first, where one is wanted, then Envoy. On failure nothing stays behind. */
  async startAll(host: boolean): Promise<void> {
    try {
      if (host) await this.startHost();
      await this.startEnvoy();
      await this.started();
    } catch (error) {
      for (const one of this.hosts) await one.kill();
      if (this.envoy?.running) await this.envoy.kill();
      this.remove();
      throw error;
    }
  }

  /** Each process of these is started here. */
  protected spawn(
    name: 'envoy' | 'ts-filter-host',
    command: string,
    args: readonly string[],
    env: Readonly<Record<string, string>>,
  ): Child {
    return new Child(name, command, args, env);
  }

  /** Both are there. */
  protected async started(): Promise<void> {}

  /** Starts a host, also beside or after another one, and waits until its socket is there. */
  async startHost(args = this.hostArgs()): Promise<Child> {
    const before = inode(this.socket);
    const host = this.spawn('ts-filter-host', this.node, args, { NO_COLOR: '1', ...this.options.hostEnv });
    this.hosts.push(host);
    try {
      await eventually(
        'ts-filter-host listens',
        () => {
          if (!host.running) throw new GaveUp('ts-filter-host ended before it listened');
          const now = inode(this.socket);
          return now !== 0n && now !== before;
        },
        HOST_START_MS,
      );
    } catch (error) {
      if (!host.running) await host.exit;
      throw new Error(`${(error as Error).message}:\n${host.output}`, { cause: error });
    }
    return host;
  }

  async startEnvoy(): Promise<Child> {
    const config = join(this.dir, 'envoy.json');
    writeFileSync(config, JSON.stringify(this.config(), null, 1));
    const adminFile = join(this.dir, 'admin');
    this.envoy = this.spawnEnvoy(['--admin-address-path', adminFile]);
    await eventually(
      'Envoy is ready',
      async () => {
        if (!this.envoy.running) throw new GaveUp('Envoy ended');
        const address = existsSync(adminFile) ? readFileSync(adminFile, 'utf8').trim() : '';
        if (address === '') return false;
        this.adminPort = Number(address.slice(address.lastIndexOf(':') + 1));
        return (await this.admin('/ready')).startsWith('LIVE');
      },
      ENVOY_START_MS,
    ).catch(async (error: Error) => {
      if (!this.envoy.running) await this.envoy.exit;
      throw new Error(`${error.message}\n${this.logs()}`);
    });
    const listeners = JSON.parse(await this.admin('/listeners?format=json')) as Config;
    for (const { name, local_address } of listeners['listener_statuses'] as Config[]) {
      const port = local_address.socket_address.port_value as number;
      if (name === 'side') this.sidePort = port;
      else this.port = port;
    }
    return this.envoy;
  }

  /** `base`: which of Envoy's processes it is; default: the first of its own. */
  spawnEnvoy(
    extra: readonly string[],
    base: readonly string[] = ['--use-dynamic-base-id', '--base-id-path', join(this.dir, 'base-id')],
  ): Child {
    return this.spawn(
      'envoy',
      this.binary,
      [
        '-c',
        join(this.dir, 'envoy.json'),
        ...base,
        '--concurrency',
        String(this.options.concurrency ?? 1),
        '--file-flush-interval-msec',
        '20',
        '-l',
        this.options.logLevel ?? 'info',
        ...extra,
        ...(this.options.envoyArgs ?? []),
      ],
      { ENVOY_DYNAMIC_MODULES_SEARCH_PATH: this.moduleDir, ...this.options.envoyEnv },
    );
  }

  /** Runs an Envoy that is expected to end by itself, because it only validates or refuses its configuration. */
  async runToEnd(...extra: string[]): Promise<{ code: number | null; output: string }> {
    writeFileSync(join(this.dir, 'envoy.json'), JSON.stringify(this.config(), null, 1));
    const child = this.spawnEnvoy(extra);
    try {
      const { code } = await within(15_000, 'an Envoy that should end by itself', child.exit);
      return { code, output: child.output };
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${child.output}`, { cause: error });
    } finally {
      await child.kill();
    }
  }

  config(): Config {
    const { dir, socket, side, upstreamPort: upstream } = this;
    return envoyConfig(this.options, { dir, socket, side, upstream });
  }

  admin(path: string, method = 'GET'): Promise<string> {
    return fetch(`http://127.0.0.1:${this.adminPort}${path}`, { method, signal: AbortSignal.timeout(5_000) }).then(
      (answer) => answer.text(),
    );
  }

  /** Counters and gauges of Envoy whose name matches. */
  async stats(pattern: RegExp): Promise<Map<string, number>> {
    const text = await this.admin('/stats?format=json');
    const all = (JSON.parse(text) as { stats: { name?: string; value?: number }[] }).stats;
    return new Map(
      all.flatMap(({ name, value }) =>
        name !== undefined && typeof value === 'number' && pattern.test(name)
          ? [[name, value] as [string, number]]
          : [],
      ),
    );
  }

  async stat(name: string): Promise<number> {
    return (await this.stats(new RegExp(`^${name.replaceAll('.', '\\.')}$`))).get(name) ?? 0;
  }

  accessLog(): readonly AccessEntry[] {
    return this.accesses.entries();
  }

  /** The one log line of that path; a second one is an error. */
  async logged(path: string): Promise<AccessEntry> {
    const found = await eventually(`access log of ${path}`, () => {
      const entries = this.accessLog().filter((entry) => entry.path === path);
      return entries.length > 0 && entries;
    });
    if (found.length > 1) throw new Error(`${path} ended ${found.length} times: ${JSON.stringify(found)}`);
    return found[0]!;
  }

  /** Streams that Envoy has not ended. */
  activeStreams(): Promise<number> {
    return this.stat('http.main.downstream_rq_active');
  }

  logs(): string {
    const tail = (child: Child) => `--- ${child.name} (pid ${child.pid}) ---\n${child.output.slice(-12_000)}`;
    return [...this.hosts, ...(this.envoy === undefined ? [] : [this.envoy])].map(tail).join('\n');
  }

  /** The folder, and the segment that Envoy itself leaves behind. */
  remove(): void {
    const baseId = join(this.dir, 'base-id');
    if (existsSync(baseId))
      rmSync(`/dev/shm/envoy_shared_memory_${readFileSync(baseId, 'utf8').trim()}0`, { force: true });
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** Ends both, checks that they ended well, and removes the folder. */
  async stop(): Promise<void> {
    const problems: string[] = [];
    try {
      if (this.envoy !== undefined) {
        const was = this.envoy.running;
        const exit = await this.envoy.stop(STOP_MS).catch((error: Error) => {
          problems.push(error.message);
          return undefined;
        });
        if (!was) problems.push(`Envoy had ended before: ${JSON.stringify(exit)}`);
        else if (exit !== undefined && exit.code !== 0)
          problems.push(`Envoy ended with ${JSON.stringify(exit)} instead of 0`);
      }
      for (const host of this.hosts) {
        if (!host.running) continue;
        host.signal('SIGCONT');
        const exit = await host.stop(STOP_MS).catch((error: Error) => {
          problems.push(error.message);
          return undefined;
        });
        if (exit !== undefined && exit.code !== 0)
          problems.push(`ts-filter-host ended with ${JSON.stringify(exit)} instead of 0`);
      }
      const exists = existsSync(this.socket);
      if (exists && this.hosts.length > 0 && (await this.hosts.at(-1)!.exit).signal === null)
        problems.push('ts-filter-host left its socket behind');
    } finally {
      this.remove();
    }
    if (problems.length > 0) throw new Error(`${problems.join('; ')}\n${this.logs()}`);
  }
}

function inode(path: string): bigint {
  try {
    return statSync(path, { bigint: true }).ino;
  } catch {
    return 0n;
  }
}
