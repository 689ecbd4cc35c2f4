import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { MessageChannel } from 'node:worker_threads';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundleGlobal } from '../loader/loader.js';
import { linkGlobals, runtime } from './runtime.js';
import { GlobalClient, GlobalHost, LinkedThread } from './runtime-global.js';

describe('runtime.perWorker', () => {
  it('makes a value once, for every copy of the package on the thread', async () => {
    let made = 0;
    const factory = (): object => ({ n: ++made });
    const value = runtime.perWorker('a', factory);
    const copy = (await import(`./runtime.js?${'copy'}`)) as typeof import('./runtime.js');
    expect(copy.runtime).not.toBe(runtime);
    expect(copy.runtime.perWorker('a', factory)).toBe(value);
    expect(runtime.perWorker('b', factory)).not.toBe(value);
    expect(made).toBe(2);
  });

  it('remembers also undefined', () => {
    let made = 0;
    for (let i = 0; i < 2; i++) runtime.perWorker('nothing', () => void made++);
    expect(made).toBe(1);
  });
});

interface Counter {
  add(n: number): number;
  fail(): void;
  die(): void;
  hang(): Promise<void>;
  unsendable(): () => void;
}

describe('runtime.global', () => {
  let folder: string;
  let module: URL;
  let thread: URL;
  let host: GlobalHost;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'ts-filter-global-'));
    const file = join(folder, 'counter.mjs');
    writeFileSync(
      file,
      `let n = 0;
       export const add = (by) => (n += by);
       export const fail = async () => { throw new RangeError('no'); };
       export const die = () => process.exit(1);
       export const hang = () => new Promise(() => {});
       export const unsendable = () => () => {};`,
    );
    module = pathToFileURL(file);
    const outfile = join(folder, 'thread.mjs');
    const entry = new URL('runtime-thread.ts', import.meta.url).pathname;
    await build({ entryPoints: [entry], outfile, bundle: true, platform: 'node', format: 'esm', logLevel: 'error' });
    thread = pathToFileURL(outfile);
    host = new GlobalHost({ onError: () => undefined, load: bundleGlobal, file: thread });
  });
  afterAll(async () => {
    await host.dispose();
    rmSync(folder, { recursive: true });
  });

  it('needs a host', () => {
    expect(() => runtime.global('early', module)).toThrow(expect.objectContaining({ code: 'TSF_GLOBAL_FAILED' }));
  });

  it('is one per process, reached from every thread', async () => {
    linkGlobals(host);
    const counter = runtime.global<Counter>('counter', module);
    expect(runtime.global('counter', module)).toBe(counter);
    expect(await counter.add(2)).toBe(2);
    // another thread reaches the same one through its own port to the main thread
    const { port1, port2 } = new MessageChannel();
    host.serve(port1);
    const other = new GlobalClient('counter', module.href, new LinkedThread(port2));
    expect(await other.method('add')(3)).toBe(5);
    expect(await Promise.all([counter.add(1), counter.add(1)])).toEqual([6, 7]);
    port1.close();
  });

  it('rejects with what the function threw, and for functions that are not there', async () => {
    const counter = runtime.global<Counter>('counter', module);
    await expect(counter.fail()).rejects.toMatchObject({ name: 'RangeError', message: 'no' });
    await expect((counter as unknown as { none(): Promise<void> }).none()).rejects.toThrow(/exports no function none/);
    await expect(counter.unsendable()).rejects.toThrow(/cannot be sent/);
    await expect(counter.add((() => 1) as never)).rejects.toMatchObject({ name: 'DataCloneError' });
    expect(await counter.add(0)).toBe(7);
  });

  it('can be awaited itself without being called', async () => {
    const counter = runtime.global<Counter>('counter', module);
    expect(await Promise.resolve(counter)).toBe(counter);
  });

  it('may be TypeScript', async () => {
    const file = join(folder, 'typed.ts');
    writeFileSync(
      file,
      `import { one } from './part.js'; enum Two { two = 2 }\nexport const sum = (n: number): number => n + one + Two.two;`,
    );
    writeFileSync(join(folder, 'part.ts'), 'export const one: number = 1;');
    const typed = runtime.global<{ sum(n: number): number }>('typed', pathToFileURL(file));
    expect(await typed.sum(3)).toBe(6);
  });

  it.each([
    ['throws', `throw new Error('not yet');`, /^runtime\.global\("throws"\): its module does not load: Error: not yet/],
    ['cannot be parsed', 'export const = 1;', /does not load: .*cannot be parsed\.ts:1:14/],
    ['never settles', 'await new Promise(() => {});', /does not load: a top-level await .* never settles/],
  ])('whose module %s says so where it was called, and is tried again by the next call', async (name, source, text) => {
    const file = join(folder, `${name}.ts`);
    writeFileSync(file, source);
    const made = runtime.global<{ ok(): string }>(name, pathToFileURL(file));
    for (let i = 0; i < 2; i++) {
      await expect(made.ok()).rejects.toMatchObject({
        code: 'TSF_GLOBAL_FAILED',
        message: expect.stringMatching(text) as string,
        stack: expect.stringMatching(/runtime\.test\.ts/) as string,
      });
    }
    writeFileSync(file, `export const ok = (): string => 'mended';`);
    expect(await made.ok()).toBe('mended');
  });

  it('that dies rejects what waits, and is started anew by the next call', async () => {
    const counter = runtime.global<Counter>('counter', module);
    const hanging = expect(counter.hang()).rejects.toMatchObject({ code: 'TSF_GLOBAL_FAILED' });
    void counter.die().catch(() => undefined);
    await hanging;
    expect(await counter.add(1)).toBe(1);
  });
});
