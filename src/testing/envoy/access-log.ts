/** Envoy's access log as it grows: each line is read once. */
import { closeSync, existsSync, openSync, readSync } from 'node:fs';

export interface AccessEntry {
  path: string;
  code: number;
  details: string;
  flags: string;
  method: string;
  /** From the request's first byte to the answer's last, as Envoy saw it. */
  ms: number;
  /** Of `ms`, what an upstream took from the request's last byte to the answer's last; null where none answered. */
  upstream: number | null;
  /** Of a request by `request()`, its number; else null. */
  test: string | null;
}

const PART_BYTES = 256 * 1024;

export class AccessLog {
  private readonly path: string;
  private readonly known: AccessEntry[] = [];
  private at = 0;
  private rest = '';

  constructor(path: string) {
    this.path = path;
  }

  entries(): readonly AccessEntry[] {
    if (!existsSync(this.path)) return this.known;
    const file = openSync(this.path, 'r');
    try {
      const part = Buffer.alloc(PART_BYTES);
      for (let size = 1; size > 0; this.at += size) {
        size = readSync(file, part, 0, PART_BYTES, this.at);
        this.rest += part.toString('latin1', 0, size);
      }
    } finally {
      closeSync(file);
    }
    const lines = this.rest.split('\n');
    this.rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') this.known.push(entryOf(line));
    return this.known;
  }
}

/** Lines are read by bytes, so that one which is cut in a character is whole again. */
const entryOf = (line: string): AccessEntry => JSON.parse(Buffer.from(line, 'latin1').toString()) as AccessEntry;
