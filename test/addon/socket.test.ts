import {
  closeSync,
  existsSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { addon, type Connection } from './addon.ts';

type Listener = InstanceType<typeof addon.Listener>;
type Seen = { kind: number; payload: Buffer; fds: number[] };

const MAX = 16 * 1024 * 1024;

let folder: string;
let path: string;
const closers: (() => void)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'socket-'));
  path = join(folder, 's');
});
afterEach(() => {
  for (const close of closers.splice(0)) close();
  rmSync(folder, { recursive: true, force: true });
});

const until = (condition: () => boolean) => vi.waitUntil(condition, { timeout: 5000, interval: 1 });
const openFds = () => readdirSync('/proc/self/fd').length;

/** Collects what arrives at one end. */
function watch(connection: Connection) {
  const seen = { connection, messages: [] as Seen[], closed: [] as (string | undefined)[] };
  connection.onMessage = (kind, payload, fds) => void seen.messages.push({ kind, payload, fds });
  connection.onClose = (reason) => void seen.closed.push(reason);
  closers.push(() => connection.close());
  return seen;
}

function listen(at = path) {
  const accepted: ReturnType<typeof watch>[] = [];
  const listener: Listener = new addon.Listener(at, (connection) => accepted.push(watch(connection)));
  closers.push(() => listener.close());
  return { listener, accepted };
}

async function pair() {
  const { accepted, listener } = listen();
  const client = watch(addon.connect(path));
  await until(() => accepted.length === 1);
  return { client, server: accepted[0]!, listener };
}

/** A peer that speaks bytes, not messages. */
async function raw() {
  const { accepted } = listen();
  const socket = createConnection(path);
  closers.push(() => socket.destroy());
  await until(() => accepted.length === 1);
  return { socket, server: accepted[0]! };
}

const frame = (length: number, kind: number, payload = Buffer.alloc(0)) => {
  const header = Buffer.alloc(8);
  header.writeUInt32LE(length, 0);
  header.writeUInt32LE(kind, 4);
  return Buffer.concat([header, payload]);
};

test('messages cross both ways, whole and in order', async () => {
  const { client, server } = await pair();
  for (let kind = 0; kind < 200; kind++) client.connection.send(kind, Buffer.from(`message ${kind}`));
  server.connection.send(0xffffffff, new Uint8Array());
  await until(() => server.messages.length === 200 && client.messages.length === 1);
  server.messages.forEach(({ kind, payload, fds }, n) => {
    expect([kind, String(payload), fds]).toEqual([n, `message ${n}`, []]);
  });
  expect(client.messages[0]).toMatchObject({ kind: 0xffffffff, payload: Buffer.alloc(0) });
});

test('the peer’s uid and pid are known', async () => {
  const { client, server } = await pair();
  for (const { connection } of [client, server]) {
    expect([connection.peerUid, connection.peerPid]).toEqual([process.getuid!(), process.pid]);
  }
});

test('the longest message crosses, and a longer one is refused by the sender', async () => {
  const { client, server } = await pair();
  const payload = Buffer.alloc(MAX, 'abcdefg');
  client.connection.send(1, payload);
  client.connection.send(2, payload.subarray(0, 1));
  await until(() => server.messages.length === 2);
  expect(server.messages[0]!.payload.equals(payload)).toBe(true);
  expect(() => client.connection.send(1, Buffer.alloc(MAX + 1))).toThrow(RangeError);
});

test('descriptors arrive with the message that they were sent with', async () => {
  const { client, server } = await pair();
  const file = join(folder, 'file');
  const fds = [0, 1, 2, 3].map((n) => {
    writeFileSync(file + n, 'x'.repeat(n));
    return openSync(file + n, 'r');
  });
  client.connection.send(1, Buffer.from('none'));
  client.connection.send(2, Buffer.alloc(300_000), [fds[0]!, fds[1]!]); // more than one read
  client.connection.send(3, Buffer.from('none'));
  client.connection.send(4, Buffer.alloc(0), [fds[2]!]);
  client.connection.send(5, Buffer.alloc(0), [fds[3]!]);
  fds.forEach((fd) => closeSync(fd)); // ours are copies by now
  await until(() => server.messages.length === 5);
  const sizes = server.messages.map((message) => message.fds.map((fd) => fstatSync(fd).size));
  expect(sizes).toEqual([[], [0, 1], [], [2], [3]]);
  server.messages.forEach((message) => message.fds.forEach(addon.closeFd));
});

test('descriptors that nobody takes are closed', async () => {
  const { client, server } = await pair();
  const before = openFds();
  server.connection.onMessage = null;
  for (let i = 0; i < 10; i++) client.connection.send(1, Buffer.alloc(8), [0, 1, 2]);
  client.connection.close();
  await until(() => server.closed.length === 1);
  expect(openFds()).toBeLessThanOrEqual(before);
});

test('sixteen descriptors are allowed in a message, more are refused by the sender', async () => {
  const { client, server } = await pair();
  client.connection.send(1, Buffer.alloc(0), Array(16).fill(0));
  await until(() => server.messages.length === 1);
  expect(server.messages[0]!.fds).toHaveLength(16);
  server.messages[0]!.fds.forEach(addon.closeFd);
  expect(() => client.connection.send(1, Buffer.alloc(0), Array(17).fill(0))).toThrow(TypeError);
});

