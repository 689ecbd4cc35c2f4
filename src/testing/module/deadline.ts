/** The time that the host has for an answer. Timers are those of the moment in which they are set: a test may fake them. */
export class Deadline {
  private timer: NodeJS.Timeout | undefined;
  private extra = 0;
  private readonly late: () => void;

  constructor(late: () => void) {
    this.late = late;
  }

  get isRunning(): boolean {
    return this.timer !== undefined;
  }

  start(milliseconds: number): void {
    this.stop();
    this.timer = setTimeout(() => {
      const { extra } = this;
      this.timer = undefined;
      if (extra > 0) this.start(extra);
      else this.late();
    }, milliseconds);
  }

  extend(milliseconds: number): void {
    if (this.isRunning) this.extra += milliseconds;
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.extra = 0;
  }
}
