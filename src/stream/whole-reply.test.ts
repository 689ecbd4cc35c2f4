import { describe, expect, it } from 'vitest';
import { HeaderLines } from '../base/header-block.js';
import { ShownReply, type WholeReply, withGrpcStatus } from './whole-reply.js';

const text = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : Buffer.from(bytes).toString('latin1');
const reply = (status: number, body: string, more: Partial<WholeReply> = {}): WholeReply => ({
  status,
  grpcStatus: -1,
  details: '',
  headers: [],
  body: Buffer.from(body, 'latin1'),
  ...more,
});
const PLAIN = { grpc: false, head: false };
const GRPC = { grpc: true, head: false };
const shownLines = (shown: ShownReply): string[] => [...HeaderLines.of(shown.headers)].map((line) => line.join(': '));

describe('a reply is shown', () => {
  it.each([
    [
      'with length and type',
      reply(403, 'no'),
      PLAIN,
      [':status: 403', 'content-length: 2', 'content-type: text/plain'],
    ],
    [
      'with a type of its own and the right length',
      reply(200, 'no', { headers: ['content-length', '99', 'content-type', 'a/b', 'x', '1'] }),
      PLAIN,
      [':status: 200', 'content-length: 2', 'content-type: a/b', 'x: 1'],
    ],
    [
      'without what describes a body when it has none',
      reply(204, '', { headers: ['content-length', '9', 'content-type', 'a/b', 'x', '1'] }),
      PLAIN,
      [':status: 204', 'x: 1'],
    ],
    ['with its gRPC status', reply(503, '', { grpcStatus: 8 }), PLAIN, [':status: 503', 'grpc-status: 8']],
    [
      'to a gRPC request as headers alone',
      reply(404, '50% ~\n\u00e9', { headers: ['content-type', 'a/b', 'content-length', '9', 'x', '1'] }),
      GRPC,
      [':status: 200', 'x: 1', 'content-type: application/grpc', 'grpc-status: 12', 'grpc-message: 50%25 %7E%0A%E9'],
    ],
    [
      'to a gRPC request that asks by HEAD without a message',
      reply(500, 'no'),
      { grpc: true, head: true },
      [':status: 200', 'content-type: application/grpc', 'grpc-status: 2'],
    ],
  ] as const)('%s', (_how, made, asked, lines) => {
    expect(shownLines(new ShownReply(made, asked))).toEqual(lines);
  });

  it.each([
    [400, 13],
    [401, 16],
    [403, 7],
    [404, 12],
    [429, 14],
    [502, 14],
    [503, 14],
    [504, 14],
    [200, 2],
    [500, 2],
  ])('with %i as gRPC status %i', (status, grpc) => {
    expect(shownLines(new ShownReply(reply(status, ''), GRPC))).toContain(`grpc-status: ${String(grpc)}`);
  });

  it('with a body only where Envoy would send it as one', () => {
    const bodies = [PLAIN, GRPC, { grpc: false, head: true }].map(
      (asked) => new ShownReply(reply(403, 'no'), asked).body,
    );
    expect(bodies.map(text)).toEqual(['no', undefined, undefined]);
    expect(new ShownReply(reply(403, ''), PLAIN).body).toBeUndefined();
  });
});

describe('what hooks leave of a reply', () => {
  const leave = (
    made: WholeReply,
    asked: typeof PLAIN,
    change: (lines: HeaderLines) => void,
    parts: string[],
  ): object => {
    const shown = new ShownReply(made, asked);
    const lines = HeaderLines.of(shown.headers);
    change(lines);
    for (const part of parts) shown.add(Buffer.from(part, 'latin1'), true);
    const { body, details, ...rest } = shown.made(lines);
    expect(details).toBe(made.details);
    return { ...rest, body: text(body) };
  };

  it('goes without a length, with the new status and body', () => {
    const change = (lines: HeaderLines): void => {
      lines.set(':status', '418');
      lines.set('x', '1');
    };
    expect(leave(reply(403, 'no'), PLAIN, change, ['yes', '!'])).toEqual({
      status: 418,
      grpcStatus: -1,
      headers: ['content-type', 'text/plain', 'x', '1'],
      body: 'yes!',
    });
  });

  it('keeps the body that a HEAD request hides: Envoy tells its length', () => {
    expect(leave(reply(403, 'no'), { grpc: false, head: true }, () => undefined, [])).toMatchObject({ body: 'no' });
  });

  it.each([PLAIN, GRPC])('has the gRPC status that they set ($grpc)', (asked) => {
    const made = reply(503, '', { grpcStatus: 8 });
    const set = (value: string) => (lines: HeaderLines) => void lines.set('grpc-status', value);
    expect(leave(made, asked, set('5'), [])).toMatchObject({ status: 503, grpcStatus: 5, headers: [] });
    expect(leave(made, asked, (lines) => void lines.delete('grpc-status'), [])).toMatchObject({ grpcStatus: -1 });
  });

  it('to a gRPC request has its body in the message, once', () => {
    const shown = leave(reply(403, '50%', { grpcStatus: 7 }), GRPC, () => undefined, []);
    expect(shown).toEqual({ status: 403, grpcStatus: 7, headers: ['grpc-message', '50%25'], body: '' });
  });

  it('shown again is the same: a list shows it to the other members behind the own hooks', () => {
    for (const asked of [PLAIN, GRPC, { grpc: false, head: true }]) {
      for (const made of [reply(403, '50%'), reply(200, '', { grpcStatus: 0, headers: ['x', '1'] })]) {
        const once = new ShownReply(made, asked);
        if (once.body !== undefined) once.add(once.body, true);
        const twice = new ShownReply(once.made(HeaderLines.of(once.headers)), asked);
        expect(shownLines(twice).sort()).toEqual(shownLines(once).sort());
        expect(text(twice.body)).toBe(text(once.body));
      }
    }
  });
});

describe('grpc-status among the headers', () => {
  it.each([
    ['is the status when none is given', -1, '3', 3, []],
    ['gives way to the one that is given', 8, '3', 8, []],
    ['stays when it is none', -1, '99', -1, ['grpc-status', '99']],
  ] as const)('%s', (_how, given, value, status, headers) => {
    const made = withGrpcStatus(reply(200, '', { grpcStatus: given, headers: ['grpc-status', value] }));
    expect([made.grpcStatus, made.headers]).toEqual([status, headers]);
  });
});
