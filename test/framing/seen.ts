/** What a client saw of one exchange. */
import type { Line } from '../fixture/http1.js';
import type { Conversation, Exchange } from './plan.js';
import { TAGS } from './names.js';

/** Far longer than any honest exchange takes. */
export const HUNG_MS = 6_000;

export interface Seen {
  readonly status: number;
  readonly lines: readonly Line[];
  readonly interim: readonly number[];
  readonly body: Buffer;
  readonly trailers: readonly Line[];
  readonly end: 'clean' | 'broken' | 'hung';
  /** Why it was not clean. */
  readonly why: string;
  /** What breaks the rules of HTTP, or of the connection. */
  readonly faults: readonly string[];
  /** The connection can be used again. */
  readonly stays: boolean;
  readonly attempt: number;
}

export const nothingSeen = (end: Seen['end'], why: string, faults: readonly string[] = []): Seen => ({
  status: 0,
  lines: [],
  interim: [],
  body: Buffer.alloc(0),
  trailers: [],
  end,
  why,
  faults,
  stays: false,
  attempt: 0,
});

export interface Talk {
  readonly port: number;
  readonly conversation: Conversation;
  /** Before each exchange's number, in its key. */
  readonly prefix: string;
}

/** A request that was sent again, because its connection was lost with the one before, has another key. */
export const keyFor = (prefix: string, { number }: Exchange, attempt = 0): string =>
  `${prefix}${number}${attempt === 0 ? '' : `.${attempt}`}`;
export const pathOf = ({ request }: Exchange, key: string): string =>
  request.target === 'noroute' ? `/no/${key}` : `/e/${key}`;
export const TUNNEL_HOST = 'tunnel.local:80';

/** The headers that every request of the torture has. */
export function commonLines(exchange: Exchange, key: string): Line[] {
  const lines: Line[] = [
    ['x-target', exchange.request.target],
    ['x-key', key],
    // the host's log names the request by it
    ['x-request-id', key],
  ];
  exchange.acts.forEach((acts, i) => lines.push([`x-ours-${TAGS[i]!.toLowerCase()}`, JSON.stringify(acts)]));
  return lines;
}
