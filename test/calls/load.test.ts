/** What becomes of calls when runtimes misbehave. They are worker threads, written into the test, that speak raw frames. */
import { readFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { type CallsError, load, type Loaded, type LoadOptions } from '../../filters/calls/core/index.js';
import { CALLS_ERRORS } from '../../filters/calls/core/errors.js';
import { encodeFrame, type Frame } from '../../filters/calls/core/frames.js';
import { eventually } from '../../src/testing/envoy/wait.js';

interface Any {
  echo(payload: unknown): unknown;
  other(payload: unknown): unknown;
}

const opened: AsyncDisposable[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((one) => one[Symbol.asyncDispose]()));
});
function open(options: LoadOptions): Loaded<Any> {
  const runtime = load<Any>('test', undefined, { graceMs: 100, ...options });
  opened.push(runtime);
  return runtime;
}

const hex = (frame: Frame): string => JSON.stringify(Buffer.from(encodeFrame(frame)).toString('hex'));
const hello = (window = 4, version = 1): Frame => ({ kind: 'hello', version, window });
const nothing = { format: 0, bytes: new Uint8Array() } as const;
const loaded: Frame = { kind: 'answer', id: 0, payload: nothing };

/** Says those frames at once, then does `onCall` (id, method, payload) for each call and `onCancel` (id). */
const peer = (first: readonly Frame[], onCall = '', onCancel = ''): URL =>
  new URL(
    `data:text/javascript,${encodeURIComponent(`
      import { parentPort } from 'node:worker_threads';
      const send = (hex) => parentPort.postMessage(new Uint8Array(Buffer.from(hex, 'hex')));
      const answer = (id, text = '"answered"') => {
        const frame = Buffer.alloc(10 + text.length);
        frame.writeUInt32BE(6 + text.length); frame[4] = 4; frame[5] = 2; frame.writeUInt32BE(id, 6);
        frame.write(text, 10);
        parentPort.postMessage(new Uint8Array(frame));
      };
      const calls = [];
      parentPort.on('message', (bytes) => {
        const frame = Buffer.from(bytes);
        const id = frame.readUInt32BE(6);
        if (frame[4] === 3) {
          const method = frame.subarray(11, 11 + frame[10]).toString();
          calls.push(method);
          ${onCall}
        }
        if (frame[4] === 6) { ${onCancel} }
        if (frame[4] === 7) parentPort.close();
      });
      ${first.map((frame) => `send(${hex(frame)});`).join('\n')}
    `)}`,
  );
const rejected = (promise: Promise<unknown>): Promise<CallsError> =>
  promise.then(
    (value) => Promise.reject(new Error(`answered ${String(value)}`)),
    (e: unknown) => e as CallsError,
  );
const code = async (promise: Promise<unknown>): Promise<string> => (await rejected(promise)).code;

describe('load', () => {
  it.each<[string, unknown]>([
    ['no program', {}],
    ['two programs', { command: ['true'], module: new URL('file:///a') }],
    ['an empty command', { command: [] }],
    ['a module that is no URL', { module: './a.js' }],
    ['a time that is none', { command: ['true'], timeoutMs: 0 }],
    ['a limit that is none', { command: ['true'], maxCalls: 1.5 }],
  ])('refuses %s', (_what, options) => {
    expect(() => load('a', undefined, options as LoadOptions)).toThrow(
      expect.objectContaining({ code: 'CALLS_ARGUMENT' }),
    );
  });

  it('refuses a name that is too long, and an init that is no JSON', () => {
    const refusal = expect.objectContaining({ code: 'CALLS_ARGUMENT' }) as Error;
    expect(() => load('x'.repeat(256), 1, { command: ['true'] })).toThrow(refusal);
    expect(() => load('a', () => 1, { command: ['true'] })).toThrow(refusal);
  });

  it('starts nothing by itself', async () => {
    const runtime = open({ command: ['does-not-exist'] });
    await wait(50);
    expect(Reflect.get(runtime, 'then')).toBeUndefined();
  });
});

