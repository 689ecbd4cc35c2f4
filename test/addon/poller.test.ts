import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { addon } from './addon.ts';
import { runNode } from './run-node.ts';

let bell: number;
beforeEach(() => void (bell = addon.createDoorbell()));
afterEach(() => addon.closeFd(bell));

const until = (condition: () => boolean) => vi.waitUntil(condition, { timeout: 5000, interval: 1 });

test('a ring calls onWake, then what it queued, then onFlush once', async () => {
  const order: string[] = [];
  const poller = new addon.Poller(
    bell,
    () => {
      order.push('wake');
      queueMicrotask(() => order.push('microtask'));
      process.nextTick(() => order.push('tick'));
    },
    () => void order.push('flush'),
  );
  await until(() => order.includes('flush'));
  expect(order).toEqual(['wake', 'tick', 'microtask', 'flush']); // the first comes without a ring
  order.length = 0;
  addon.ring(bell);
  addon.ring(bell);
  await until(() => order.includes('flush'));
  await sleep(10);
  expect(order).toEqual(['wake', 'tick', 'microtask', 'flush']);
  poller.close();
});

test('without a ring nothing is called', async () => {
  let calls = 0;
  const poller = new addon.Poller(
    bell,
    () => calls++,
    () => calls++,
  );
  await until(() => calls === 2);
  await sleep(30);
  expect(calls).toBe(2);
  poller.close();
});

test('a host is rung through a socket, which tells when nobody will ring any more', async () => {
  const ends = addon.createHostDoorbell();
  let wakes = 0;
  const poller = new addon.Poller(
    ends.host,
    () => wakes++,
    () => undefined,
  );
  await until(() => wakes === 1); // the first look needs no ring
  addon.ringHost(ends.module);
  await until(() => wakes === 2);
  for (let i = 0; i < 10_000; i++) addon.ringHost(ends.module); // nobody hears them, and none of them waits
  await until(() => wakes > 2);
  poller.again();
  const before = wakes;
  await until(() => wakes > before);
  addon.closeFd(ends.module);
  await sleep(20);
  const closed = wakes;
  await sleep(20);
  expect(wakes).toBe(closed);
  poller.close();
  addon.closeFd(ends.host);
});

test('dirty work is flushed before the loop waits again', async () => {
  const order: string[] = [];
  const poller = new addon.Poller(
    bell,
    () => void order.push('wake'),
    () => void order.push('flush'),
  );
  await until(() => order.length === 2);
  await new Promise<void>((resolve) => {
    setTimeout(() => {
      poller.dirty[0] = 1;
      order.push('timer');
      setImmediate(() => setImmediate(resolve));
    }, 1);
  });
  expect(order).toEqual(['wake', 'flush', 'timer', 'flush']);
  expect(poller.dirty[0]).toBe(0);
  poller.close();
});

test('a flush that makes itself dirty for ever does not hold the loop', async () => {
  let flushes = 0;
  const poller: InstanceType<typeof addon.Poller> = new addon.Poller(
    bell,
    () => undefined,
    () => {
      flushes++;
      poller.dirty[0] = 1;
    },
  );
  await sleep(20);
  expect(flushes).toBeGreaterThan(16);
  poller.close();
});

test('close, also inside a callback and twice, ends the callbacks', async () => {
  let flushes = 0;
  const poller: InstanceType<typeof addon.Poller> = new addon.Poller(
    bell,
    () => {
      poller.close();
      poller.close();
    },
    () => flushes++,
  );
  await sleep(10);
  addon.ring(bell);
  poller.dirty[0] = 1;
  await sleep(10);
  expect(flushes).toBe(0);
});

test('the caller may close its descriptor at any time', async () => {
  const own = addon.createDoorbell();
  let wakes = 0;
  const poller = new addon.Poller(
    own,
    () => wakes++,
    () => undefined,
  );
  addon.closeFd(own);
  await until(() => wakes === 1);
  poller.close();
});

test('wrong arguments are refused', () => {
  const nothing = () => undefined;
  expect(() => new addon.Poller(-1, nothing, nothing)).toThrow(TypeError);
  expect(() => new addon.Poller(bell, nothing, undefined as never)).toThrow(TypeError);
  expect(() => new addon.Poller(99_999, nothing, nothing)).toThrow('watching the doorbell');
});

test('what a callback throws is an uncaught exception', async () => {
  for (const [wake, flush] of [
    ['throw new Error("from wake")', ''],
    ['', 'throw new Error("from flush")'],
  ]) {
    const { output, code } = await runNode(`
      process.on('uncaughtException', (error) => { console.log(error.message); poller.close(); });
      const poller = new addon.Poller(addon.createDoorbell(), () => { ${wake} }, () => { ${flush} });
    `);
    expect({ output, code }).toEqual({ output: `from ${wake ? 'wake' : 'flush'}\n`, code: 0 });
  }
});

test('an open poller keeps the process alive until unref or close', async () => {
  const script = (after: string) => `
    const poller = new addon.Poller(addon.createDoorbell(), () => console.log('woken'), () => {});
    setTimeout(() => { console.log('later'); ${after} }, 30);
  `;
  for (const after of ['poller.close()', 'poller.unref()']) {
    expect(await runNode(script(after))).toMatchObject({ output: 'woken\nlater\n', code: 0 });
  }
  expect((await runNode(script(''), 500)).signal).toBe('SIGKILL');
});

test('a worker with open handles can be terminated, and can end the process', async () => {
  const worker = `
    const addon = require(process.argv[2]);
    const { parentPort } = require('node:worker_threads');
    new addon.Poller(addon.createDoorbell(), () => parentPort.postMessage('ready'), () => {});
    new addon.Listener(process.argv[3], () => {});
    addon.connect(process.argv[3]);
  `;
  const { output, errors, code } = await runNode(`
    import { Worker } from 'node:worker_threads';
    import { existsSync, mkdtempSync, rmSync } from 'node:fs';
    import { once } from 'node:events';
    const folder = mkdtempSync('/tmp/addon-');
    for (let i = 0; i < 5; i++) {
      const path = folder + '/' + i;
      const worker = new Worker(${JSON.stringify(worker)}, { eval: true, argv: [addonPath, path], execArgv: [] });
      await once(worker, 'message');
      await worker.terminate();
      if (existsSync(path)) console.log('left behind');
    }
    const last = new Worker(${JSON.stringify(worker)}, { eval: true, argv: [addonPath, folder + '/x'], execArgv: [] });
    await once(last, 'message');
    rmSync(folder, { recursive: true });
    console.log('done');
    process.exit(0);
  `);
  expect({ output, errors, code }).toEqual({ output: 'done\n', errors: '', code: 0 });
});

test('two threads ring each other', async () => {
  const { output, code } = await runNode(`
    import { Worker } from 'node:worker_threads';
    const [here, there] = [addon.createDoorbell(), addon.createDoorbell()];
    const source = \`
      const { workerData } = require('node:worker_threads');
      const addon = require(workerData.addonPath);
      new addon.Poller(workerData.there, () => addon.ring(workerData.here), () => {});
    \`;
    const worker = new Worker(source, { eval: true, workerData: { addonPath, here, there }, execArgv: [] });
    let wakes = 0;
    const poller = new addon.Poller(here, () => {
      if (++wakes < 1000) return addon.ring(there);
      console.log('rung');
      poller.close();
      worker.terminate();
    }, () => {});
  `);
  expect({ output, code }).toEqual({ output: 'rung\n', code: 0 });
});