test('a message that comes byte by byte is put together', async () => {
  const { socket, server } = await raw();
  for (const byte of frame(3, 7, Buffer.from('abc'))) {
    socket.write(Buffer.of(byte));
    await new Promise(setImmediate);
  }
  await until(() => server.messages.length === 1);
  expect(server.messages[0]).toMatchObject({ kind: 7, payload: Buffer.from('abc') });
});

test('several messages in one write are taken apart', async () => {
  const { socket, server } = await raw();
  socket.write(Buffer.concat([frame(1, 1, Buffer.from('a')), frame(0, 2), frame(2, 3, Buffer.from('bc'))]));
  await until(() => server.messages.length === 3);
  expect(server.messages.map(({ kind, payload }) => [kind, String(payload)])).toEqual([
    [1, 'a'],
    [2, ''],
    [3, 'bc'],
  ]);
});

test('a peer that announces more than 16 MiB is closed with a reason', async () => {
  const { socket, server } = await raw();
  socket.on('error', () => undefined);
  socket.write(frame(MAX + 1, 1));
  await until(() => server.closed.length === 1);
  expect(server.closed).toEqual(['a message of more than 16 MiB']);
  await until(() => socket.destroyed || socket.readableEnded);
});

test('a peer that ends inside a message is closed with a reason, one that ends between messages without', async () => {
  const { socket, server } = await raw();
  socket.end(frame(10, 1, Buffer.from('half')));
  await until(() => server.closed.length === 1);
  expect(server.closed).toEqual(['closed in the middle of a message']);
  const second = join(folder, 'second');
  const { accepted } = listen(second);
  createConnection(second).end(frame(0, 1));
  await until(() => accepted[0]?.closed.length === 1);
  expect([accepted[0]!.messages.length, accepted[0]!.closed]).toEqual([1, [undefined]]);
});

test('what a peer sent before it went is delivered before onClose', async () => {
  const { client, server } = await pair();
  client.connection.send(1, Buffer.alloc(100_000));
  client.connection.close();
  server.connection.send(2, Buffer.alloc(100_000)); // to a peer that is gone
  await until(() => server.closed.length === 1);
  expect(server.messages.map(({ kind }) => kind)).toEqual([1]);
});

test('a peer that does not read costs 64 MiB and is then closed', async () => {
  const { socket, server } = await raw();
  socket.pause();
  socket.on('error', () => undefined);
  for (let i = 0; i < 6; i++) server.connection.send(1, Buffer.alloc(MAX));
  await until(() => server.closed.length === 1);
  expect(server.closed[0]).toContain('64 MiB');
});

test('after close nothing is called, and sending does nothing', async () => {
  const { client, server } = await pair();
  server.connection.close();
  server.connection.close();
  server.connection.send(1, Buffer.from('x'));
  client.connection.send(1, Buffer.from('x'));
  await until(() => client.closed.length === 1);
  expect(server.messages).toEqual([]);
  expect(server.closed).toEqual([]);
});

test('a connection can be closed inside its own callback', async () => {
  const { client, server } = await pair();
  let messages = 0;
  server.connection.onMessage = () => {
    messages++;
    server.connection.close();
  };
  for (let i = 0; i < 5; i++) client.connection.send(i, Buffer.from('x'));
  await until(() => client.closed.length === 1);
  expect(messages).toBe(1);
});

test('the socket’s mode is 0600 whatever the umask, and no other name is left', () => {
  const { listener } = listen();
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(path).isSocket()).toBe(true);
  expect(readdirSync(folder)).toEqual(['s']);
  listener.close();
  expect(existsSync(path)).toBe(false);
});

test('a second listener takes the path over without a gap, and the first does not remove it', async () => {
  const first = listen();
  const early = watch(addon.connect(path));
  const second = listen();
  first.listener.close();
  expect(existsSync(path)).toBe(true);
  const late = watch(addon.connect(path));
  await until(() => first.accepted.length + second.accepted.length === 2);
  expect([early.closed, late.closed]).toEqual([[], []]);
  expect(second.accepted).toHaveLength(1);
  second.listener.close();
  expect(existsSync(path)).toBe(false);
});

test('a file that is no socket is left alone', () => {
  writeFileSync(path, 'precious');
  expect(() => listen()).toThrow('not a socket');
  expect(statSync(path).isFile()).toBe(true);
  expect(readdirSync(folder)).toEqual(['s']);
});

test('paths that cannot be are refused with the system’s words', () => {
  const nothing = () => undefined;
  expect(() => new addon.Listener(join(folder, 'no', 's'), nothing)).toThrow('No such file or directory');
  expect(() => new addon.Listener('/tmp/' + 'x'.repeat(200), nothing)).toThrow('too long');
  expect(() => new addon.Listener('', nothing)).toThrow('too long');
  expect(() => addon.connect(path)).toThrow('No such file or directory');
  expect(() => addon.connect(1 as never)).toThrow(TypeError);
});

test('a Connection cannot be constructed', () => {
  const { Connection } = addon as unknown as { Connection: new () => Connection };
  expect(() => new Connection()).toThrow('comes from a Listener');
});

test('many connections at once are all served', async () => {
  const { accepted } = listen();
  const clients = Array.from({ length: 60 }, () => watch(addon.connect(path)));
  clients.forEach(({ connection }, n) => connection.send(n, Buffer.from(String(n))));
  await until(() => accepted.length === 60 && accepted.every(({ messages }) => messages.length === 1));
});
