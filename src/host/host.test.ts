import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Child } from '../testing/envoy/child.js';
import { FakeModule } from '../../test/fixture/fake-module.js';
import { hostScript, nodeBinary } from '../../test/fixture/paths.js';
import { eventually, sleep } from '../testing/envoy/wait.js';
import * as schema from '../channel/codec/generated/index.js';

const FILTER = `
import { defineFilter } from 'envoy-ts-filter';
import { threadId, isMainThread } from 'node:worker_threads';
import { execSync } from 'node:child_process';
export default defineFilter({
  name: 'probe',
  parseConfig(raw) {
    if (raw?.refuse === true || raw?.refuseIn === threadId) throw new Error('refused in thread ' + threadId);
    return raw;
  },
  create() {
    return {
      async decodeHeaders(headers) {
        const what = headers.get('x-do');
        if (what === 'crash') setTimeout(() => { throw new Error('crash of a filter'); });
        if (what === 'exit') process.exit(3);
        if (what === 'loop') for (;;);
        if (what === 'native') execSync('sleep 6', { stdio: 'ignore' });
        if (what === 'reject') void Promise.reject(new Error('nobody awaits me'));
        if (what === 'wait') await new Promise(() => {});
        if (what === 'late') await new Promise((resolve) => setTimeout(resolve, 50));
        headers.set('x-main', String(isMainThread));
        headers.set('x-init', String(globalThis.initDone));
      },
    };
  },
});`;

let dir: string;
let socket: string;
const hosts: Child[] = [];
const modules: FakeModule[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tsf-host-'));
  socket = join(dir, 's');
  writeFileSync(join(dir, 'probe.ts'), FILTER);
});
afterEach(async () => {
  for (const module of modules.splice(0)) module.close();
  for (const host of hosts.splice(0)) await host.kill();
  rmSync(dir, { recursive: true });
});

function spawnHost(...args: string[]): Child {
  const host = new Child('ts-filter-host', nodeBinary, [hostScript, ...args, '--no-supervise'], {
    XDG_CACHE_HOME: join(dir, 'cache'),
  });
  hosts.push(host);
  return host;
}

async function startHost(...args: string[]): Promise<Child> {
  const host = spawnHost(join(dir, 'probe.ts'), '--socket', socket, ...args);
  await host.waitForOutput(/"listening"/);
  return host;
}

async function connect(): Promise<FakeModule> {
  const module = await FakeModule.greeted(socket);
  modules.push(module);
  return module;
}

const logged = (host: Child, code: string) => host.records.find((record) => record['code'] === code);

describe('handshake', () => {
  test('says once that it listens, with socket, filters and workers', async () => {
    const host = await startHost();
    const lines = host.records.filter((record) => record['msg'] === 'listening');
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ level: 30, socket, filters: ['probe'], workers: 1 });
    expect(statSync(socket).mode & 0o777).toBe(0o600);
  });

  test('refuses another major version and names both', async () => {
    const host = await startHost();
    const module = new FakeModule(socket);
    modules.push(module);
    module.hello(77);
    await module.untilClosed();
    expect(module.refused).toMatch(/host speaks protocol \d+ .*module protocol 77 .*one release/);
    expect(logged(host, 'TSF_PEER_REFUSED')).toBeDefined();
  });

  test.each([
    ['a message before Hello', schema.ControlKind.FilterConfig, Buffer.alloc(32)],
    ['a Hello of rubbish', schema.ControlKind.Hello, Buffer.alloc(64, 0xff)],
    ['an empty Hello', schema.ControlKind.Hello, Buffer.alloc(0)],
    ["a host's own message", schema.ControlKind.Welcome, Buffer.alloc(32)],
  ])('%s ends that connection, is logged, and harms no other', async (_name, kind, payload) => {
    const host = await startHost();
    const good = await connect();
    const bad = new FakeModule(socket);
    modules.push(bad);
    bad.send(kind, payload);
    await bad.untilClosed();
    await eventually('the log line', () => logged(host, 'TSF_MALFORMED'));
    expect((await good.judged(1, 'probe')).accepted).toBe(true);
  });

  test('a message of a kind that nobody knows yet is passed over', async () => {
    await startHost();
    const module = await connect();
    module.send(200, Buffer.alloc(8));
    expect((await module.judged(1, 'probe')).accepted).toBe(true);
  });

  test('a channel that the module uses no more has the last word of the host', async () => {
    await startHost();
    const module = await connect();
    await module.openChannel(1);
    module.channelDone(1);
    await eventually('its last word', () => module.lost.get(1) === false);
    expect((await module.judged(1, 'probe')).accepted).toBe(true);
  });
});

