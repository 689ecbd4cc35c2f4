/**
 * Route configs from xDS, all of them replaced every 100 ms under load. RDS_SECONDS is the length of the load, 10 when
 * not given.
 */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  Connection,
  dynamicModulePerRoute,
  eventually,
  mebibytes,
  MiB,
  residentBytes,
  sleep,
  type Config,
  type Fixture,
} from '../fixture/index.js';
import { scene } from './support.js';

const SECONDS = Number(process.env['RDS_SECONDS'] ?? '10');
const ROUTES = 500;
const SWAP_MS = 100;
const CLIENTS = 8;

const toUpstream = { cluster: 'upstream', timeout: '0s' };

/** A file that Envoy watches, replaced whole. */
class RouteFile {
  readonly dir = mkdtempSync(join(tmpdir(), 'tsf-e2e-rds-'));
  generation = 0;

  constructor() {
    this.swap();
  }

  get source(): Config {
    return {
      route_config_name: 'routes',
      config_source: {
        resource_api_version: 'V3',
        path_config_source: { path: join(this.dir, 'rds.json'), watched_directory: { path: this.dir } },
      },
    };
  }

  /** Every route gets a config that no generation before had; with `bare` none has one. */
  swap(bare = false): void {
    const generation = ++this.generation;
    const routes = Array.from({ length: ROUTES }, (_, i) => ({
      match: { path: `/sink/${i}` },
      route: { ...toUpstream, prefix_rewrite: `/sink?${i}` },
      ...(bare
        ? {}
        : {
            typed_per_filter_config: {
              rds: dynamicModulePerRoute('rds', { plugin_config: { label: `${generation}.${i}` } }),
            },
          }),
    }));
    const config = {
      '@type': 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration',
      name: 'routes',
      virtual_hosts: [{ name: 'all', domains: ['*'], routes }],
    };
    writeFileSync(join(this.dir, 'next'), JSON.stringify({ version_info: String(generation), resources: [config] }));
    renameSync(join(this.dir, 'next'), join(this.dir, 'rds.json'));
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Runs each until the first one is done, and fails when any does. */
async function during<T>(main: Promise<T>, ...others: ((running: () => boolean) => Promise<void>)[]): Promise<T> {
  let running = true;
  const rest = others.map((one) => one(() => running));
  try {
    return await Promise.race([main, Promise.all(rest).then(() => main)]);
  } finally {
    running = false;
    await Promise.all(rest);
  }
}

/**
 * Each file is written when the main thread has had a turn since the last: Envoy's watcher reads on for as long as there
 * is an event, so on a machine where 500 configs take longer than SWAP_MS nothing else would ever come to a turn.
 */
const swapping = (fx: Fixture, file: RouteFile) => async (running: () => boolean) => {
  for (let due = performance.now(); running(); due += SWAP_MS) {
    file.swap();
    await Promise.all([fx.admin('/ready'), sleep(Math.max(0, due + SWAP_MS - performance.now()))]);
  }
};

interface Tally {
  answers: number;
  readonly statuses: Map<number, number>;
  readonly labels: Set<string>;
}

/** One client: a request after the other, every second one moves to another route in the filter. */
const asking = (fx: Fixture, first: number, tally: Tally) => async (running: () => boolean) => {
  let connection = await Connection.open(fx.port);
  for (let i = first; running(); i += CLIENTS) {
    const route = (i * 7) % ROUTES;
    const moves = Math.floor(i / CLIENTS) % 2 === 1;
    const answer = await connection.request({
      path: `/sink/${route}`,
      headers: moves ? [['x-elsewhere', `/sink/${(route + 1) % ROUTES}`]] : [],
      timeoutMs: 15_000,
    });
    tally.answers++;
    tally.statuses.set(answer.status, (tally.statuses.get(answer.status) ?? 0) + 1);
    if (answer.status === 200) {
      const [decoded, encoded] = [answer.header('x-decode'), answer.header('x-encode')];
      // one config for both directions, and that of the route which the request came in by
      expect([encoded, decoded?.split('.')[1]]).toEqual([decoded, String(route)]);
      tally.labels.add(decoded!.split('.')[0]!);
      const upstream = answer.json as { path: string };
      expect(upstream.path).toBe(`/sink?${moves ? (route + 1) % ROUTES : route}`);
    }
    if (!answer.complete || answer.header('connection') === 'close') {
      connection.close();
      connection = await Connection.open(fx.port);
    }
  }
  connection.close();
};

/** The longest time that the admin port took to answer. */
const polling = (fx: Fixture, longest: { ms: number; polls: number }) => async (running: () => boolean) => {
  while (running()) {
    const asked = performance.now();
    expect(await fx.admin('/ready')).toContain('LIVE');
    longest.ms = Math.max(longest.ms, performance.now() - asked);
    longest.polls++;
    await sleep(100);
  }
};

async function withRoutes(options: Config, run: (fx: Fixture, file: RouteFile) => Promise<void>): Promise<void> {
  const file = new RouteFile();
  try {
    await scene([{ name: 'rds', options }], (fx) => run(fx, file), {
      hcm: { route_config: undefined, rds: file.source },
      // xDS wants a name for who asks
      envoyArgs: ['--service-node', 'test', '--service-cluster', 'test'],
      // 1.40 warns of a deprecated name in each route's config: 5000 lines a second
      logLevel: 'error',
    });
  } finally {
    file.remove();
  }
}

/** After a swap to routes without configs nothing is left but the filter's own. */
async function expectOnlyItsOwn(fx: Fixture, file: RouteFile): Promise<void> {
  file.swap(true);
  const counts = await eventually(
    'each parsed config is destroyed',
    async () => {
      const now = await fx.counters();
      return (
        now['rds.parsed'] === (now['rds.destroyed'] ?? 0) + 1 && now['rds.created'] === now['rds.streams-ended'] && now
      );
    },
    20_000,
  );
  expect(counts['rds.destroyed-twice']).toBeUndefined();
  expect(counts['rds.used-after-destroy']).toBeUndefined();
}

/** The longest that the admin port may take, whatever happens to the host. */
const ADMIN_MS = 1_000;

describe(`${ROUTES} route configs replaced every ${SWAP_MS} ms`, () => {
  it(
    `under load for ${SECONDS} s`,
    () =>
      withRoutes({ host_wait: '5s' }, async (fx, file) => {
        const tally: Tally = { answers: 0, statuses: new Map(), labels: new Set() };
        const longest = { ms: 0, polls: 0 };
        const sizes: { envoy: number; host: number }[] = [];
        const measure = () => sizes.push({ envoy: residentBytes(fx.envoy.pid), host: residentBytes(fx.host.pid) });
        const clock = async () => {
          // the first third fills caches and heaps
          await sleep(SECONDS * 333);
          measure();
          await sleep(SECONDS * 667);
          measure();
        };
        const clients = Array.from({ length: CLIENTS }, (_, i) => asking(fx, i, tally));
        await during(clock(), swapping(fx, file), polling(fx, longest), ...clients);

        const updates = await fx.stat('http.main.rds.routes.update_success');
        const grown = { envoy: sizes[1]!.envoy - sizes[0]!.envoy, host: sizes[1]!.host - sizes[0]!.host };
        const counts = await fx.counters();
        console.log(
          `${file.generation} generations written, ${updates} taken, ${tally.answers} answers, ${tally.labels.size} ` +
            `generations seen, ${counts['rds.parsed']} configs parsed, admin at most ${Math.round(longest.ms)} ms, ` +
            `growth: Envoy ${mebibytes(grown.envoy)}, host ${mebibytes(grown.host)}`,
        );
        expect(Object.fromEntries(tally.statuses)).toEqual({ 200: tally.answers });
        expect(updates).toBeGreaterThan(SECONDS * 3);
        expect(tally.labels.size).toBeGreaterThan(SECONDS * 3);
        // what a generation costs does not stay: without a bound it would be hundreds of thousands of configs
        expect(grown.envoy).toBeLessThan(48 * MiB);
        expect(grown.host).toBeLessThan(64 * MiB);
        await expectOnlyItsOwn(fx, file);
      }),
    (SECONDS + 60) * 1000,
  );

  it(
    'with the host stopped, then gone: the admin port goes on answering',
    () =>
      withRoutes({ host_wait: '0s', message_timeout: '1s', host_stall_timeout: '1s' }, async (fx, file) => {
        const longest = { ms: 0, polls: 0 };
        const tally: Tally = { answers: 0, statuses: new Map(), labels: new Set() };
        const clients = () => [asking(fx, 0, tally), asking(fx, 1, tally)];
        const phase = (ms: number) => during(sleep(ms), swapping(fx, file), polling(fx, longest), ...clients());
        await phase(2_000);
        expect(Object.fromEntries(tally.statuses)).toEqual({ 200: tally.answers });
        longest.ms = 0;

        fx.host.signal('SIGSTOP');
        await phase(4_000);
        expect(longest.ms).toBeLessThan(ADMIN_MS);
        expect([...tally.statuses.keys()].filter((status) => ![200, 503, 504].includes(status))).toEqual([]);

        fx.host.signal('SIGCONT');
        await fx.host.kill();
        await phase(3_000);
        expect(longest.ms).toBeLessThan(ADMIN_MS);
        expect(longest.polls).toBeGreaterThan(20);

        await fx.startHost();
        await eventually('traffic goes on', async () => {
          const before = tally.statuses.get(200) ?? 0;
          await phase(200);
          return (tally.statuses.get(200) ?? 0) > before;
        });
        await expectOnlyItsOwn(fx, file);
      }),
    60_000,
  );
});
