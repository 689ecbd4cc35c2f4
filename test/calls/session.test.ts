/** Random sequences of what a runtime can say and a host can do: each call settles once, and the window is kept. */
import { expect, it } from 'vitest';
import type { Connection, ConnectionEvents } from '../../filters/calls/core/connection.js';
import type { Failure } from '../../filters/calls/core/errors.js';
import { encodeFrame, type Frame, FrameReader } from '../../filters/calls/core/frames.js';
import { type PendingCall, Session } from '../../filters/calls/core/session.js';
import { specOf } from '../../filters/calls/core/spec.js';

const RUNS = 400;
const WINDOW = 5;
const nothing = { format: 0, bytes: new Uint8Array() } as const;
const { spec } = specOf('test', undefined, { command: ['none'], stuckMs: 100_000 });

class Play {
  readonly #random: (below: number) => number;
  readonly #reader = new FrameReader();
  readonly session: Session;
  events!: ConnectionEvents;
  /** What the host has sent and the runtime not answered. */
  readonly given = new Set<number>();
  readonly settled = new Map<PendingCall, number>();
  readonly waiting = new Set<PendingCall>();
  readonly ends: Failure[] = [];

  constructor(random: (below: number) => number) {
    this.#random = random;
    const connection: Connection = {
      listen: (events) => (this.events = events),
      write: (bytes) => {
        for (const frame of this.#reader.push(bytes)) if (frame.kind === 'call') this.given.add(frame.id);
        return random(10) > 0;
      },
      end: () => Promise.resolve(),
    };
    this.session = new Session(spec, connection, 100_000, {
      opened: () => undefined,
      room: () => undefined,
      ended: (failure) => this.ends.push(failure),
    });
    this.say({ kind: 'hello', version: 1, window: WINDOW });
    this.say({ kind: 'answer', id: 0, payload: nothing });
  }

  say(frame: Frame): void {
    this.events.bytes(encodeFrame(frame));
  }

  send(): void {
    const settle = (): void => {
      this.settled.set(call, (this.settled.get(call) ?? 0) + 1);
      this.waiting.delete(call);
    };
    const call: PendingCall = { method: 'm', payload: nothing, timeoutMs: 1, answered: settle, failed: settle };
    this.settled.set(call, 0);
    this.waiting.add(call);
    this.session.send(call);
  }

  cancel(): void {
    const [call] = this.waiting;
    if (call === undefined) return;
    this.waiting.delete(call);
    this.settled.set(call, 1); // by its caller
    this.session.cancel(call);
  }

  answer(): void {
    const ids = [...this.given];
    const id = ids[this.#random(ids.length || 1)];
    if (id === undefined) return;
    this.given.delete(id);
    if (this.#random(3) === 0)
      this.say({ kind: 'error', id, name: 'NOPE', payload: { format: 1, bytes: Buffer.from('no') } });
    else this.say({ kind: 'answer', id, payload: nothing });
  }

  breakIt(): void {
    const wrong: readonly (() => void)[] = [
      () => this.events.bytes(new Uint8Array(64).fill(this.#random(256))),
      () => this.say({ kind: 'answer', id: 0xfffffff0, payload: nothing }),
      () => this.say({ kind: 'hello', version: 1, window: 1 }),
      () => this.say({ kind: 'call', id: 1, name: 'm', payload: nothing }),
      () => this.events.closed('gone'),
    ];
    wrong[this.#random(wrong.length)]!();
  }
}

it(`${String(RUNS)} random lives end well`, () => {
  let seed = Number(process.env['SEED'] ?? 7);
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  for (let run = 0; run < RUNS; run++) {
    const play = new Play(random);
    for (let step = random(200); step > 0; step--) {
      const act = random(10);
      if (act < 4 && play.session.hasRoom) play.send();
      else if (act < 5) play.cancel();
      else if (act < 9) play.answer();
      else play.events.drained();
      expect(play.given.size).toBeLessThanOrEqual(WINDOW);
    }
    expect(play.ends).toEqual([]);
    play.breakIt();
    expect(play.ends).toHaveLength(1);
    expect(play.session.hasRoom).toBe(false);
    // What still comes of it is nobody's.
    play.answer();
    play.events.closed('gone');
    play.events.drained();
    expect(play.ends).toHaveLength(1);
    expect([...play.settled.values()].filter((times) => times !== 1)).toEqual([]);
  }
});