describe('configs', () => {
  test('an unknown filter: the loaded ones and the places searched are named', async () => {
    await startHost();
    const verdict = await (await connect()).judged(1, 'nobody');
    expect(verdict.accepted).toBe(false);
    expect(verdict.message).toMatch(/no filter is named "nobody"; loaded: probe; searched: .*probe\.ts/);
  });

  test("the filter's own refusal comes back", async () => {
    await startHost();
    const module = await connect();
    expect((await module.judged(1, 'probe', { refuse: true })).message).toMatch(/refused in thread/);
    expect((await module.judged(2, 'probe', { refuse: false })).accepted).toBe(true);
  });

  test('one worker that refuses is enough', async () => {
    await startHost('--workers', '3');
    const module = await connect();
    expect(await module.judged(1, 'probe', { refuseIn: 2 })).toMatchObject({ accepted: false });
    expect(await module.judged(2, 'probe', { refuseIn: 99 })).toMatchObject({ accepted: true });
  });
});

describe('channels', () => {
  test.each([['1'], ['2'], ['0']])('with --workers %s every channel of several modules is served', async (workers) => {
    await startHost('--workers', workers);
    for (let m = 0; m < 2; m++) {
      const module = await connect();
      await module.judged(1, 'probe');
      for (const id of [1, 2, 3]) {
        const channel = await module.openChannel(id);
        channel.request(0);
        channel.request(1, { 'x-do': 'late' });
        expect((await channel.answered(0)).kind).toBe(schema.FrameKind.Answer);
        expect((await channel.answered(1)).kind).toBe(schema.FrameKind.Answer);
      }
    }
  });

  test('an impossible ring size ends the connection', async () => {
    const host = await startHost();
    const module = await connect();
    module.offerChannel(1, 100_000);
    await module.untilClosed();
    expect(logged(host, 'TSF_MALFORMED')?.['reason']).toMatch(/a ring of 100000 bytes/);
  });

  test('files that are not of the size said end the connection', async () => {
    await startHost();
    const module = await connect();
    module.offerChannel(1, 128 * 1024);
    await module.untilClosed();
  });

  test('a malformed frame ends the connection', async () => {
    const host = await startHost();
    const module = await connect();
    const channel = await module.openChannel(1);
    channel.frame(schema.FrameKind.Data, Buffer.alloc(64, 0xff));
    await module.untilClosed();
    expect(logged(host, 'TSF_MALFORMED')).toBeDefined();
  });

  test('descriptors do not pile up when modules come and go', async () => {
    const host = await startHost();
    const count = () => readdirSync(`/proc/${host.pid}/fd`).length;
    const visit = async () => {
      const module = await connect();
      await module.judged(1, 'probe');
      const channel = await module.openChannel(1);
      channel.request(0);
      await channel.answered(0);
      module.close();
    };
    for (let i = 0; i < 5; i++) await visit();
    await sleep(100);
    const before = count();
    for (let i = 0; i < 30; i++) await visit();
    await eventually('no more descriptors than before', () => count() <= before);
  });
});

