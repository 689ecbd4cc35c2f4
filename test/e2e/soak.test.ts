/**
 * Long runs, by `make soak` alone:
 *
 *   SOAK_SECONDS=n   so long under load with faults: hosts killed and stopped, threads that hang and die, reloads, clients that
 *                    reset. Each request ends in time, and memory stays where it is after the first 5 minutes (a third, if less)
 *   SOAK_RESTARTS=n  so many hosts one after the other: killed, stopped, replaced. No descriptor, memory file or mapping stays
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  Connection,
  eventually,
  get,
  http1,
  mebibytes,
  MiB,
  Random,
  residentBytes,
  seedOf,
  sleep,
  type Fixture,
  type Request,
} from '../fixture/index.js';
import { ended, scene } from './support.js';

const SECONDS = Number(process.env['SOAK_SECONDS'] ?? '0');
const RESTARTS = Number(process.env['SOAK_RESTARTS'] ?? '0');
const LEVEL_AFTER_S = Math.min(300, SECONDS / 3);
const SAMPLE_MS = 2_000;
/** Between the level and the end; of what allocators keep, and of what one moment has more under way than another. */
const GROWTH_MIB = 48;
const OPTIONS = { failure_mode: 'closed', host_wait: '0s', message_timeout: '1s' };
const FILTERS = ['touch', 'replies', 'faulty'].map((name) => ({ name, options: OPTIONS }));
/** A message's time, a watchdog's, a streamed reply's, and what a loaded machine takes. */
const LATEST_MS = 10_000;

const BODY = 'all of it\n'.repeat(20_000);
const REQUESTS: readonly Request[] = [
  { path: '/hello?' },
  { method: 'POST', path: '/echo?', body: BODY },
  { path: '/stream?n=20&ms=10&' },
];

/** What a process has open, by what would be left behind. */
function held(pid: number): { readonly descriptors: number; readonly memoryFiles: number; readonly mappings: number } {
  const links = readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      return [];
    }
  });
  const maps = readFileSync(`/proc/${pid}/maps`, 'utf8');
  return {
    descriptors: links.length,
    memoryFiles: links.filter((link) => link.includes('memfd:')).length,
    mappings: maps.split('memfd:').length - 1,
  };
}

interface Sample {
  readonly atS: number;
  readonly envoy: number;
  readonly host: number;
}

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN;

/** The one that serves, which its parent started. */
const serving = async (fx: Fixture): Promise<number> => (await fx.counters())['pid']!;

class Soak {
  readonly #fx: Fixture;
  readonly #random: Random;
  readonly #until = performance.now() + SECONDS * 1000;
  readonly #began = performance.now();
  readonly got = new Map<string, number>();
  readonly late: string[] = [];
  readonly samples: Sample[] = [];
  readonly faults = new Map<string, number>();

  constructor(fx: Fixture, seed: number) {
    this.#fx = fx;
    this.#random = new Random(seed);
  }

