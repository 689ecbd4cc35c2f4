/** `ts-filter-host dev`, as its author sees it. What it does is the same on every Envoy: it runs on the newest. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import {
  Child,
  envoyBinary,
  envoyVersion,
  eventually,
  hostScript,
  http1,
  nodeBinary,
  root,
  sleep,
} from '../fixture/index.js';
import { freePorts } from '../support/free-ports.js';

const dir = mkdtempSync(join(root, 'build', 'dev-'));
afterAll(() => rmSync(dir, { recursive: true }));
const file = join(dir, 'marks.ts');
const source = (mark: string) => `import { defineFilter } from 'envoy-ts-filter';

export default defineFilter({
  name: 'marks',
  create: () => ({
    decodeHeaders(headers) {
      if (headers.path === '/boom') throw new RangeError('out of marks');
      if (headers.path === '/halt') debugger;
    },
    encodeHeaders(headers) {
      headers.set('x-mark', '${mark}');
    },
  }),
});
`;

let ports: number[];
let dev: Child | undefined;
beforeEach(async () => {
  writeFileSync(file, source('one'));
  ports = await freePorts(3);
});
afterEach(async () => {
  if (dev?.running === true) await dev.stop(15_000);
});

function args(...more: string[]): string[] {
  const [port, admin] = ports;
  const where = ['--envoy', envoyBinary(), '--port', String(port), '--admin-port', String(admin)];
  return [hostScript, 'dev', dir, ...where, ...more];
}

async function started(...more: string[]): Promise<Child> {
  dev = new Child('dev', nodeBinary, args(...more));
  await dev.waitForOutput(/Try:/, 20_000);
  return dev;
}

const get = (path = '/') => http1(ports[0]!, { path });
const mark = async () => (await get()).header('x-mark');

/** It, its children and theirs. */
function family(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean);
  return [pid, ...children.flatMap((child) => family(Number(child)))];
}
const isAlive = (pid: number) => existsSync(`/proc/${pid}`) && !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));

describe.runIf(envoyVersion === '1.40')('dev', () => {
  it('serves, takes an edit in within a second while requests go on, tells of errors, and ends all that it started', async () => {
    const { pid } = await started();
    expect(await mark()).toBe('one');
    expect((await get('/?x=1')).text).toContain('"url": "/?x=1"');

    const pids = family(pid);
    expect(pids.length).toBeGreaterThanOrEqual(4);
    const statuses = new Set<number>();
    writeFileSync(file, source('two'));
    const edited = performance.now();
    for (let last: string | undefined; last !== 'two';) {
      const answer = await get();
      statuses.add(answer.status);
      last = answer.header('x-mark');
      if (performance.now() - edited > 5_000) throw new Error(`still ${last}\n${dev?.output}`);
    }
    expect(performance.now() - edited).toBeLessThan(1_000);
    expect([...statuses]).toEqual([200]);

    dev!.signal('SIGTERM');
    expect(await dev!.exit).toEqual({ code: 0, signal: null });
    await eventually('all of them have ended', () => !pids.some(isAlive));
  });

  it('takes the host along when it is killed itself', async () => {
    const all = family((await started()).pid).slice(1);
    const isEnvoy = (pid: number) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('envoy.yaml');
    const envoys = all.filter(isEnvoy);
    const hosts = all.filter((pid) => !isEnvoy(pid));
    dev!.signal('SIGKILL');
    try {
      await eventually('the host and its parent have ended', () => !hosts.some(isAlive));
      expect([hosts.length >= 2, envoys.length]).toEqual([true, 1]);
    } finally {
      // Nobody tells Envoy.
      for (const pid of envoys) process.kill(pid, 'SIGKILL');
    }
  });

  it('at a terminal: one line per record, the author\u2019s place first, and hot keys', async () => {
    const command = [nodeBinary, ...args()].map((word) => `'${word}'`).join(' ');
    const terminal = spawn('script', ['-qfec', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
    let output = '';
    terminal.stdout.setEncoding('utf8').on('data', (piece: string) => (output += piece));
    const says = (pattern: RegExp) => eventually(`it says ${pattern}:\n${output}`, () => pattern.test(output), 20_000);
    try {
      await says(/r reload/);
      expect((await get('/boom')).status).toBe(500);
      await says(/error.*marks decodeHeaders: RangeError: out of marks/);
      await says(/\n {2}at .*marks\.ts:7:\d+\)?\r\n {2}7 \| .*throw new RangeError/);
      terminal.stdin.write('r');
      await says(/filters loaded anew|reload/);
      terminal.stdin.write('l');
      await says(/log lines from warn up/);
      terminal.stdin.write('q');
      const [code] = (await once(terminal, 'exit')) as [number];
      expect(code).toBe(0);
    } finally {
      terminal.kill('SIGKILL');
    }
  });

  it('a breakpoint of seconds costs no host and no request', async () => {
    await started('--inspect', String(ports[2]));
    const debug = await debuggerAt(ports[2]!);
    const answer = get('/halt');
    await eventually('the filter has halted', () => debug.isHalted());
    await sleep(6_500);
    debug.resume();
    expect((await answer).status).toBe(200);
    expect(dev!.output).not.toMatch(/TSF_|lost/);
    debug.close();
    dev!.signal('SIGTERM');
    await dev!.exit;
  });
});

/** A debugger on the threads behind that port, as an editor is one. */
async function debuggerAt(port: number) {
  const [{ webSocketDebuggerUrl }] = (await (await fetch(`http://127.0.0.1:${port}/json`)).json()) as [
    { webSocketDebuggerUrl: string },
  ];
  const socket = new WebSocket(webSocketDebuggerUrl);
  await once(socket, 'open');
  let id = 0;
  let halted: string | undefined;
  let isReady = false;
  const send = (method: string, params: object = {}) => socket.send(JSON.stringify({ id: ++id, method, params }));
  const toThread = (sessionId: string, method: string) =>
    send('NodeWorker.sendMessageToWorker', { sessionId, message: JSON.stringify({ id: ++id, method }) });
  socket.on('message', (data: Buffer) => {
    const { method, params } = JSON.parse(data.toString()) as {
      method?: string;
      params?: { sessionId: string; message?: string };
    };
    if (params === undefined) return;
    if (method === 'NodeWorker.attachedToWorker') toThread(params.sessionId, 'Debugger.enable');
    if (params.message?.includes('debuggerId')) isReady = true;
    if (method === 'NodeWorker.receivedMessageFromWorker' && params.message?.includes('Debugger.paused'))
      halted = params.sessionId;
  });
  send('NodeWorker.enable', { waitForDebuggerOnStart: false });
  await eventually('the debugger is in the thread', () => isReady);
  return {
    isHalted: () => halted !== undefined,
    resume: () => toThread(halted!, 'Debugger.resume'),
    close: () => socket.close(),
  };
}
