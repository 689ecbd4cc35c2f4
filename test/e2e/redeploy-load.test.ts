/**
 * New versions of the filters come while requests of all kinds run: hosts that take the socket over, and reloads in one.
 * Each version stamps what it sees, so that a stream which two of them have had shows it.
 *
 *   REDEPLOYS=n  so many of each kind (3), REDEPLOY_BODY=bytes of the large bodies
 */
import { mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  eventually,
  http1,
  http2,
  mebibytes,
  residentBytes,
  sleep,
  startUpstream,
  type Fixture,
  type Request,
  type Response,
} from '../fixture/index.js';
import { withEnvoy } from './support.js';

const ROUNDS = Number(process.env['REDEPLOYS'] ?? '3');
const BODY = Number(process.env['REDEPLOY_BODY'] ?? String(2 << 20));
const PIECE = Buffer.from('#@'.repeat(32_768));
const MOST_DRAINING = 6;
const TIMEOUT_MS = 60_000 + ROUNDS * 20_000;
const WARM_UP_PHASES = 10;
const WARM_UP_MS = 1_000;
const FIRST = 'A'.charCodeAt(0);

/** `#` of request bodies and `@` of response bodies become the version, which is one letter. */
const source = (version: string): string => `
import { defineFilter, perChunk } from 'envoy-ts-filter';
const VERSION: string = '${version}';
const stamp = (mark: string) =>
  perChunk((chunk) => Buffer.from(Buffer.from(chunk).toString('latin1').replaceAll(mark, VERSION), 'latin1'));
export default defineFilter({
  name: 'version',
  create: () => ({
    async decodeHeaders(headers) {
      await Promise.resolve();
      headers.set('x-request-version', VERSION);
    },
    async encodeHeaders(headers) {
      headers.set('x-response-version', VERSION);
    },
    transformRequest: stamp('#'),
    transformResponse: stamp('@'),
  }),
});
`;

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tsf-versions-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

const file = (): string => join(dir, 'version.ts');
const letter = (version: number): string => String.fromCharCode(FIRST + (version % 26));

function letters(body: Uint8Array): Set<string> {
  const seen = new Uint8Array(256);
  for (const byte of body) seen[byte] = 1;
  return new Set(
    [...seen.keys()].filter((byte) => seen[byte] === 1 && byte !== 10).map((byte) => String.fromCharCode(byte)),
  );
}

/** The one version that a whole answer has, or what is wrong with it. */
function versionOf(answer: Response | Error): string {
  if (answer instanceof Error) return `failed: ${answer.message}`;
  if (answer.status !== 200 || !answer.complete)
    return `failed: ${answer.status} ${answer.text.slice(0, 60)} ${answer.broken}`;
  const stamps = letters(answer.body);
  for (const name of ['x-seen-version', 'x-response-version']) stamps.add(answer.header(name) ?? '?');
  return stamps.size === 1 ? [...stamps][0]! : `mixed: ${[...stamps].join('')}`;
}

/** Streams of all kinds without a pause; which versions they had is kept. */
function traffic(fx: Fixture, bodies: 'large too' | 'short' = 'large too') {
  let running = true;
  const versions = new Map<string, number>();
  const lane = async (ask: (request: Request) => Promise<Response>, request: () => Request): Promise<void> => {
    while (running) {
      const version = versionOf(await ask(request()).catch((error: Error) => error));
      versions.set(version, (versions.get(version) ?? 0) + 1);
    }
  };
  const short = (): Request => ({ method: 'POST', path: '/echo', body: '#@', timeoutMs: 10_000 });
  const large = (): Request => ({
    method: 'POST',
    path: '/echo',
    body: Array.from({ length: BODY / PIECE.length }, () => PIECE),
    keep: BODY,
    timeoutMs: 240_000,
  });
  const h1 = (request: Request) => http1(fx.port, request);
  const h2 = (request: Request) => http2(fx.port, request);
  const both = bodies === 'short' ? [] : [lane(h1, large), lane(h2, large)];
  const lanes = Promise.all([lane(h1, short), lane(h1, short), lane(h2, short), ...both]);
  return {
    stop: async () => {
      running = false;
      await lanes;
      return versions;
    },
  };
}

