/** A host gives way to another, or its filters to others, as a module sees it. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Builder } from 'flatbuffers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Child } from '../testing/envoy/child.js';
import { FakeModule } from '../../test/fixture/fake-module.js';
import { hostScript, nodeBinary } from '../../test/fixture/paths.js';
import { eventually, sleep } from '../testing/envoy/wait.js';
import { loadAddon } from '../base/addon.js';
import * as schema from '../channel/codec/generated/index.js';

const { ControlKind, TakeOverStep } = schema;

const filter = (more = ''): string => `
import { defineFilter } from 'envoy-ts-filter';
export default defineFilter({
  name: 'probe',
  parseConfig(raw) {
    ${more}
    return raw;
  },
  create: () => ({
    async decodeHeaders(headers) {
      if (headers.get('x-do') === 'wait') await new Promise(() => {});
    },
  }),
});`;

let dir: string;
let socket: string;
const hosts: Child[] = [];
const modules: FakeModule[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tsf-redeploy-'));
  socket = join(dir, 's');
  writeFileSync(join(dir, 'probe.ts'), filter());
});
afterEach(async () => {
  for (const module of modules.splice(0)) module.close();
  for (const host of hosts.splice(0)) await host.kill();
  rmSync(dir, { recursive: true });
});

function spawnHost(...args: string[]): Child {
  const all = [hostScript, join(dir, 'probe.ts'), '--socket', socket, ...args];
  const host = new Child('ts-filter-host', nodeBinary, all, { XDG_CACHE_HOME: join(dir, 'cache') });
  hosts.push(host);
  return host;
}

async function startHost(...args: string[]): Promise<Child> {
  const host = spawnHost('--no-supervise', ...args);
  await host.waitForOutput(/"listening"/);
  return host;
}

async function connect(): Promise<FakeModule> {
  const module = await FakeModule.greeted(socket);
  modules.push(module);
  return module;
}

/** A module with a config and a channel. */
async function connected(): Promise<FakeModule> {
  const module = await connect();
  expect((await module.judged(1, 'probe')).accepted).toBe(true);
  await module.openChannel(1);
  return module;
}

const holder = (): number => (JSON.parse(readFileSync(`${socket}.lock`, 'utf8')) as { pid: number }).pid;
const logged = (host: Child, code: string) => host.records.find((record) => record['code'] === code);
const isDrained = (module: FakeModule) => module.received.includes(ControlKind.Drain);
const threads = (host: Child): number => readdirSync(`/proc/${host.pid}/task`).length;

