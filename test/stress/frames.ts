// The stream of frames that both ends of a stress test know from a seed; cpp/test/shm/frame_source.h makes the same.

export class FrameSource {
  kind = 0;
  length = 0;
  #fill = 0;
  #state: number;
  readonly #max: number;

  constructor(seed: number, maxPayload: number) {
    this.#state = seed | 0;
    this.#max = maxPayload;
    this.#advance();
  }

  /** Writes the current frame and goes on to the next. `offset` is a multiple of 8. */
  fill(bytes: Uint8Array, words: Int32Array, offset: number): void {
    let word = this.#fill;
    const whole = this.length >> 2;
    for (let i = 0; i < whole; i++) {
      words[(offset >> 2) + i] = word;
      word = (Math.imul(word, 1664525) + 1013904223) | 0;
    }
    for (let i = whole * 4; i < this.length; i++, word >>>= 8) bytes[offset + i] = word & 0xff;
    this.#advance();
  }

  /** Is this the current frame, to the last byte? Then on to the next. */
  matches(kind: number, bytes: Uint8Array, words: Int32Array, offset: number, length: number): boolean {
    let same = kind === this.kind && length === this.length;
    let word = this.#fill;
    const whole = this.length >> 2;
    for (let i = 0; same && i < whole; i++) {
      same = words[(offset >> 2) + i] === word;
      word = (Math.imul(word, 1664525) + 1013904223) | 0;
    }
    for (let i = whole * 4; same && i < length; i++, word >>>= 8) same = bytes[offset + i] === (word & 0xff);
    this.#advance();
    return same;
  }

  #advance(): void {
    const shape = this.#random() % 16;
    this.kind = 1 + (this.#random() % 100);
    this.#fill = this.#random() | 0;
    const size = this.#random();
    this.length = shape === 0 ? this.#max : shape === 1 ? 0 : shape < 5 ? size % (this.#max + 1) : size % 200;
  }

  #random(): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return this.#state >>> 0;
  }
}
