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
  /** The thread that read it is gone. */
  lost(): void;
  /** Nobody uses its descriptors any more. */
  free(): void;
}

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
    if (entry !== undefined) this.#free(entry);
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
      this.#entries.delete(entry);
      if (!entry.isLeaving) entry.channel.lost();
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
    if (entry.place === undefined) this.#free(entry);
  }

  #free(entry: Entry): void {
    this.#entries.delete(entry);
    entry.channel.free();
  }

  #find(connection: ConnectionId, id: number, place?: Place): Entry | undefined {
    for (const entry of this.#entries) {
      if (entry.channel.connection !== connection || entry.channel.id !== id) continue;
      if (place === undefined || entry.place === place) return entry;
    }
    return undefined;
  }
}