describe('faults of filters', () => {
  test('an unhandled rejection is logged with its code and ends nothing', async () => {
    const host = await startHost();
    const module = await connect();
    await module.judged(1, 'probe');
    const channel = await module.openChannel(1);
    channel.request(0, { 'x-do': 'reject' });
    expect((await channel.answered(0)).kind).toBe(schema.FrameKind.Answer);
    const record = await eventually('the log line', () => logged(host, 'TSF_UNHANDLED_REJECTION'));
    expect(JSON.stringify(record)).toMatch(/nobody awaits me.*probe\.ts:\d+/);
    channel.request(1);
    await channel.answered(1);
    expect(module.closed).toBe(false);
  });

  test.each(['crash', 'exit'])('a worker that dies of %s is replaced; its channel alone is closed', async (what) => {
    const host = await startHost();
    const module = await connect();
    await module.judged(1, 'probe');
    (await module.openChannel(1)).request(0, { 'x-do': what });
    await eventually('the channel is closed', () => module.lost.has(1));
    await eventually('the log line', () => logged(host, 'TSF_WORKER_DIED'));
    expect(module.closed).toBe(false);
    // Of its configs it has said what is to be said.
    const channel = await module.openChannel(2);
    channel.request(0);
    expect((await channel.answered(0)).kind).toBe(schema.FrameKind.Answer);
  });

  test('a channel on another worker does not notice', async () => {
    await startHost('--workers', '2');
    const module = await connect();
    await module.judged(1, 'probe');
    const dying = await module.openChannel(1);
    const living = await module.openChannel(2);
    dying.request(0, { 'x-do': 'crash' });
    await eventually('the channel is closed', () => module.lost.has(1));
    living.request(0);
    await living.answered(0);
    // At once: the other thread takes it.
    const third = await module.openChannel(3);
    third.request(0);
    await third.answered(0);
    expect([...module.lost.keys()]).toEqual([1]);
    expect(module.closed).toBe(false);
  });

  test('a channel that a worker had no time to read goes to another one as it is', async () => {
    await startHost('--workers', '2', '--stall-timeout', '400ms');
    const module = await connect();
    await module.judged(1, 'probe');
    (await module.openChannel(1)).request(0, { 'x-do': 'loop' });
    await sleep(50);
    await module.openChannel(2);
    const offered = module.offerChannel(3); // for the thread that hangs, which has one channel too
    offered.request(0);
    await offered.answered(0);
    expect([...module.lost.keys()]).toEqual([1]);
  });

  test('a channel that its module closes is let go of, and the others serve', async () => {
    const host = await startHost();
    const module = await connect();
    await module.judged(1, 'probe');
    const descriptors = (): number => readdirSync(`/proc/${host.pid}/fd`).length;
    const first = await module.openChannel(1);
    first.request(0, { 'x-do': 'wait' });
    const before = descriptors();
    const second = await module.openChannel(2);
    module.channelDone(1);
    await eventually('its descriptors are closed', () => descriptors() <= before);
    second.request(0);
    await second.answered(0);
    expect(module.closed).toBe(false);
  });
});

