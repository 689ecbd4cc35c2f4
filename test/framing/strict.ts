/**
 * A strict reader of HTTP/1 messages (RFC 9112), for both ends. What can be read on is noted as a fault of the message;
 * what cannot is thrown: then nobody knows where the next message begins.
 */
import type { Socket } from 'node:net';
import type { Line } from '../fixture/http1.js';

/** The bytes are no message, or end in the middle of one. */
export class Unreadable extends Error {}
/** The connection ended in the middle of a message. */
export class Cut extends Unreadable {}

/** What has come on a connection and was not read yet. */
export class Incoming {
  private pending: Buffer = Buffer.alloc(0);
  private over = false;
  private wake: () => void = () => undefined;

  constructor(readonly socket: Socket) {
    socket.setNoDelay(true);
    socket.on('data', (piece: Buffer) => {
      this.pending = this.pending.length === 0 ? piece : Buffer.concat([this.pending, piece]);
      this.wake();
    });
    for (const event of ['end', 'close', 'error']) {
      socket.on(event, () => {
        this.over = true;
        this.wake();
      });
    }
  }

  /** The peer sends no more. */
  get ended(): boolean {
    return this.over;
  }

  get waiting(): number {
    return this.pending.length;
  }

  /** The first bytes that wait, as text, for reports. */
  get shown(): string {
    return JSON.stringify(this.pending.toString('latin1', 0, 60));
  }

  /** Waits for more; false: there is none. */
  async more(): Promise<boolean> {
    const before = this.pending.length;
    while (this.pending.length === before && !this.over)
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    return this.pending.length > before;
  }

  /** Up to CRLF, which is taken and not returned. */
  async line(): Promise<string> {
    for (;;) {
      const end = this.pending.indexOf('\n');
      if (end >= 0) {
        const line = this.pending.toString('latin1', 0, end);
        if (!line.endsWith('\r')) throw new Unreadable(`a line without CR: ${JSON.stringify(line.slice(0, 60))}`);
        this.pending = this.pending.subarray(end + 1);
        return line.slice(0, -1);
      }
      if (!(await this.more())) throw new Cut('the connection ended inside a line');
    }
  }

  async exactly(count: number): Promise<Buffer> {
    while (this.pending.length < count)
      if (!(await this.more())) throw new Cut(`the connection ended ${count - this.pending.length} bytes too early`);
    const bytes = this.pending.subarray(0, count);
    this.pending = this.pending.subarray(count);
    return Buffer.from(bytes);
  }

  async toEnd(): Promise<Buffer> {
    while (await this.more());
    const bytes = this.pending;
    this.pending = Buffer.alloc(0);
    return bytes;
  }
}

const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// eslint-disable-next-line no-control-regex -- these are the characters that a value may not have
const NO_VALUE = /[\x00-\x08\x0a-\x1f\x7f]/;

export async function readLines(from: Incoming): Promise<Line[]> {
  const lines: Line[] = [];
  for (;;) {
    const line = await from.line();
    if (line === '') return lines;
    const colon = line.indexOf(':');
    const [name, value] = [line.slice(0, Math.max(0, colon)), line.slice(colon + 1)];
    if (!NAME.test(name)) throw new Unreadable(`no header line: ${JSON.stringify(line.slice(0, 60))}`);
    if (NO_VALUE.test(value)) throw new Unreadable(`no header value: ${JSON.stringify(line.slice(0, 60))}`);
    lines.push([name.toLowerCase(), value.trim()]);
  }
}

export const all = (lines: readonly Line[], name: string): string[] =>
  lines.filter(([key]) => key === name).map(([, value]) => value);
export const one = (lines: readonly Line[], name: string): string | undefined => all(lines, name)[0];

export type Framing =
  { readonly kind: 'length'; readonly size: number } | { readonly kind: 'chunked' } | { readonly kind: 'none' };

/** What the headers say of the body; noted is what may not stand there. */
export function framingOf(lines: readonly Line[], version: '1.0' | '1.1', faults: string[]): Framing {
  const lengths = all(lines, 'content-length');
  const codings = all(lines, 'transfer-encoding');
  if (lengths.length > 1) faults.push(`${lengths.length} content-length`);
  if (lengths.some((length) => !/^\d+$/.test(length))) throw new Unreadable(`content-length: ${lengths.join()}`);
  if (codings.length > 0) {
    if (lengths.length > 0) faults.push('content-length and transfer-encoding');
    if (codings.length > 1 || codings[0]!.toLowerCase() !== 'chunked')
      throw new Unreadable(`transfer-encoding: ${codings.join()}`);
    if (version === '1.0') faults.push('transfer-encoding to HTTP/1.0');
    return { kind: 'chunked' };
  }
  return lengths.length > 0 ? { kind: 'length', size: Number(lengths[0]) } : { kind: 'none' };
}

export interface Content {
  readonly body: Buffer;
  readonly trailers: readonly Line[];
}

/** Keeps what has come of a body that is cut. */
export class CutBody extends Cut {
  constructor(
    message: string,
    readonly body: Buffer,
  ) {
    super(message);
  }
}

async function readChunked(from: Incoming): Promise<Content> {
  const pieces: Buffer[] = [];
  try {
    for (;;) {
      const line = await from.line();
      if (!/^[0-9a-fA-F]{1,8}$/.test(line)) throw new Unreadable(`no chunk size: ${JSON.stringify(line.slice(0, 60))}`);
      const size = parseInt(line, 16);
      if (size === 0) return { body: Buffer.concat(pieces), trailers: await readLines(from) };
      pieces.push(await from.exactly(size));
      if ((await from.line()) !== '') throw new Unreadable('a chunk is longer than its size');
    }
  } catch (error) {
    if (error instanceof Cut) throw new CutBody(error.message, Buffer.concat(pieces));
    throw error;
  }
}

/** The body that those headers announce. */
export async function readContent(from: Incoming, framing: Framing): Promise<Content> {
  if (framing.kind === 'chunked') return readChunked(from);
  if (framing.kind === 'none') return { body: Buffer.alloc(0), trailers: [] };
  try {
    return { body: await from.exactly(framing.size), trailers: [] };
  } catch (error) {
    if (error instanceof Cut) throw new CutBody(error.message, await from.toEnd());
    throw error;
  }
}

/** Statuses whose answers have no body whatever their headers say (RFC 9110, 6.4.1). */
export const bodiless = (method: string, status: number): boolean =>
  method === 'HEAD' || status < 200 || status === 204 || status === 304 || (method === 'CONNECT' && status < 300);

export interface Start {
  readonly version: '1.0' | '1.1';
  readonly status: number;
  readonly lines: readonly Line[];
}

export async function readStart(from: Incoming): Promise<Start> {
  const first = await from.line();
  const match = /^HTTP\/(1\.[01]) (\d{3}) [\t\x20-\x7e\x80-\xff]*$/.exec(first);
  if (match === null) throw new Unreadable(`no status line: ${JSON.stringify(first.slice(0, 60))}`);
  return { version: match[1] as '1.0' | '1.1', status: Number(match[2]), lines: await readLines(from) };
}
