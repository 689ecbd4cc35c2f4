/** What the tests of the Golang filter's cases share. */
import { beforeEach } from 'vitest';
import {
  eventually,
  http1,
  http2,
  type Fixture,
  type Handler,
  type Line,
  type Request,
  type Response,
} from '../../fixture/index.js';
import type { Protocol } from './case.js';

export const exchange = (protocol: Protocol, port: number, request: Request): Promise<Response> =>
  (protocol === 'http2' ? http2 : http1)(port, request);

/** A request as the upstream saw it. */
export interface Recorded {
  readonly method: string;
  readonly path: string;
  readonly headers: readonly Line[];
  readonly body: string;
  readonly trailers: readonly Line[];
}

export const values = (lines: readonly Line[], name: string): string[] =>
  lines.filter(([key]) => key === name).map(([, value]) => value);

/** An upstream that keeps what it saw in the running test. */
export class Recorder {
  readonly seen: Recorded[] = [];

  constructor() {
    beforeEach(() => {
      this.seen.length = 0;
    });
  }

  /** Reads all of the request, then lets `answer` answer. */
  handler(answer: Handler): Handler {
    return async (req, res, query) => {
      const body: Buffer[] = [];
      for await (const piece of req) body.push(piece as Buffer);
      const lines = (flat: readonly string[]): Line[] =>
        flat.flatMap((name, i): Line[] => (i % 2 === 0 ? [[name.toLowerCase(), flat[i + 1]!]] : []));
      this.seen.push({
        method: req.method ?? '',
        path: req.url ?? '',
        headers: lines(req.rawHeaders),
        body: Buffer.concat(body).toString('latin1'),
        trailers: lines(req.rawTrailers),
      });
      await answer(req, res, query);
    };
  }

  /** The one request since the last call; another number is an error. */
  one(): Recorded {
    const all = this.seen.splice(0);
    if (all.length !== 1) throw new Error(`the upstream saw ${all.length} requests instead of one`);
    return all[0]!;
  }
}

/** Two chunks, the second one sent when the filter counted that it has the first. */
export async function* twoChunks(
  fx: Fixture,
  counter: string,
  first: string,
  second: string,
): AsyncGenerator<string, void> {
  const count = async () => (await fx.counters())[counter] ?? 0;
  const before = await count();
  yield first;
  await eventually(`${counter} goes up`, async () => (await count()) > before);
  yield second;
}

/** The sum of Envoy's counters of authors' errors. */
export async function panics(fx: Fixture): Promise<number> {
  let sum = 0;
  for (const value of (await fx.stats(/^dynamicmodulescustom\.ts_filter\..*panics?\b/)).values()) sum += value;
  return sum;
}
