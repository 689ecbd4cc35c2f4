// Two threads over shared memory. The worker is plain JavaScript that loads the built package, as a user's would.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { Endpoint, SharedDoorbell, createChannel } from '../src/index.ts';

const built = new URL('../dist/index.js', import.meta.url).href;

// Echoes every frame with its bytes turned over; ends at kind 99.
const echo = `
  const { workerData } = require('node:worker_threads');
  import(${JSON.stringify(built)}).then(({ Endpoint, SharedDoorbell }) => {
    const bell = new SharedDoorbell(workerData.ownBell);
    const endpoint = new Endpoint(workerData.side.own, workerData.side.peer, new SharedDoorbell(workerData.peerBell));
    let open = true;
    const handler = (kind, offset, length) => {
      if (kind === 99) return void (open = false);
      let to;
      while ((to = endpoint.claim(kind, length)) < 0) {
        endpoint.publish();
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
      }
      for (let i = 0; i < length; i++) endpoint.ownBytes[to + i] = endpoint.peerBytes[offset + i] ^ 0xff;
      endpoint.commit();
    };
    while (open) {
      endpoint.drain(handler);
      endpoint.publish();
      if (open && !bell.wait(endpoint, 20000)) throw new Error('no ring in time');
    }
  });
`;

test('two threads exchange frames of every length and wait for each other without losing a ring', async () => {
  const channel = createChannel(65536);
  const [ownBell, peerBell] = [new SharedArrayBuffer(4), new SharedArrayBuffer(4)];
  const worker = new Worker(echo, {
    eval: true,
    workerData: { side: channel.b, ownBell: peerBell, peerBell: ownBell },
  });
  const exited = once(worker, 'exit');
  const failed = once(worker, 'error').then(([error]) => Promise.reject(error as Error));
  failed.catch(() => undefined);
  const bell = new SharedDoorbell(ownBell);
  const endpoint = new Endpoint(channel.a.own, channel.a.peer, new SharedDoorbell(peerBell));

  const total = 5000;
  const length = (n: number) => (n % 100 === 0 ? endpoint.maxPayload : n % 331);
  let sent = 0;
  let received = 0;
  const check = (kind: number, offset: number, size: number) => {
    const n = received++;
    if (kind !== 1 + (n % 50) || size !== length(n)) throw new Error(`frame ${n}: kind ${kind}, ${size} bytes`);
    for (let i = 0; i < size; i++) {
      if (endpoint.peerBytes[offset + i] !== (((n + i) & 0xff) ^ 0xff)) throw new Error(`frame ${n}: byte ${i}`);
    }
  };
  while (received < total) {
    while (sent < total) {
      const to = endpoint.claim(1 + (sent % 50), length(sent));
      if (to < 0) break;
      for (let i = 0; i < length(sent); i++) endpoint.ownBytes[to + i] = sent + i;
      endpoint.commit();
      sent++;
    }
    endpoint.publish();
    if (endpoint.drain(check) > 0) continue;
    const rung = await Promise.race([bell.waitAsync(endpoint, 20_000), failed]);
    if (!rung) throw new Error(`no ring in time: sent ${sent}, received ${received}`);
  }
  endpoint.claim(99, 0);
  endpoint.commit();
  endpoint.publish();
  expect(await exited).toEqual([0]);
  expect(received).toBe(total);
}, 60_000);

test('a wait ends at its timeout and says so', async () => {
  const channel = createChannel(65536);
  const endpoint = new Endpoint(channel.a.own, channel.a.peer, { ring() {} });
  const bell = new SharedDoorbell(new SharedArrayBuffer(4));
  expect(bell.wait(endpoint, 5)).toBe(false);
  expect(endpoint.asleep).toBe(false);
  expect(await bell.waitAsync(endpoint, 5)).toBe(false);
  expect(endpoint.asleep).toBe(false);
});