describe('a second host', () => {
  test('takes the socket over; the first one drains and exits with 0', async () => {
    const first = await startHost();
    const old = await connected();
    const second = await startHost();
    await eventually('Drain', () => isDrained(old));
    expect(holder()).toBe(second.pid);
    const young = await connected();
    expect(first.running).toBe(true);
    old.channelDone(1);
    expect(await first.exit).toEqual({ code: 0, signal: null });
    expect(holder()).toBe(second.pid);
    expect(existsSync(socket)).toBe(true);
    expect(young.closed).toBe(false);
  });

  test('supervised on both sides: the parents do not start again what has given way', async () => {
    const first = spawnHost();
    await first.waitForOutput(/"listening"/);
    const second = spawnHost();
    await second.waitForOutput(/"listening"/);
    expect(await first.exit).toEqual({ code: 0, signal: null });
    expect((await (await connect()).judged(1, 'probe')).accepted).toBe(true);
    expect(await second.stop(5_000)).toEqual({ code: 0, signal: null });
  });

  test('whose filters do not load leaves the first in its place', async () => {
    const first = await startHost();
    const module = await connected();
    writeFileSync(join(dir, 'probe.ts'), `throw new Error('a bad release');`);
    const second = spawnHost('--no-supervise');
    expect((await second.exit).code).toBe(1);
    expect(second.output).toContain('a bad release');
    await module.settle();
    expect(isDrained(module)).toBe(false);
    expect(holder()).toBe(first.pid);
  });

  test('several at once: one after the other, and the last one has the socket', async () => {
    await startHost();
    const young = await Promise.all([startHost(), startHost(), startHost()]);
    await eventually('one is left', () => young.filter((one) => one.running).length === 1);
    expect(hosts.filter((one) => one.running).map((one) => one.pid)).toEqual([holder()]);
    expect((await (await connect()).judged(1, 'probe')).accepted).toBe(true);
  });

  test('that dies between the path and its word: the first one takes its place again', async () => {
    const first = await startHost();
    const module = await connected();
    const addon = loadAddon();
    const successor = addon.connect(socket);
    let granted = false;
    successor.onMessage = (kind) => (granted ||= kind === ControlKind.TakeOver);
    const b = new Builder(64);
    b.finish(schema.TakeOver.createTakeOver(b, TakeOverStep.Ask));
    successor.send(ControlKind.TakeOver, b.asUint8Array());
    await eventually('the place is granted', () => granted);
    // What is left of a process that was killed there.
    rmSync(socket);
    writeFileSync(`${socket}.lock`, JSON.stringify({ pid: 2 ** 22 - 1, started: '1' }));
    successor.close();
    await eventually('it listens again', () => existsSync(socket));
    expect(holder()).toBe(first.pid);
    expect(isDrained(module)).toBe(false);
    expect((await (await connect()).judged(1, 'probe')).accepted).toBe(true);
    expect(await startHost()).toMatchObject({ running: true });
  });

  test('that a parent starts again leaves the host in its place that has come meanwhile', async () => {
    const newer = await startHost();
    const again = spawnHost('--no-supervise', '--started-again');
    expect(await again.exit).toEqual({ code: 0, signal: null });
    expect(again.output).toContain('has come meanwhile');
    expect(holder()).toBe(newer.pid);
  });

  test('leaves a first one that does not answer, and names it', async () => {
    const first = await startHost();
    first.signal('SIGSTOP');
    const second = spawnHost('--no-supervise');
    expect((await second.exit).code).toBe(1);
    expect(second.output).toContain(
      `TSF_HOST_RUNNING: a host with pid ${first.pid} serves ${socket} and does not answer`,
    );
    first.signal('SIGCONT');
    expect((await (await connect()).judged(1, 'probe')).accepted).toBe(true);
  });

  test('starts while the first one still drains behind SIGTERM', async () => {
    const first = await startHost();
    const old = await connected();
    first.signal('SIGTERM');
    await eventually('Drain', () => isDrained(old));
    await startHost();
    expect(first.running).toBe(true);
    expect((await (await connect()).judged(1, 'probe')).accepted).toBe(true);
  });
});

describe('SIGHUP', () => {
  test('new threads: announced, judged, and the old ones end when their channels are done', async () => {
    const host = await startHost();
    const module = await connected();
    const before = threads(host);
    host.signal('SIGHUP');
    await eventually('a generation', () => module.generations.length === 1);
    expect(module.generations).toEqual([1]);
    await eventually('its verdict', () => module.verdicts.get(1)?.accepted);
    expect(isDrained(module)).toBe(false);
    const channel = await module.openChannel(2, 1);
    await eventually('Drain of the old one', () => isDrained(module));
    channel.request(0);
    await channel.answered(0);
    module.channelDone(1);
    await eventually('the last word', () => module.lost.get(1) === false);
    await eventually('no more threads than before', () => threads(host) <= before);
    // A module that comes later knows of one generation only.
    const later = await connected();
    expect(later.generations).toEqual([]);
  });

  test('streams that do not end are not waited for longer than --drain-timeout', async () => {
    const host = await startHost('--drain-timeout', '300ms');
    const module = await connect();
    await module.judged(1, 'probe');
    (await module.openChannel(1)).request(0, { 'x-do': 'wait' });
    host.signal('SIGHUP');
    await eventually('a generation', () => module.generations.length === 1);
    await module.openChannel(2, 1);
    await eventually('the last word', () => module.lost.get(1) === true);
    expect(module.lost.has(2)).toBe(false);
  });

  test.each([
    ['does not compile', 'export default }', /probe\.ts:1:16: .*Unexpected "}"/],
    ['throws', `\nthrow new Error('not today');`, /probe\.ts:2:7: Error: not today/],
    [
      'refuses a config',
      filter(`throw new Error('no more');`),
      /a config that is accepted now is refused: filter "probe": no more/,
    ],
  ])('code that %s: the old code serves on', async (_what, source, says) => {
    const host = await startHost();
    const module = await connected();
    const before = threads(host);
    writeFileSync(join(dir, 'probe.ts'), source);
    host.signal('SIGHUP');
    const line = await eventually('the log line', () => logged(host, 'TSF_RELOAD_FAILED'));
    expect(line['msg']).toMatch(says);
    expect(module.generations).toEqual([]);
    await eventually('no more threads than before', () => threads(host) <= before);
    const channel = await module.openChannel(2);
    channel.request(0);
    await channel.answered(0);
    // And a mended one is taken.
    writeFileSync(join(dir, 'probe.ts'), filter());
    host.signal('SIGHUP');
    await eventually('a generation', () => module.generations.length === 1);
  });

  test('one that hangs in preparation is given up for the next', async () => {
    const host = await startHost();
    const module = await connected();
    writeFileSync(join(dir, 'probe.ts'), filter('return new Promise(() => {});'));
    host.signal('SIGHUP');
    await module.settle();
    writeFileSync(join(dir, 'probe.ts'), filter());
    host.signal('SIGHUP');
    await eventually('a generation', () => module.generations.length === 1);
    expect(logged(host, 'TSF_RELOAD_FAILED')).toBeUndefined();
  });

  test('--workers 0 cannot', async () => {
    const host = await startHost('--workers', '0');
    const module = await connected();
    host.signal('SIGHUP');
    const line = await eventually('the log line', () => logged(host, 'TSF_RELOAD_FAILED'));
    expect(line['msg']).toContain('use --workers 1');
    expect(module.closed).toBe(false);
  });

  test('a parent passes it on', async () => {
    const host = spawnHost();
    await host.waitForOutput(/"listening"/);
    const module = await connected();
    host.signal('SIGHUP');
    await eventually('a generation', () => module.generations.length === 1);
    module.close();
    expect(await host.stop(5_000)).toEqual({ code: 0, signal: null });
  });
});

