import { expect, test } from 'vitest';
import type { ToWorker } from '../thread/messages.js';
import { Channels, type HostChannel } from './channels.js';
import type { Place } from './place.js';
import type { Thread } from './thread.js';

function place(): { place: Place; got: string[] } {
  const got: string[] = [];
  const post = (message: ToWorker): void =>
    void got.push('id' in message ? `${message.type} ${message.id}` : message.type);
  return { place: { post } as unknown as Place, got };
}

function channel(id: number, connection = 1): { channel: HostChannel; said: string[] } {
  const said: string[] = [];
  const say = (word: string) => (): void => void said.push(word);
  const fds = { outbound: 1, inbound: 2, hostBell: 3, workerBell: 4 };
  const done = (why: string): void => void said.push(why);
  const words = { ready: say('ready'), failed: say('failed'), done, free: say('free') };
  return { channel: { connection, id, ringBytes: 65536, fds, ...words }, said };
}

/** A thread that runs on until it is told to end. */
function thread(): { thread: Thread; end(): Promise<void> } {
  let resolve = (): void => undefined;
  const ended = new Promise<void>((done) => (resolve = done));
  const end = async (): Promise<void> => {
    resolve();
    await ended;
  };
  return { thread: { ended } as Thread, end };
}

test('a lost thread: what streams can have used is closed, the rest goes to another one', async () => {
  const channels = new Channels();
  const [a, b] = [place(), place()];
  const [used, unread] = [channel(1), channel(2)];
  channels.open(used.channel, [a.place]);
  channels.ready(a.place, 1, 1);
  channels.open(unread.channel, [a.place]);
  const { thread: gone, end } = thread();
  channels.left(a.place, gone, [b.place]);
  expect(used.said).toEqual(['ready', 'closed']);
  expect(unread.said).toEqual([]);
  expect(b.got).toEqual(['channel 2']);
  await end();
  expect(used.said).toEqual(['ready', 'closed', 'free']);
  channels.ready(a.place, 1, 2);
  expect(unread.said).toEqual([]);
  channels.ready(b.place, 1, 2);
  expect(unread.said).toEqual(['ready']);
});

test('with no thread it waits for one', () => {
  const channels = new Channels();
  const a = place();
  const one = channel(1);
  channels.open(one.channel, []);
  const gone = channel(2);
  channels.open(gone.channel, []);
  channels.close(1, 2);
  expect(gone.said).toEqual(['closed', 'free']);
  channels.joined([a.place]);
  expect(a.got).toEqual(['channel 1']);
});

test('they are spread over the threads', () => {
  const channels = new Channels();
  const [a, b] = [place(), place()];
  for (let id = 1; id <= 4; id++) channels.open(channel(id).channel, [a.place, b.place]);
  expect([a.got.length, b.got.length]).toEqual([2, 2]);
});

test('a module closes one, or goes: descriptors are free when the thread has let go', async () => {
  const channels = new Channels();
  const a = place();
  const all = [channel(1), channel(2), channel(3)];
  for (const one of all) {
    channels.open(one.channel, [a.place]);
    channels.ready(a.place, 1, one.channel.id);
  }
  channels.close(1, 1);
  channels.close(1, 1);
  expect(a.got.filter((what) => what === 'close 1')).toHaveLength(1);
  expect(all[0]!.said).toEqual(['ready']);
  channels.closed(a.place, 1, 1);
  expect(all[0]!.said).toEqual(['ready', 'closed', 'free']);
  channels.disconnect(1);
  channels.disconnected(a.place, 1);
  expect(all[1]!.said).toEqual(['ready', 'free']);

  const last = channel(4, 2);
  channels.open(last.channel, [a.place]);
  channels.ready(a.place, 2, 4);
  channels.disconnect(2);
  const { thread: gone, end } = thread();
  channels.left(a.place, gone, []);
  expect(last.said).toEqual(['ready', 'closed']);
  await end();
  expect(last.said).toEqual(['ready', 'closed', 'free']);
});

test('drained: when there is none, or by order', async () => {
  const channels = new Channels();
  await channels.empty();
  const a = place();
  const one = channel(1);
  channels.open(one.channel, [a.place]);
  channels.ready(a.place, 1, 1);
  expect([channels.readyOf(1), channels.readyOf(2)]).toEqual([1, 0]);
  const empty = Promise.all([channels.empty(), channels.empty()]);
  channels.drained();
  await empty;
  expect(one.said).toEqual(['ready', 'drained', 'free']);
});
