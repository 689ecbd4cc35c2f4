/** A piece of a response's body in `body_filter`: what nginx has in `ngx.arg`. */

/** Each plugin has one of these a stream, so that it can keep what it has seen. */
export class BodyPart {
  /** The piece; what a plugin puts here goes on in its place. Empty: nothing does. */
  data: Uint8Array | string = new Uint8Array(0);
  /** The body's end. Its piece may be empty. */
  eof = false;
  /** Nothing has gone through this plugin yet. */
  first = true;
  private kept: Uint8Array[] = [];
  private length = 0;

  get bytes(): Uint8Array {
    return typeof this.data === 'string' ? Buffer.from(this.data) : this.data;
  }

  /** Keeps the pieces until the end, and then answers the whole, cut off after `max` bytes. */
  hold(max = Infinity): Buffer | undefined {
    const room = max - this.length;
    const piece = this.bytes.length > room ? this.bytes.subarray(0, room) : this.bytes;
    if (piece.length > 0) this.kept.push(piece);
    this.length += piece.length;
    this.data = '';
    if (!this.eof) return undefined;
    const whole = Buffer.concat(this.kept);
    this.kept = [];
    return whole;
  }
}
