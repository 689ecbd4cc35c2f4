/** The time that the host has for an answer. Timers and clock are those of the moment in which they are used: a test may fake them. */
export class Deadline {
  private timer: NodeJS.Timeout | undefined;
  private at = 0;
  private readonly late: () => void;

  constructor(late: () => void) {
    this.late = late;
  }

  get isRunning(): boolean {
    return this.timer !== undefined;
  }

  start(milliseconds: number): void {
    this.stop();
    this.at = Date.now() + milliseconds;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.late();
    }, milliseconds);
  }

  extend(milliseconds: number): void {
    if (this.isRunning) this.start(this.at - Date.now() + milliseconds);
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }
}