  async run(): Promise<void> {
    await Promise.all([...Array.from({ length: 12 }, (_, lane) => this.#ask(lane)), this.#spoil(), this.#measure()]);
  }

  get #isOver(): boolean {
    return performance.now() > this.#until;
  }

  async #ask(lane: number): Promise<void> {
    const random = new Random(lane + 1);
    for (let i = 0; !this.#isOver; i++) {
      const request = REQUESTS[i % REQUESTS.length]!;
      const path = `${request.path}${lane}-${i}`;
      const from = performance.now();
      if (random.next() < 0.1) {
        await this.#reset({ ...request, path }, random.int(0, 60));
        continue;
      }
      const answer = await http1(this.#fx.port, { ...request, path, timeoutMs: 2 * LATEST_MS }).catch((e: Error) => e);
      const took = performance.now() - from;
      if (took > LATEST_MS) this.late.push(`${path}: ${Math.round(took)} ms`);
      const got = ended(answer);
      this.got.set(got, (this.got.get(got) ?? 0) + 1);
      if (got !== '200') await sleep(20);
    }
  }

  /** A client that goes. */
  async #reset(request: Request, afterMs: number): Promise<void> {
    const connection = await Connection.open(this.#fx.port);
    connection.request({ ...request, timeoutMs: LATEST_MS }).catch(() => undefined);
    await sleep(afterMs);
    connection.close();
  }

  async #spoil(): Promise<void> {
    const faults: Readonly<Record<string, () => Promise<void>>> = {
      kill: async () => void process.kill(await serving(this.#fx), 'SIGKILL'),
      stop: async () => {
        const pid = await serving(this.#fx);
        process.kill(pid, 'SIGSTOP');
        await sleep(1_500);
        process.kill(pid, 'SIGCONT');
      },
      reload: async () => this.#fx.host.signal('SIGHUP'),
      loop: async () => void get(this.#fx.port, '/hello?fault=loop').catch(() => undefined),
      exit: async () => void get(this.#fx.port, '/hello?fault=exit').catch(() => undefined),
    };
    const names = Object.keys(faults);
    while (!this.#isOver) {
      await sleep(this.#random.int(3_000, 8_000));
      const name = this.#random.pick(names);
      // It may have died of the fault before.
      await faults[name]!().catch(() => undefined);
      this.faults.set(name, (this.faults.get(name) ?? 0) + 1);
    }
  }

  async #measure(): Promise<void> {
    for (; !this.#isOver; await sleep(SAMPLE_MS)) {
      const host = await serving(this.#fx)
        .then((pid) => residentBytes(pid))
        .catch(() => undefined);
      if (host === undefined) continue;
      const atS = (performance.now() - this.#began) / 1000;
      const envoy = residentBytes(this.#fx.envoy.pid);
      this.samples.push({ atS, envoy, host });
      if (this.samples.length % 30 === 0) console.log(`${Math.round(atS)} s: ${shown({ envoy, host })}`);
    }
  }

  /** Of the samples from one time to another. */
  level(fromS: number, toS: number): { readonly envoy: number; readonly host: number } {
    const some = this.samples.filter(({ atS }) => atS >= fromS && atS < toS);
    return { envoy: median(some.map(({ envoy }) => envoy)), host: median(some.map(({ host }) => host)) };
  }
}

const shown = ({ envoy, host }: { readonly envoy: number; readonly host: number }): string =>
  `Envoy ${mebibytes(envoy)}, host ${mebibytes(host)}`;

describe.runIf(SECONDS > 0)('under load with faults', () => {
  it(`${SECONDS} s: each request ends in time, and memory is level`, { timeout: (SECONDS + 120) * 1000 }, () =>
    scene(
      FILTERS,
      async (fx) => {
        const { pid } = fx.envoy;
        const seed = seedOf();
        const soak = new Soak(fx, seed);
        await soak.run();
        // The parent may be about to start it again.
        await eventually('it serves', async () => (await get(fx.port, '/hello?')).status === 200, 20_000);
        const window = Math.max(10, SECONDS / 6);
        const [early, late] = [
          soak.level(LEVEL_AFTER_S, LEVEL_AFTER_S + window),
          soak.level(SECONDS - window, Infinity),
        ];
        console.log(
          `SEED=${seed}: ${JSON.stringify(Object.fromEntries(soak.got))}, faults ${JSON.stringify(Object.fromEntries(soak.faults))}; after ${Math.round(LEVEL_AFTER_S)} s ${shown(early)}; at the end ${shown(late)}`,
        );
        expect(soak.late).toEqual([]);
        expect([...soak.got.keys()].filter((got) => !['200', '500', '502', '503', '504', 'cut'].includes(got))).toEqual(
          [],
        );
        expect(soak.got.get('200')).toBeGreaterThan(SECONDS * 10);
        expect([fx.envoy.running, fx.envoy.pid]).toEqual([true, pid]);
        expect((late.envoy - early.envoy) / MiB).toBeLessThan(GROWTH_MIB);
        expect((late.host - early.host) / MiB).toBeLessThan(GROWTH_MIB);
        await eventually('no stream is left', async () => (await fx.activeStreams()) === 0, LATEST_MS);
      },
      { supervise: true, hostWorkers: 2, concurrency: 2, hostArgs: ['--stall-timeout', '1s'] },
    ),
  );
});

describe.runIf(RESTARTS > 0)('hosts that come and go', () => {
  it(`${RESTARTS} of them leave nothing behind in Envoy`, { timeout: 60_000 + RESTARTS * 10_000 }, () =>
    scene(
      FILTERS,
      async (fx) => {
        const next: readonly (() => Promise<unknown>)[] = [
          async () => (await fx.host.kill(), await fx.startHost()),
          async () => (await fx.host.stop(5_000), await fx.startHost()),
          // Beside the one before, which drains and ends.
          async () => {
            const before = fx.host;
            await fx.startHost();
            await before.exit;
          },
        ];
        const restart = async (i: number): Promise<void> => {
          await next[i % next.length]!();
          await eventually('it serves', async () => (await get(fx.port, `/hello?${i}`)).status === 200, 5_000);
        };
        const settled = async (): Promise<ReturnType<typeof held>> => {
          await eventually('no stream is left', async () => (await fx.activeStreams()) === 0);
          await sleep(500);
          return held(fx.envoy.pid);
        };
        for (let i = 0; i < 6; i++) await restart(i);
        const [before, memory] = [await settled(), residentBytes(fx.envoy.pid)];
        for (let i = 0; i < RESTARTS; i++) {
          await restart(i);
          if (i % 50 === 49) {
            const { descriptors, memoryFiles, mappings } = held(fx.envoy.pid);
            const grown = mebibytes(residentBytes(fx.envoy.pid) - memory);
            console.log(
              `${i + 1}: ${descriptors} descriptors, ${memoryFiles} memory files, ${mappings} mappings, ${grown} more`,
            );
          }
        }
        await eventually('all is as it was', async () => {
          const now = await settled();
          // A connection of Envoy's own, to the upstream, may have come.
          return (
            now.memoryFiles === before.memoryFiles &&
            now.mappings === before.mappings &&
            now.descriptors <= before.descriptors + 3
          );
        });
        expect((residentBytes(fx.envoy.pid) - memory) / MiB).toBeLessThan(GROWTH_MIB);
      },
      { concurrency: 2 },
    ),
  );
});