/** An event stream that lasts until `end`. */
function events() {
  const open = new Set<() => void>();
  return {
    path: async (res: {
      write(text: string): unknown;
      end(): unknown;
      on(event: 'close', then: () => void): unknown;
    }) => {
      let isOver = false;
      open.add(() => (isOver = true));
      res.on('close', () => (isOver = true));
      for (; !isOver; await sleep(50)) res.write('@\n');
      res.end();
    },
    end: () => open.forEach((over) => over()),
  };
}

/** Shared files and doorbells of channels: Envoy's connections come and go. */
function channelDescriptors(pid: number): number {
  const folder = `/proc/${pid}/fd`;
  const targets = readdirSync(folder).map((fd) => {
    try {
      return readlinkSync(join(folder, fd));
    } catch {
      return '';
    }
  });
  return targets.filter((target) => /memfd|eventfd/.test(target)).length;
}
const threads = (pid: number): number => readdirSync(`/proc/${pid}/task`).length;
const levels = (pid: number) => ({ fds: channelDescriptors(pid), threads: threads(pid) });

/** What Envoy and the module have allocated, and the memory that its allocator holds for it (TCMalloc gives little back). */
async function envoyMemory(fx: Fixture): Promise<{ readonly allocated: number; readonly resident: number }> {
  const { allocated } = JSON.parse(await fx.admin('/memory')) as { allocated: string };
  return { allocated: Number(allocated), resident: residentBytes(fx.envoy.pid) };
}

interface Stage {
  readonly fx: Fixture;
  readonly endEvents: () => void;
}

async function scene(run: (stage: Stage) => Promise<void>, hostArgs: readonly string[] = []): Promise<void> {
  const sse = events();
  const upstream = await startUpstream({
    paths: {
      '/echo': async (req, res) => {
        res.writeHead(200, { 'x-seen-version': req.headers['x-request-version'] });
        for await (const piece of req)
          if (!res.write(piece)) await new Promise((resolve) => res.once('drain', resolve));
        res.end();
      },
      '/events': async (req, res) => {
        res.writeHead(200, { 'content-type': 'text/event-stream', 'x-seen-version': req.headers['x-request-version'] });
        await sse.path(res);
      },
    },
  });
  writeFileSync(file(), source(letter(0)));
  try {
    const args = ['--drain-timeout', '120s', ...hostArgs];
    const filters = [{ name: 'version', options: { host_wait: '0s' } }];
    await withEnvoy({ filters, upstream, concurrency: 2, hostPaths: [file()], hostArgs: args }, (fx) =>
      run({ fx, endEvents: sse.end }),
    );
  } finally {
    await upstream.close();
  }
}

/** Its text so far; settles with its one version. */
const eventStream = (fx: Fixture): Promise<string> =>
  http1(fx.port, { path: '/events', timeoutMs: 300_000 }).then(versionOf, versionOf);

const currentVersion = async (fx: Fixture): Promise<string> =>
  versionOf(await http1(fx.port, { method: 'POST', path: '/echo', body: '#@' }));

/** The same load and event streams until Envoy's memory is level: what grows afterwards is of the deploys. */
async function warmUp({ fx, endEvents }: Stage): Promise<void> {
  for (let phase = 0, resident = 0; phase < WARM_UP_PHASES; phase++) {
    const load = traffic(fx);
    const streams = Array.from({ length: MOST_DRAINING }, () => eventStream(fx));
    await sleep(WARM_UP_MS);
    endEvents();
    await Promise.all([load.stop(), ...streams]);
    const now = residentBytes(fx.envoy.pid);
    if (now <= resident * 1.01) return;
    resident = now;
  }
}

/**
 * Deploys again and again, under load, with an event stream that began before each; all end well, each with one version. As
 * much load, and a first deploy, come before what is measured.
 */
