/**
 * The ends of the event loop's turns: one immediate for all streams of a thread. What a filter makes while it goes on with
 * something else must not wait for it any longer than that.
 */
export interface Turning {
  turnEnded(): void;
}

/** As it is when this is loaded: a test's fake timers are about the filters' time, and turns are none of it. */
export const afterTurn: (callback: () => void) => unknown = globalThis.setImmediate;

export class Turns {
  private due: Turning[] = [];

  /** Once for each call. */
  atEnd(one: Turning): void {
    if (this.due.push(one) === 1) afterTurn(this.end);
  }

  private readonly end = (): void => {
    const { due } = this;
    this.due = [];
    for (const one of due) one.turnEnded();
  };
}
