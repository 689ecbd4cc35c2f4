/** What is under way, by its key: what the upstream is to answer, and what came to it. */
import type { Line } from '../fixture/http1.js';
import type { Exchange } from './plan.js';

/** A message as one end got it. */
export interface Arrival {
  readonly method: string;
  readonly lines: readonly Line[];
  body: Buffer;
  trailers: readonly Line[];
  /** open: neither an end nor a reset came. */
  end: 'open' | 'clean' | 'broken';
  /** What breaks the rules of HTTP. */
  readonly faults: string[];
}

export class Board {
  private readonly plans = new Map<string, Exchange>();
  readonly arrivals = new Map<string, Arrival[]>();
  /** What came to an upstream and was no request at all. */
  readonly strays: string[] = [];

  plan(key: string, exchange: Exchange): void {
    this.plans.set(key, exchange);
  }

  /** Also of a key that says that the request was sent again. */
  planOf(key: string): Exchange | undefined {
    return this.plans.get(key.replace(/\.\d+$/, ''));
  }

  clear(): void {
    this.plans.clear();
    this.arrivals.clear();
  }

  arrived(key: string, method: string, lines: readonly Line[]): Arrival {
    const arrival: Arrival = { method, lines, body: Buffer.alloc(0), trailers: [], end: 'open', faults: [] };
    this.arrivals.set(key, [...(this.arrivals.get(key) ?? []), arrival]);
    return arrival;
  }
}

export const keyOf = (path: string): string => /^\/e\/([\w.-]+)/.exec(path)?.[1] ?? '';
export const TRAILER = 'x-trailer';