test.each([['--no-supervise'], ['--workers=1']])('%s: the end of its terminal is the end of the host', async (flag) => {
  const command = [nodeBinary, hostScript, join(dir, 'probe.ts'), '--socket', socket, flag].join(' ');
  const terminal = new Child('script', 'script', ['-qc', `exec ${command}`, '/dev/null']);
  hosts.push(terminal);
  await terminal.waitForOutput(/"listening"/);
  await terminal.kill();
  await eventually('the socket is free', () => !existsSync(socket) && !existsSync(`${socket}.lock`));
});

describe('--watch', () => {
  test('an edit of a file, or of what it imports, is loaded; what is the same is not', async () => {
    writeFileSync(join(dir, 'part.ts'), `export const part = 1;`);
    writeFileSync(join(dir, 'probe.ts'), `import { part } from './part.js';\n${filter('void part;')}`);
    const host = await startHost('--watch');
    const module = await connected();
    const edited = async (file: string, text: string, generations: number): Promise<void> => {
      writeFileSync(join(dir, file), text);
      await eventually('a generation', () => module.generations.length === generations);
    };
    await edited('part.ts', `export const part = 2;`, 1);
    await edited('probe.ts', filter('void 3;'), 2);
    writeFileSync(join(dir, 'probe.ts'), filter('void 3;'));
    writeFileSync(join(dir, 'part.ts'), `export const part = 4;`);
    await module.settle();
    await module.settle();
    expect(module.generations).toEqual([1, 2]);
    expect(logged(host, 'TSF_RELOAD_FAILED')).toBeUndefined();
  });

  test('a new filter in a folder is loaded, in a folder of its own too', async () => {
    const folder = join(dir, 'filters');
    mkdirSync(join(folder, 'second'), { recursive: true });
    writeFileSync(join(folder, 'probe.ts'), filter());
    const all = [hostScript, folder, '--socket', socket, '--no-supervise', '--watch'];
    const host = new Child('ts-filter-host', nodeBinary, all, { XDG_CACHE_HOME: join(dir, 'cache') });
    hosts.push(host);
    await host.waitForOutput(/"listening"/);
    writeFileSync(join(folder, 'second', 'index.ts'), filter().replace('probe', 'second'));
    await host.waitForOutput(/"filters":\["probe","second"\].*loaded anew/);
    mkdirSync(join(folder, 'third'));
    await sleep(200);
    writeFileSync(join(folder, 'third', 'index.ts'), filter().replace('probe', 'third'));
    await host.waitForOutput(/"filters":\["probe","second","third"\].*loaded anew/);
  });

  test('a broken edit is logged with its place, the mended one is loaded', async () => {
    const host = await startHost('--watch');
    const module = await connected();
    writeFileSync(join(dir, 'probe.ts'), `${filter()}\nconst = 1;`);
    const line = await eventually('the log line', () => logged(host, 'TSF_RELOAD_FAILED'));
    expect(line['msg']).toMatch(/probe\.ts:15:7: /);
    writeFileSync(join(dir, 'probe.ts'), filter('void 1;'));
    await eventually('a generation', () => module.generations.length === 1);
  });
});
