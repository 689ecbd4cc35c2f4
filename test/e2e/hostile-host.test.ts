/**
 * A hostile host on a live Envoy, attack by attack: Envoy stays up, the filters of another socket and the admin port answer
 * in time, the victim's streams end, the log names what was wrong, and Envoy's memory stays.
 *
 * HOSTILE_SECONDS: for each attack (default 0.25); HOSTILE_SEED: of the random ones.
 */
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ATTACKS } from '../fixture/hostile-host.js';
import {
  Child,
  eventually,
  get,
  MiB,
  nodeBinary,
  residentBytes,
  sleep,
  within,
  type Fixture,
} from '../fixture/index.js';
import { envoyVersion } from '../fixture/paths.js';
import { withEnvoy } from './support.js';
import { startUpstream, type Upstream } from '../fixture/upstream.js';

const SECONDS = Number(process.env.HOSTILE_SECONDS ?? 0.25);
const SEED = Number(process.env.HOSTILE_SEED ?? 1);
/** On a machine that others load, too; the figure itself is printed. */
const SLOWEST_P99_MS = 250;
const VICTIM_MS = 3_000;

/** What Envoy's log has to say of an attack; all others leave the host in its place, or end it with any line. */
const NAMED: Readonly<Record<string, RegExp>> = {
  'records of random lengths and kinds': /malformed frame/,
  'a length beyond the mapping': /malformed frame/,
  'the tail beyond the ring': /malformed frame/,
  'the tail backwards': /malformed frame/,
  'a header value with CR and LF': /malformed frame from the host \(kind 64\)/,
  'a header value with NUL': /malformed frame from the host \(kind 64\)/,
  'a pseudo-header that is none': /malformed frame from the host \(kind 64\)/,
  'output that nobody asked for': /malformed frame from the host \(kind 65\)/,
  'questions without reading the answers': /asks and does not read the answers|stopped reading/,
  'a flood of ChannelReady': /malformed message of kind 6|floods its socket/,
  'a flood of verdicts': /floods its socket/,
  'a flood of unknown messages': /floods its socket/,
  'a flood of generations': /may not begin generation|floods its socket/,
  'a flood of log lines': /lines of the host's log were left out|a{100}/,
};

const script = fileURLToPath(new URL('../../build/hostile/host.mjs', import.meta.url));

async function bundle(): Promise<void> {
  mkdirSync(fileURLToPath(new URL('../../build/hostile/', import.meta.url)), { recursive: true });
  await build({
    entryPoints: [fileURLToPath(new URL('../fixture/hostile-host.ts', import.meta.url))],
    outfile: script,
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    logLevel: 'warning',
  });
}

/** Times of an action that is done again and again until it is stopped. */
class Probe {
  readonly times: number[] = [];
  #stop = false;
  readonly #done: Promise<void>;

  constructor(act: () => Promise<unknown>, pauseMs: number) {
    this.#done = (async () => {
      while (!this.#stop) {
        const began = performance.now();
        await act();
        this.times.push(performance.now() - began);
        await sleep(pauseMs);
      }
    })();
  }

  async stop(): Promise<void> {
    this.#stop = true;
    await this.#done;
  }

  quantile(q: number): number {
    const sorted = [...this.times].sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0;
  }
}

/** Requests at the victim for as long as the attack takes; how many ended with which status. */
async function victims(fx: Fixture, forMs: number): Promise<Record<string, number>> {
  const ends: Record<string, number> = {};
  const until = performance.now() + forMs;
  const one = async (): Promise<void> => {
    do {
      const end = await within(VICTIM_MS, 'a stream of the victim', get(fx.port, '/hello')).then(
        (answer) => (answer.complete ? String(answer.status) : 'cut'),
        (error: Error) => {
          if (/a stream of the victim/.test(error.message)) throw error;
          return 'cut';
        },
      );
      ends[end] = (ends[end] ?? 0) + 1;
      await sleep(10);
    } while (performance.now() < until);
  };
  await Promise.all([one(), one(), one()]);
  return ends;
}

// What Envoy does does not depend on its version here.
describe.runIf(envoyVersion === '1.40')('a hostile host', () => {
  let upstream: Upstream;
  beforeAll(async () => {
    await bundle();
    upstream = await startUpstream();
  });
  afterAll(() => upstream.close());

  it(
    'spoils the streams that it serves, and nothing else',
    async () => {
      const socket = `/tmp/tsf-hostile-${process.pid}.sock`;
      const options = {
        socket,
        message_timeout: '0.5s',
        host_wait: '0s',
        host_stall_timeout: '0.5s',
        metrics: [{ name: 'hostile', type: 'counter', labels: ['label'] }],
      };
      const filters = [{ name: 'touch', options }];
      await withEnvoy({ filters, upstream, counters: true }, async (fx) => {
        const good = new Probe(() => fx.counters(), 5);
        const admin = new Probe(() => fx.admin('/ready'), 50);
        await sleep(500);
        const before = residentBytes(fx.envoy.pid);
        for (const name of Object.keys(ATTACKS)) {
          const hostile = new Child('hostile host', nodeBinary, [script, socket, name, String(SEED)]);
          // By its pid: of a flood the fixture keeps the end only.
          const said = (): string => {
            const { output } = fx.envoy;
            return output.slice(Math.max(0, output.indexOf(`liar (pid ${hostile.pid})`)));
          };
          try {
            await eventually('the hostile host is connected', () =>
              fx.envoy.output.includes(`liar (pid ${hostile.pid})`),
            );
            // Whoever reads it gets a reply that never ends, until its host does: as from any filter that streams one.
            if (name === 'endless output') void sleep(SECONDS * 1000).then(() => hostile.signal('SIGKILL'));
            const ends = await victims(fx, SECONDS * 1000);
            const named = NAMED[name];
            if (named !== undefined)
              await eventually(`the log names "${name}", which ended with ${JSON.stringify(ends)}`, () =>
                named.test(said()),
              );
            expect(hostile.output, name).toBe('');
          } finally {
            await hostile.kill();
          }
          expect(fx.envoy.running, name).toBe(true);
        }
        await good.stop();
        await admin.stop();
        const grown = residentBytes(fx.envoy.pid) - before;
        const [p50, p99, slowest] = [good.quantile(0.5), good.quantile(0.99), admin.quantile(1)];
        console.log(
          `${Object.keys(ATTACKS).length} attacks: another socket's filter p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms (${good.times.length} requests), admin at most ${slowest.toFixed(0)} ms, Envoy grew by ${(grown / MiB).toFixed(1)} MiB`,
        );
        expect(p99).toBeLessThan(SLOWEST_P99_MS);
        expect(slowest).toBeLessThan(1000);
        expect(grown).toBeLessThan(64 * MiB);
      });
    },
    60_000 + 30 * SECONDS * 1000,
  );
});
