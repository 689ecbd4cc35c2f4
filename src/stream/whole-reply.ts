/**
 * A reply that is complete when it goes: what encode hooks see of it, and what they make of it. Envoy shows a reply to
 * encode hooks as it will send it, so a lone filter's own hooks and the members of a list see the same here.
 */
import { joinBytes } from '../body/buffer.js';
import { HeaderLines, packHeaders } from '../base/header-block.js';
import type { HeaderBlock, StreamSink } from '../base/wire.js';

const GRPC_STATUS_MAX = 16;

/** As the sink takes it; headers: name, value, name, value … */
export interface WholeReply {
  readonly status: number;
  /** -1 = by Envoy's mapping. */
  readonly grpcStatus: number;
  readonly details: string;
  readonly headers: string[];
  readonly body: Uint8Array;
}

/** What Envoy knows of the request when it makes a reply to it. */
export interface Asked {
  readonly grpc: boolean;
  readonly head: boolean;
}

/** Gathers what the hooks make of it. */
export class ShownReply {
  readonly headers: HeaderBlock;
  /** What data hooks see; undefined: the headers end it for them. */
  readonly body: Uint8Array | undefined;
  private readonly reply: WholeReply;
  private readonly grpc: boolean;
  /** What they have made of its body, or added to headers that end it. */
  private readonly parts: Uint8Array[] = [];

  constructor(reply: WholeReply, { grpc, head }: Asked) {
    this.reply = reply;
    this.grpc = grpc;
    this.headers = packHeaders((grpc ? grpcLines(reply, head) : plainLines(reply)).flat());
    this.body = grpc || head || reply.body.length === 0 ? undefined : reply.body;
  }

  /** owned: nobody else will write to that memory. */
  add(bytes: Uint8Array, owned: boolean): void {
    this.parts.push(owned ? bytes : Uint8Array.prototype.slice.call(bytes));
  }

  /** The reply as the hooks have left it, with its headers as they are now. */
  made(shown: Iterable<readonly [string, string]>): WholeReply {
    const { reply, grpc, parts } = this;
    const lines = HeaderLines.from(shown);
    const status = Number(lines.get(':status'));
    // Envoy writes these itself, those of a gRPC reply as it showed them.
    for (const name of grpc ? [':status', 'content-length', 'content-type'] : [':status', 'content-length'])
      lines.delete(name);
    // A body that only a HEAD request hides gives the length; a gRPC reply has its body in grpc-message by now.
    const body = joinBytes(this.body === undefined && !grpc ? [reply.body, ...parts] : parts);
    const made = { ...reply, status: grpc ? reply.status : status, grpcStatus: -1, headers: lines.flat(), body };
    return grpc || reply.grpcStatus >= 0 ? withGrpcStatus(made) : made;
  }
}

/** grpc-status among the headers becomes the reply's: Envoy would send both, joined by a comma. */
export function withGrpcStatus(reply: WholeReply): WholeReply {
  const lines = HeaderLines.fromFlat(reply.headers);
  const value = lines.get('grpc-status');
  if (value === undefined) return reply;
  const named = /^\d{1,2}$/.test(value) && Number(value) <= GRPC_STATUS_MAX ? Number(value) : -1;
  if (reply.grpcStatus < 0 && named < 0) return reply;
  lines.delete('grpc-status');
  return { ...reply, grpcStatus: reply.grpcStatus >= 0 ? reply.grpcStatus : named, headers: lines.flat() };
}

export function sendWhole(sink: StreamSink, { status, grpcStatus, details, headers, body }: WholeReply): void {
  sink.localReply(status, grpcStatus, details, headers, body);
}

// ---- as Envoy makes it ----

function plainLines({ status, grpcStatus, headers, body }: WholeReply): HeaderLines {
  const given = HeaderLines.fromFlat(headers);
  given.delete('content-length');
  const lines = new HeaderLines();
  lines.add(':status', String(status));
  if (body.length === 0) given.delete('content-type');
  else {
    lines.add('content-length', String(body.length));
    if (given.get('content-type') === undefined) lines.add('content-type', 'text/plain');
  }
  for (const [name, value] of given) lines.add(name, value);
  if (grpcStatus >= 0) lines.add('grpc-status', String(grpcStatus));
  return lines;
}

/** Headers alone, with the body as a message. */
function grpcLines({ status, grpcStatus, headers, body }: WholeReply, head: boolean): HeaderLines {
  const lines = new HeaderLines();
  lines.add(':status', '200');
  for (const [name, value] of HeaderLines.fromFlat(headers)) lines.add(name, value);
  lines.delete('content-length');
  lines.set('content-type', 'application/grpc');
  if (grpcStatus >= 0 || lines.get('grpc-status') === undefined)
    lines.set('grpc-status', String(grpcStatus >= 0 ? grpcStatus : mapped(status)));
  if (body.length > 0 && !head) lines.set('grpc-message', percentEncoded(body));
  return lines;
}

/** An HTTP status as gRPC's. */
function mapped(http: number): number {
  switch (http) {
    case 400:
      return 13;
    case 401:
      return 16;
    case 403:
      return 7;
    case 404:
      return 12;
    case 429:
    case 502:
    case 503:
    case 504:
      return 14;
    default:
      return 2;
  }
}

/** A body as grpc-message: what is not printable ASCII, the tilde and the percent sign as %XX. */
function percentEncoded(body: Uint8Array): string {
  let text = '';
  for (const byte of body) {
    const plain = byte >= 0x20 && byte < 0x7e && byte !== 0x25;
    text += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return text;
}
