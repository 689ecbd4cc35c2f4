// A C++ process and this one exchange frames of random sizes over real shared memory, both directions at once, and
// compare every byte. Each frame that differs, each wake-up that does not come, fails the test by name. RING_FRAMES=100000000
// for so many, in both directions together.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DATA_OFFSET, Endpoint, OFFSET } from 'sharedarraybuffer-ring';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { addon, type Connection } from '../addon/addon.ts';
import { FrameSource } from './frames.ts';

const peerPath = new URL('../../build/test/release/shm/stress_peer_main', import.meta.url).pathname;

let folder: string;
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'ring-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

type Run = { capacity: number; bytes: number; seed: number; start: number; late?: boolean };

// Promise.withResolvers, which Node 20 does not have.
function withResolvers<T>() {
  let resolve!: (value: T) => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<T>((yes, no) => ([resolve, reject] = [yes, no]));
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}

/** Rejects with `message` when nothing has moved for `patience` ms. */
function watchdog(patience: number, message: () => string) {
  let stop!: () => void;
  let moved = Date.now();
  const failed = new Promise<never>((_, reject) => {
    const timer = setInterval(() => {
      if (Date.now() - moved > patience) reject(new Error(message()));
    }, 250);
    stop = () => clearInterval(timer);
  });
  failed.catch(() => undefined);
  return { failed, stop: () => stop(), moved: () => void (moved = Date.now()) };
}

async function exchange({ capacity, bytes, seed, start, late = false }: Run) {
  const path = join(folder, 'socket');
  const connected = withResolvers<{ connection: Connection; fds: number[] }>();
  const listener = new addon.Listener(path, (connection) => {
    connection.onMessage = (_kind, _payload, fds) => connected.resolve({ connection, fds });
  });
  const args = [path, capacity, bytes, seed, start].map(String);
  const peer = spawn(peerPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  peer.stdout.on('data', (data) => (output += data));
  peer.stderr.on('data', (data) => (output += data));
  const exited = new Promise<number | null>((resolve, reject) => peer.once('close', resolve).once('error', reject));

  let sent = 0;
  let received = 0;
  let frames = 0;
  const dog = watchdog(15_000, () => `nothing moves: sent ${sent}, received ${received} of ${bytes}; peer: ${output}`);
  try {
    const early = exited.then((code) => {
      throw new Error(`the peer ended first (${code}): ${output}`);
    });
    early.catch(() => undefined);
    const { connection, fds } = await Promise.race([connected.promise, early, dog.failed]);
    expect(connection.peerPid).toBe(peer.pid);
    expect(fds).toHaveLength(4);
    const size = DATA_OFFSET + capacity;
    const outbound = addon.mapOutbound(fds[0]!, size);
    const inbound = addon.mapInbound(fds[1]!, size);
    const [ownBell, peerBell] = [fds[2]!, fds[3]!];
    addon.closeFd(fds[0]!);
    addon.closeFd(fds[1]!);
    const own = new Int32Array(inbound);
    own[OFFSET.tail >> 2] = own[OFFSET.head >> 2] = start;
    connection.send(1, new Uint8Array()); // its eight bytes are the peer's go-ahead

    let rings = 0;
    const endpoint = new Endpoint(inbound, outbound, { ring: () => (rings++, addon.ring(peerBell)) });
    const peerWords = new Int32Array(outbound);
    const source = new FrameSource(seed + 1, endpoint.maxPayload);
    const expected = new FrameSource(seed, endpoint.maxPayload);
    const done = withResolvers<void>();

    const receive = (kind: number, offset: number, length: number) => {
      if (!expected.matches(kind, endpoint.peerBytes, peerWords, offset, length)) {
        throw new Error(`frame ${frames} of ${length} bytes differs`);
      }
      received += length;
      frames++;
    };
    const produce = () => {
      let room = 64;
      while (sent < bytes && room-- > 0) {
        const { kind, length } = source;
        const offset = endpoint.claim(kind, length);
        if (offset < 0) return;
        source.fill(endpoint.ownBytes, own, offset);
        endpoint.commit();
        sent += length;
      }
      if (sent < bytes) poller.dirty[0] = 1; // more to do: come back before the loop waits
    };
    const guarded = (act: () => void) => () => {
      try {
        act();
      } catch (error) {
        done.reject(error as Error);
      }
    };
    const poller = new addon.Poller(
      ownBell,
      guarded(() => {
        endpoint.wake();
        const count = endpoint.drain(receive, late ? 40 : Infinity);
        if (count > 0) dog.moved();
      }),
      guarded(() => {
        produce();
        endpoint.publish();
        // Checked last: when our own last frame ends it, nobody has a reason to wake us again.
        if (received >= bytes && sent >= bytes) return done.resolve();
        if (!endpoint.sleep()) poller.again();
      }),
    );
    await Promise.race([done.promise, early, dog.failed]);
    poller.close();
    connection.close(); // "I have everything"
    const code = await Promise.race([exited, dog.failed]);
    expect({ code, output }).toMatchObject({ code: 0 });
    addon.unmap(outbound);
    addon.unmap(inbound);
    addon.closeFd(ownBell);
    addon.closeFd(peerBell);
    return { frames, rings, peer: JSON.parse(output) as { frames: number; sleeps: number; rings: number } };
  } finally {
    dog.stop();
    listener.close();
    peer.kill('SIGKILL');
  }
}

const megabytes = (n: number) => n * 1024 * 1024;

const wanted = Number(process.env['RING_FRAMES'] ?? '0');
test.runIf(wanted > 0)(`${wanted} frames arrive as they were sent`, { timeout: 0 }, async () => {
  const began = performance.now();
  let [frames, told] = [0, 0];
  for (let seed = 1000; frames < wanted; seed += 2) {
    const capacity = seed % 8 === 0 ? 131072 : 65536;
    const start = (Math.imul(seed, 0x9e3779b1) >>> 3) * 8;
    const run = await exchange({ capacity, bytes: megabytes(512), seed, start, late: seed % 3 === 0 });
    frames += run.frames + run.peer.frames;
    if (frames - told < wanted / 50 && frames < wanted) continue;
    told = frames;
    console.log(`${frames} of ${wanted} frames in ${Math.round((performance.now() - began) / 1000)} s`);
  }
});

test('a small ring between C++ and JavaScript, full most of the time, delivers every byte', async () => {
  const { frames, peer } = await exchange({ capacity: 65536, bytes: megabytes(96), seed: 5, start: 0 });
  expect(frames).toBeGreaterThan(10_000);
  expect(peer.sleeps).toBeGreaterThan(0);
}, 60_000);

test('a large ring whose positions pass 2^32 delivers every byte', async () => {
  const start = 2 ** 32 - megabytes(4);
  const { frames } = await exchange({ capacity: megabytes(1), bytes: megabytes(128), seed: 77, start });
  expect(frames).toBeGreaterThan(1000);
}, 60_000);

test('a reader that takes a few frames at a time, and starves the C++ side, delivers every byte', async () => {
  await exchange({ capacity: 65536, bytes: megabytes(24), seed: 901, start: 65536 - 8, late: true });
}, 60_000);
