/** Single keys of a terminal. Without one nothing is read. */
export class HotKeys {
  readonly #isRaw: boolean;

  constructor(keys: Readonly<Record<string, () => void>>) {
    const { stdin } = process;
    this.#isRaw = stdin.isTTY && process.stdout.isTTY;
    if (!this.#isRaw) return;
    stdin.setRawMode(true);
    stdin.setEncoding('utf8').on('data', (typed: string) => {
      for (const key of typed) {
        // In raw mode Ctrl-C is a key, and no signal.
        if (key === '\x03' || key === '\x04') keys['q']?.();
        else keys[key.toLowerCase()]?.();
      }
    });
  }

  get areThere(): boolean {
    return this.#isRaw;
  }

  close(): void {
    if (!this.#isRaw) return;
    process.stdin.setRawMode(false);
    process.stdin.pause();
  }
}
