/** A reply that is complete when it goes: what encode hooks see of it, and what they make of it. */
import { HeaderLines } from '../header-block.js';
import type { StreamSink } from '../wire.js';

/** As the sink takes it; headers: name, value, name, value … */
export interface WholeReply {
  readonly status: number;
  /** -1 = by Envoy's mapping. */
  readonly grpcStatus: number;
  readonly details: string;
  readonly headers: string[];
  readonly body: Uint8Array;
}

/** Its headers as Envoy makes them for the first encode hook. */
export function shownHeaders({ status, headers, body }: WholeReply): string[] {
  const lines = new HeaderLines();
  lines.add(':status', String(status));
  if (body.length > 0) lines.add('content-length', String(body.length));
  if (body.length > 0 && !named(headers, 'content-type')) lines.add('content-type', 'text/plain');
  for (let i = 0; i + 1 < headers.length; i += 2)
    if (headers[i] !== 'content-length') lines.add(headers[i]!, headers[i + 1]!);
  return lines.flat();
}

/** The reply as the hooks have left it. Envoy writes the length itself. */
export function changedReply(reply: WholeReply, shown: Iterable<[string, string]>, body: Uint8Array): WholeReply {
  const headers: string[] = [];
  let { status } = reply;
  for (const [name, value] of shown) {
    if (name === ':status') status = Number(value);
    else if (name !== 'content-length') headers.push(name, value);
  }
  return { ...reply, status, headers, body };
}

export function sendWhole(sink: StreamSink, { status, grpcStatus, details, headers, body }: WholeReply): void {
  sink.localReply(status, grpcStatus, details, headers, body);
}

function named(headers: readonly string[], name: string): boolean {
  return headers.some((part, i) => i % 2 === 0 && part === name);
}