describe('a call', () => {
  it('rejects for arguments that cannot be sent, and does not start the runtime', async () => {
    const runtime = open({ command: ['does-not-exist'] });
    const circle: unknown[] = [];
    circle.push(circle);
    expect(await code(runtime.echo(circle))).toBe('CALLS_ARGUMENT');
    expect(await code(runtime.echo(() => 1))).toBe('CALLS_ARGUMENT');
    expect(await code(runtime.echo(1, { timeoutMs: -1 }))).toBe('CALLS_ARGUMENT');
    expect(await code(runtime.echo(new Uint8Array(16 << 20)))).toBe('CALLS_TOO_LARGE');
    const reason = new Error('it has died before');
    await expect(runtime.echo(1, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  it('is refused when too many calls or bytes wait, and those that end make room', async () => {
    const module = peer([hello(1), loaded], 'if (method === "other") answer(id);');
    const runtime = open({ module, maxCalls: 2, maxBytes: 1000, timeoutMs: 200 });
    const first = [runtime.echo(new Uint8Array(600)), runtime.echo(1)].map(code);
    expect(await code(runtime.echo(1))).toBe('CALLS_BUSY');
    expect(await Promise.all(first)).toEqual(['CALLS_DEADLINE', 'CALLS_DEADLINE']);
    const large = rejected(runtime.echo(new Uint8Array(600)));
    expect(await code(runtime.echo(new Uint8Array(600)))).toBe('CALLS_BUSY');
    expect((await large).code).toBe('CALLS_DEADLINE');
  });

  it('waits while the runtime has its window full, and is not sent when nobody waits any more', async () => {
    const module = peer(
      [hello(1), loaded],
      'if (method === "other") answer(id, JSON.stringify(calls)); else setTimeout(() => answer(id), 150);',
    );
    const runtime = open({ module });
    const first = runtime.echo(1);
    const aborter = new AbortController();
    const second = rejected(runtime.echo(2, { signal: aborter.signal }));
    const third = runtime.other(3);
    await wait(20);
    aborter.abort();
    expect((await second).name).toBe('AbortError');
    expect(await first).toBe('answered');
    expect(await third).toEqual(['echo', 'other']);
  });

  it('whose answer comes too late is forgotten, and later ones get their own', async () => {
    const module = peer([hello(), loaded], 'setTimeout(() => answer(id, String(id)), method === "echo" ? 100 : 0);');
    const runtime = open({ module });
    await runtime.other(0);
    expect(await code(runtime.echo(1, { timeoutMs: 20 }))).toBe('CALLS_DEADLINE');
    await wait(150);
    expect(await runtime.other(0)).toBe(3);
  });
});

describe('a runtime', () => {
  it.each<[string, readonly Frame[]]>([
    ['says something before hello', [loaded]],
    ['speaks another version', [hello(4, 2)]],
    ['wants no call at all', [hello(0)]],
    ['says hello twice', [hello(), hello()]],
    ['answers a call that it does not have', [hello(), loaded, { kind: 'answer', id: 99, payload: nothing }]],
    ['sends what only hosts send', [hello(), loaded, { kind: 'shutdown' }]],
  ])('that %s is ended', async (_what, frames) => {
    const runtime = open({ module: peer(frames) });
    const error = await rejected(runtime.echo(1, { timeoutMs: 2000 }));
    expect(error.code).toBe('CALLS_PROTOCOL');
  });

  it('that cannot be started, or ends at once, rejects the call that started it, then rests', async () => {
    const runtime = open({ command: ['does-not-exist'] });
    const error = await rejected(runtime.echo(1));
    expect([error.code, error.message]).toEqual(['CALLS_START_FAILED', 'test: spawn does-not-exist ENOENT']);
    const resting = await rejected(runtime.echo(1));
    expect([resting.code, (resting.cause as CallsError).code]).toEqual(['CALLS_DOWN', 'CALLS_START_FAILED']);
    await wait(120);
    expect(await code(runtime.echo(1))).toBe('CALLS_START_FAILED');
    await wait(120); // the second rest is longer
    expect(await code(runtime.echo(1))).toBe('CALLS_DOWN');

    const ended = await rejected(open({ command: ['sh', '-c', 'exit 7'] }).echo(1));
    expect([ended.code, ended.message]).toEqual([
      'CALLS_START_FAILED',
      'test: it ended before it connected: exit code 7',
    ]);
  });

  it('that says nothing is ended, a command and a worker', async () => {
    const began = performance.now();
    const mute = open({ command: ['sh', '-c', 'exec sleep 60'], startTimeoutMs: 200 });
    expect(await code(mute.echo(1))).toBe('CALLS_START_FAILED');
    const silent = open({ module: peer([]), startTimeoutMs: 200 });
    expect(await code(silent.echo(1))).toBe('CALLS_START_FAILED');
    expect(performance.now() - began).toBeLessThan(3000);
  });

  it('whose cancelled calls fill its window is ended, and the next call has a new one', async () => {
    const module = peer([hello(2), loaded], 'if (method === "other") answer(id);');
    const runtime = open({ module, stuckMs: 100, timeoutMs: 2000 });
    await runtime.other(0);
    const lost = [1, 2].map((n) => code(runtime.echo(n, { timeoutMs: 50 })));
    const behind = runtime.other(3);
    expect(await Promise.all(lost)).toEqual(['CALLS_DEADLINE', 'CALLS_DEADLINE']);
    // It was never sent, so the next life of the runtime can have it.
    expect(await behind).toBe('answered');
  });

  it('that keeps dying rests between its lives', async () => {
    const runtime = open({ module: peer([hello(), loaded], 'process.exit(3);') });
    expect(await code(runtime.echo(1))).toBe('CALLS_DIED');
    expect(await code(runtime.echo(1))).toBe('CALLS_DIED');
    expect(await code(runtime.echo(1))).toBe('CALLS_DOWN');
    await eventually('it is started again', async () => (await code(runtime.echo(1))) === 'CALLS_DIED');
  });

  it('that sends bad JSON fails that call', async () => {
    const runtime = open({ module: peer([hello(), loaded], 'answer(id, "{");') });
    expect(await code(runtime.echo(1))).toBe('CALLS_PROTOCOL');
  });
});

describe('a global runtime', () => {
  // Outside a host the thread that owns it is this one; test/e2e/calls.test.ts has the other way.
  const module = peer(
    [hello(), loaded],
    'if (method === "other") answer(id, JSON.stringify(calls));',
    'calls.push("cancel"); answer(id);',
  );

  it('is one for all who load the same, hears of cancelled calls, and outlives its handles', async () => {
    const [one, two] = [open({ module, isGlobal: true }), open({ module, isGlobal: true })];
    expect(await one.other(1)).toEqual(['other']);
    expect(await code(one.echo(1, { timeoutMs: 100 }))).toBe('CALLS_DEADLINE');
    expect(await two.other(1)).toEqual(['other', 'echo', 'cancel', 'other']);
    const call = code(one.echo(1));
    await one.other(1);
    await one[Symbol.asyncDispose]();
    expect(await call).toBe('CALLS_CLOSED');
    expect(await code(one.other(1))).toBe('CALLS_CLOSED');
    expect(await two.other(1)).toEqual(['other', 'echo', 'cancel', 'other', 'echo', 'other', 'cancel', 'other']);
  });

  it('with another init is another one', async () => {
    const other = load<Any>('test', { not: 'the same' }, { module, isGlobal: true, graceMs: 100 });
    opened.push(other);
    expect(await other.other(1)).toEqual(['other']);
  });

  it('that fails says so as an own one does', async () => {
    const error = await rejected(open({ command: ['does-not-exist'], isGlobal: true }).echo(1));
    expect([error.code, error.message]).toEqual(['CALLS_START_FAILED', 'test: spawn does-not-exist ENOENT']);
  });
});

it('the README has a row for each code', async () => {
  const readme = await readFile(new URL('../../filters/calls/README.md', import.meta.url), 'utf8');
  for (const [name, meaning] of Object.entries(CALLS_ERRORS)) expect(readme).toContain(`| \`${name}\` | ${meaning}`);
});
