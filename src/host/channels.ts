/**
 * Which thread serves which channel. When a thread is lost, its channels are closed one by one, and the modules offer
 * others in their place; those that no stream can have used yet go to another thread as they are.
 */
import type { ChannelFds, ConnectionId } from '../thread/messages.js';
import type { Place } from './place.js';
import type { Thread } from './thread.js';

/** What a module has offered. */
export interface HostChannel {
  readonly connection: ConnectionId;
  readonly id: number;
  readonly ringBytes: number;
  readonly fds: ChannelFds;
  /** A thread reads it. */
  ready(): void;
  /** It cannot be used. */
  failed(message: string): void;
  /** Nothing more comes over it. */
  done(why: ChannelEnd): void;
  /** Nobody uses its descriptors any more. */
  free(): void;
}

/** Its module or its thread has let go of it; or the time that its streams had for their end is up. */
export type ChannelEnd = 'closed' | 'drained';

interface Entry {
  readonly channel: HostChannel;
  /** undefined: it waits for a thread. */
  place: Place | undefined;
  isReady: boolean;
  /** Its module wants it no more; a thread has to let go of it. */
  isLeaving: boolean;
}

export class Channels {
  readonly #entries = new Set<Entry>();
  readonly #onEmpty: (() => void)[] = [];

  /** Settles when there is none. */
  empty(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#entries.size === 0) resolve();
      else this.#onEmpty.push(resolve);
    });
  }

  /** Of a connection: how many can be used. */
  readyOf(connection: ConnectionId): number {
    return [...this.#entries].filter(({ channel, isReady }) => isReady && channel.connection === connection).length;
  }

  open(channel: HostChannel, serving: readonly Place[]): void {
    const entry: Entry = { channel, place: undefined, isReady: false, isLeaving: false };
    this.#entries.add(entry);
    this.#place(entry, serving);
  }

  /** A thread has come. */
  joined(serving: readonly Place[]): void {
    for (const entry of this.#entries) if (entry.place === undefined) this.#place(entry, serving);
  }

  ready(place: Place, connection: ConnectionId, id: number): void {
    const entry = this.#find(connection, id, place);
    if (entry === undefined || entry.isLeaving) return;
    entry.isReady = true;
    entry.channel.ready();
  }

  failed(place: Place, connection: ConnectionId, id: number, message: string): void {
    this.#find(connection, id, place)?.channel.failed(message);
  }

  /** By its module. */
  close(connection: ConnectionId, id: number): void {
    const entry = this.#find(connection, id);
    if (entry === undefined || entry.isLeaving) return;
    this.#leave(entry);
    entry.place?.post({ type: 'close', connection, id });
  }

  /** The thread has let go of it. */
  closed(place: Place, connection: ConnectionId, id: number): void {
    const entry = this.#find(connection, id, place);
    if (entry === undefined) return;
    entry.channel.done('closed');
    this.#free(entry);
  }

  /** Their threads have ended, and no other ones come. */
  drained(): void {
    for (const entry of this.#entries) {
      if (!entry.isLeaving) entry.channel.done('drained');
      this.#free(entry);
    }
  }

  /** A whole module goes; its threads are told by whoever calls. */
  disconnect(connection: ConnectionId): void {
    for (const entry of this.#entries) if (entry.channel.connection === connection) this.#leave(entry);
  }

  disconnected(place: Place, connection: ConnectionId): void {
    for (const entry of this.#entries)
      if (entry.place === place && entry.channel.connection === connection) this.#free(entry);
  }

  left(place: Place, thread: Thread, serving: readonly Place[]): void {
    for (const entry of this.#entries) {
      if (entry.place !== place) continue;
      if (!entry.isReady && !entry.isLeaving) {
        this.#place(entry, serving);
        continue;
      }
      this.#delete(entry);
      entry.channel.done('closed');
      // It may still ring a doorbell.
      void thread.ended.then(() => entry.channel.free());
    }
  }

  /** On the thread that has the fewest. */
  #place(entry: Entry, serving: readonly Place[]): void {
    const load = (place: Place): number => [...this.#entries].filter((other) => other.place === place).length;
    entry.place = undefined;
    const place = [...serving].sort((a, b) => load(a) - load(b))[0];
    if (place === undefined) return;
    entry.place = place;
    const { connection, id, ringBytes, fds } = entry.channel;
    place.post({ type: 'channel', connection, id, ringBytes, fds });
  }

  #leave(entry: Entry): void {
    entry.isLeaving = true;
    if (entry.place !== undefined) return;
    entry.channel.done('closed');
    this.#free(entry);
  }

  #free(entry: Entry): void {
    this.#delete(entry);
    entry.channel.free();
  }

  #delete(entry: Entry): void {
    this.#entries.delete(entry);
    if (this.#entries.size === 0) for (const tell of this.#onEmpty.splice(0)) tell();
  }

  #find(connection: ConnectionId, id: number, place?: Place): Entry | undefined {
    for (const entry of this.#entries) {
      if (entry.channel.connection !== connection || entry.channel.id !== id) continue;
      if (place === undefined || entry.place === place) return entry;
    }
    return undefined;
  }
}