describe('start and end', () => {
  test('SIGTERM: drains, waits for open streams, removes socket and lock, exits 0', async () => {
    const host = await startHost();
    const module = await connect();
    await module.judged(1, 'probe');
    const channel = await module.openChannel(1);
    channel.request(0, { 'x-do': 'wait' });
    await sleep(100);
    host.signal('SIGTERM');
    await eventually('Drain', () => module.received.includes(schema.ControlKind.Drain));
    await sleep(300);
    expect(host.running).toBe(true);
    expect(existsSync(socket)).toBe(false);
    expect(existsSync(`${socket}.lock`)).toBe(false);
    channel.end(0);
    module.channelDone(1);
    expect(await host.exit).toEqual({ code: 0, signal: null });
    expect(module.lost.get(1)).toBe(false);
  });

  test('streams that do not end are not waited for longer than --drain-timeout', async () => {
    const host = await startHost('--drain-timeout', '200ms');
    const module = await connect();
    await module.judged(1, 'probe');
    (await module.openChannel(1)).request(0, { 'x-do': 'wait' });
    await sleep(100);
    expect(await host.stop(3000)).toEqual({ code: 0, signal: null });
    expect(module.lost.get(1)).toBe(true);
    expect(host.output).toMatch(/still open when the drain timeout passed/);
  });

  test.each([1, 2])('nor is a thread inside native code, after %i signals', async (signals) => {
    const host = await startHost('--drain-timeout', signals === 1 ? '200ms' : '20s');
    const module = await connect();
    await module.judged(1, 'probe');
    (await module.openChannel(1)).request(0, { 'x-do': 'native' });
    await sleep(300);
    const started = performance.now();
    host.signal('SIGTERM');
    if (signals === 2) {
      await eventually('Drain', () => module.received.includes(schema.ControlKind.Drain));
      host.signal('SIGTERM');
    }
    expect(await host.exit).toEqual({ code: signals === 1 ? 0 : 143, signal: null });
    // the drain timeout, and a second; and some for a loaded machine
    expect(performance.now() - started).toBeLessThan(200 + 1000 + 500);
    expect(existsSync(`${socket}.lock`)).toBe(false);
  });

  test('a second signal ends at once', async () => {
    const host = await startHost();
    const module = await connect();
    await module.judged(1, 'probe');
    (await module.openChannel(1)).request(0, { 'x-do': 'wait' });
    await sleep(100);
    host.signal('SIGTERM');
    await eventually('Drain', () => module.received.includes(schema.ControlKind.Drain));
    host.signal('SIGTERM');
    expect(await host.exit).toEqual({ code: 143, signal: null });
    expect(existsSync(`${socket}.lock`)).toBe(false);
  });

  test('a host that was killed leaves no obstacle', async () => {
    const first = await startHost();
    await first.kill();
    expect(existsSync(`${socket}.lock`)).toBe(true);
    await startHost();
    expect((await (await connect()).judged(1, 'probe')).accepted).toBe(true);
  });

  test('--init runs before the filters load, top-level await included', async () => {
    writeFileSync(
      join(dir, 'init.ts'),
      `(globalThis as { initDone?: string }).initDone = await Promise.resolve('yes');`,
    );
    writeFileSync(join(dir, 'probe.ts'), `if (globalThis.initDone !== 'yes') throw new Error('no init');\n${FILTER}`);
    await startHost('--init', join(dir, 'init.ts'), '--workers', '2');
  });

  test('--workers 0: a top-level await that nothing can settle ends the start and is named', async () => {
    writeFileSync(join(dir, 'init.ts'), 'await new Promise(() => undefined);');
    const init = ['--init', join(dir, 'init.ts')];
    const host = spawnHost(join(dir, 'probe.ts'), '--socket', socket, '--workers', '0', ...init);
    await host.waitForOutput(/TSF_LOAD_FAILED: a top-level await of a filter, or of what it imports, never settles/);
    expect(await host.exit).toMatchObject({ code: 1 });
  });

  test('an init script that throws, or a mistake in a file, ends the start with its place', async () => {
    writeFileSync(join(dir, 'init.ts'), `\n\nthrow new Error('bad init');`);
    const init = spawnHost(join(dir, 'probe.ts'), '--socket', socket, '--init', join(dir, 'init.ts'));
    expect((await init.exit).code).toBe(1);
    expect(init.output).toMatch(/TSF_INIT_FAILED: .*init\.ts:3:\d+: Error: bad init/);
    const mistakes: [string, RegExp][] = [
      ['const x: number = 1;\nexport default {{', /TSF_LOAD_FAILED: .*probe\.ts:2:\d+: /],
      [`\nimport 'no-such-package';`, /TSF_LOAD_FAILED: .*probe\.ts:2:8: Could not resolve/],
      ['export const x = 1;', /TSF_FILTER_NONE: .*probe\.ts: exports no filter/],
    ];
    for (const [source, says] of mistakes) {
      writeFileSync(join(dir, 'probe.ts'), source);
      const filter = spawnHost(join(dir, 'probe.ts'), '--socket', socket);
      expect((await filter.exit).code).toBe(1);
      expect(filter.output).toMatch(says);
    }
    expect(existsSync(socket)).toBe(false);
    expect(existsSync(`${socket}.lock`)).toBe(false);
  });

  test.each([0, 1, 2])('--workers %i: a file that throws while it runs is tried again, the others serve', async (n) => {
    const gone = join(dir, 'gone');
    writeFileSync(gone, '');
    writeFileSync(
      join(dir, 'needy.ts'),
      `import { existsSync } from 'node:fs';
import { defineFilter } from 'envoy-ts-filter';
if (existsSync(${JSON.stringify(gone)})) throw new Error('it is gone');
export default defineFilter({ name: 'needy', parseConfig: (raw) => raw ?? {}, create: () => ({}) });`,
    );
    const host = spawnHost(join(dir, 'probe.ts'), join(dir, 'needy.ts'), '--socket', socket, '--workers', String(n));
    await host.waitForOutput(/"listening"/);
    expect(host.output).toMatch(
      /TSF_LOAD_FAILED: .*needy\.ts:3:\d+: Error: it is gone; its file is loaded again in 1000/,
    );
    const module = await connect();
    expect(await module.judged(1, 'probe')).toMatchObject({ accepted: true, unavailable: false });
    const needy = await module.judged(2, 'needy');
    expect(needy).toMatchObject({ accepted: false, unavailable: true });
    expect(needy.message).toMatch(/^filter "needy" is not there yet: the host cannot load .*needy\.ts now/);
    expect(await module.judged(3, 'nobody')).toMatchObject({ accepted: false, unavailable: true });
    rmSync(gone);
    await eventually('it has loaded', () => module.verdicts.get(2)?.accepted === true, 4_000);
    await eventually('now it is known', () => module.verdicts.get(3)?.unavailable === false);
    expect(module.verdicts.get(3)?.message).toMatch(/no filter is named "nobody"/);
    expect(await module.judged(4, 'needy')).toMatchObject({ accepted: true });
  });
});