async function deploys(kind: string, stage: Stage, deploy: (version: string) => Promise<void>): Promise<void> {
  const { fx, endEvents } = stage;
  await warmUp(stage);
  const warm = await oneDeploy(fx, 1, traffic(fx), deploy);
  endEvents();
  await warm.load.stop();
  expect(await warm.events).toBe(letter(0));
  await sleep(500);
  const before = { ...levels(fx.envoy.pid), ...(await envoyMemory(fx)) };
  const load = traffic(fx);
  const streams: { began: string; events: Promise<string> }[] = [];
  for (let version = 2; version < ROUNDS + 2; version++) {
    // What drains ends with its streams, and no more hosts than some may drain at once.
    if (version % MOST_DRAINING === 0) endEvents();
    const { events } = await oneDeploy(fx, version, load, deploy);
    streams.push({ began: letter(version - 1), events });
  }
  const versions = await load.stop();
  endEvents();
  for (const { began, events } of streams) expect(await events).toBe(began);
  const good = Array.from({ length: ROUNDS + 1 }, (_, i) => letter(i + 1));
  expect([...versions.keys()].filter((version) => !good.includes(version))).toEqual([]);
  expect(versions.size).toBe(Math.min(ROUNDS + 1, 26));
  await eventually('descriptors of Envoy', () => channelDescriptors(fx.envoy.pid) <= before.fds, 10_000);
  expect(threads(fx.envoy.pid)).toBe(before.threads);
  const asked = [...versions.values()].reduce((sum, one) => sum + one, 0);
  await sleep(500);
  const after = await envoyMemory(fx);
  const change = (of: 'allocated' | 'resident'): string =>
    `${mebibytes(before[of])} before, ${mebibytes(after[of])} after`;
  console.log(
    `${ROUNDS} ${kind}: ${asked} requests, none failed; Envoy's memory: allocated ${change('allocated')}; resident ${change('resident')}`,
  );
  expect(after.allocated).toBeLessThan(before.allocated * 1.1);
  expect(after.resident).toBeLessThan(before.resident * 1.2);
}

async function oneDeploy<Load>(fx: Fixture, version: number, load: Load, deploy: (version: string) => Promise<void>) {
  const events = eventStream(fx);
  await sleep(200);
  await deploy(letter(version));
  await eventually(`version ${letter(version)}`, async () => (await currentVersion(fx)) === letter(version), 10_000);
  await sleep(200);
  return { load, events };
}

describe('new versions under load: no request fails, and no stream has two of them', () => {
  it('hosts that take the socket over', { timeout: TIMEOUT_MS }, () =>
    scene(async (stage) => {
      const { fx } = stage;
      await deploys('take-overs', stage, async (version) => {
        writeFileSync(file(), source(version));
        await fx.startHost();
      });
      await eventually('one host is left', () => fx.hosts.filter(({ running }) => running).length === 1, 10_000);
      for (const host of fx.hosts.slice(0, -1)) expect((await host.exit).code).toBe(0);
    }),
  );

  it('SIGHUP', { timeout: TIMEOUT_MS }, () =>
    scene(async (stage) => {
      const { pid } = stage.fx.host;
      const before = levels(pid);
      const memory: number[] = [];
      await deploys('reloads', stage, (version) => {
        memory.push(residentBytes(pid));
        writeFileSync(file(), source(version));
        stage.fx.host.signal('SIGHUP');
        return Promise.resolve();
      });
      await eventually('the old threads have ended', () => threads(pid) <= before.threads, 10_000);
      await eventually('descriptors of the host', () => channelDescriptors(pid) <= before.fds, 10_000);
      console.log(`the host's memory at each: ${[...memory, residentBytes(pid)].map(mebibytes).join(', ')}`);
    }),
  );

  it('--watch: an edit is live within a second, and a broken one harms nobody', () =>
    scene(
      async ({ fx }) => {
        expect(await currentVersion(fx)).toBe(letter(0));
        const load = traffic(fx, 'short');
        await sleep(200);
        writeFileSync(file(), `${source('Z')}\nexport const broken: = 1;`);
        await fx.host.waitForOutput(/TSF_RELOAD_FAILED.*version\.ts:\d+:\d+/);
        expect(await currentVersion(fx)).toBe(letter(0));
        const saved = performance.now();
        writeFileSync(file(), source(letter(1)));
        await eventually('the edit is live', async () => (await currentVersion(fx)) === letter(1));
        const took = performance.now() - saved;
        const versions = await load.stop();
        expect([...versions.keys()].sort()).toEqual([letter(0), letter(1)]);
        // A second on a machine that does nothing else.
        expect(took).toBeLessThan(2_000);
        console.log(`an edit was live after ${Math.round(took)} ms`);
      },
      ['--watch'],
    ));
});
