import { fstatSync, readFileSync } from 'node:fs';
import { Endpoint } from 'sharedarraybuffer-ring';
import { expect, test } from 'vitest';
import { addon } from './addon.ts';
import { runNode } from './run-node.ts';

const CAPACITY = 65536;
const SIZE = 4096 + CAPACITY;

/** A pair of files with the host's two mappings, closed and unmapped at the end. */
function files() {
  const outbound = addon.createOutbound(CAPACITY);
  const inbound = addon.createInbound(CAPACITY);
  const host = { outbound: addon.mapOutbound(outbound.fd, SIZE), inbound: addon.mapInbound(inbound.fd, SIZE) };
  return {
    outbound,
    inbound,
    host,
    [Symbol.dispose]() {
      for (const fd of [outbound.fd, inbound.fd]) addon.closeFd(fd);
      for (const buffer of [outbound.buffer, inbound.buffer, host.outbound, host.inbound]) {
        if (buffer.byteLength > 0) addon.unmap(buffer);
      }
    },
  };
}

test('frames cross both ways between the mappings of the module’s side and the host’s', () => {
  using all = files();
  const module = new Endpoint(all.outbound.buffer, all.inbound.buffer, { ring() {} });
  const host = new Endpoint(all.host.inbound, all.host.outbound, { ring() {} });
  for (const [from, to] of [
    [module, host],
    [host, module],
  ] as const) {
    const offset = from.claim(3, 4);
    from.ownBytes.set([1, 2, 3, 4], offset);
    from.commit();
    from.publish();
    let seen: number[] = [];
    to.drain((kind, at, length) => (seen = [kind, ...to.peerBytes.subarray(at, at + length)]));
    expect(seen).toEqual([3, 1, 2, 3, 4]);
  }
});

test('a mapping outlives its descriptor', () => {
  const { fd, buffer } = addon.createOutbound(CAPACITY);
  const host = addon.mapOutbound(fd, SIZE);
  addon.closeFd(fd);
  expect(() => fstatSync(fd)).toThrow('EBADF');
  new Uint8Array(buffer)[5000] = 7;
  expect(new Uint8Array(host)[5000]).toBe(7);
  addon.unmap(host);
  addon.unmap(buffer);
});

test('unmap empties the buffer and its views, once, and the memory is gone from the process', () => {
  using all = files();
  const mapped = () => readFileSync('/proc/self/maps', 'latin1').split('ts_filter_inbound').length;
  const before = mapped();
  const view = new Uint8Array(all.host.inbound);
  addon.unmap(all.host.inbound);
  expect([all.host.inbound.byteLength, view.length]).toEqual([0, 0]);
  expect(mapped()).toBe(before - 1);
  expect(() => addon.unmap(all.host.inbound)).toThrow('unmapped before');
});

test('unmap refuses buffers that are not mappings', () => {
  expect(() => addon.unmap(new ArrayBuffer(8))).toThrow(TypeError);
  expect(() => addon.unmap({} as ArrayBuffer)).toThrow(TypeError);
  expect(() => addon.unmap(new SharedArrayBuffer(8) as unknown as ArrayBuffer)).toThrow(TypeError);
});

test('files of the wrong kind, size or direction are refused', () => {
  using all = files();
  expect(() => addon.mapOutbound(all.outbound.fd, SIZE + 4096)).toThrow(`has ${SIZE} bytes, not ${SIZE + 4096}`);
  expect(() => addon.mapOutbound(all.inbound.fd, SIZE)).toThrow('lacks seals');
  expect(() => addon.mapInbound(all.outbound.fd, SIZE)).toThrow('not permitted');
  expect(() => addon.mapInbound(0, SIZE)).toThrow('not a sealed memory file');
  expect(() => addon.createOutbound(100_000)).toThrow('power of two');
});

test('arguments of the wrong type are refused', () => {
  for (const fd of [-1, 1.5, NaN, 2 ** 31, '3', undefined]) {
    expect(() => addon.mapOutbound(fd as number, SIZE)).toThrow('a file descriptor must be an integer from 0');
    expect(() => addon.ring(fd as number)).toThrow(TypeError);
    expect(() => addon.closeFd(fd as number)).toThrow(TypeError);
  }
  expect(() => addon.mapOutbound(0, 'x' as unknown as number)).toThrow(TypeError);
  expect(() => addon.createInbound(-1)).toThrow(TypeError);
});

test('collected buffers and ended threads give their memory back', async () => {
  const { output, code } = await runNode(`
    import { Worker } from 'node:worker_threads';
    import { once } from 'node:events';
    import { readFileSync } from 'node:fs';
    const mapped = () => readFileSync('/proc/self/maps', 'latin1').split('memfd:ts_filter_').length - 1;
    for (let i = 0; i < 20; i++) addon.closeFd(addon.createOutbound(65536).fd);
    for (let i = 0; i < 20 && mapped() > 0; i++) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    console.log('collected', mapped());
    const worker = new Worker(
      "const addon = require(process.argv[2]); addon.createInbound(65536); require('worker_threads').parentPort.postMessage(1)",
      { eval: true, argv: [addonPath], execArgv: [] },
    );
    await once(worker, 'message');
    await once(worker, 'exit');
    console.log('ended', mapped());
  `);
  expect({ output, code }).toEqual({ output: 'collected 0\nended 0\n', code: 0 });
});

test('a write to a read-only mapping ends the process', async () => {
  const { signal } = await runNode(`
    const { fd } = addon.createOutbound(65536);
    new Uint8Array(addon.mapOutbound(fd, 4096 + 65536))[0] = 1;
  `);
  expect(signal).toBe('SIGSEGV');
});
