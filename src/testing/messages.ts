/** Requests and answers of a test as lines, and what is seen of them. */
import type { HeaderView } from '../api/types-data.js';
import { HeaderLines } from '../base/header-block.js';
import { bytesOf, isWhole, type Reader } from './ends.js';
import { given, requestView } from './lines.js';
import type { SeenRequest, TestAnswer, TestBody, TestRequest, UpstreamRequest } from './types.js';

export const isEmpty = (body: TestBody | undefined, trailers: unknown): boolean =>
  trailers === undefined && (body === undefined || (isWhole(body) && body.length === 0));

export function withStatus(status: number, lines: HeaderLines): HeaderLines {
  lines.names.unshift(':status');
  lines.values.unshift(String(status));
  return lines;
}

export const seenRequest = (reader: Reader): SeenRequest => ({ ...reader.seen(), ...requestLine(reader.lines!) });

export const statusOf = (client: Reader): number => Number(client.lines?.get(':status') ?? 0);

export function requestLine(lines: HeaderLines): { method: string; path: string; host: string } {
  const { method, path, host } = requestView(lines);
  return { method, path, host };
}

/** As a client sends them. */
export function requestLines(
  path: string,
  { method, host, scheme = 'http', headers, body, trailers }: TestRequest,
): HeaderLines {
  const rest = given(headers);
  const lines = HeaderLines.from([
    [':authority', host ?? rest.get('host') ?? 'test.local'],
    [':path', path],
    [':method', method ?? (body === undefined ? 'GET' : 'POST')],
    [':scheme', scheme],
  ]);
  rest.delete('host');
  for (const [name, value] of rest) lines.add(name, value);
  addLength(lines, body, trailers !== undefined);
  return lines;
}

export function answerLines({ status = 200, headers, body, trailers }: TestAnswer): HeaderLines {
  const lines = withStatus(status, given(headers));
  if (status >= 200 && status !== 204 && status !== 304) addLength(lines, body, trailers !== undefined);
  return lines;
}

function addLength(lines: HeaderLines, body: TestRequest['body'], hasTrailers: boolean): void {
  if (!isWhole(body) || hasTrailers || lines.get('content-length') !== undefined) return;
  if (lines.get('transfer-encoding') === undefined) lines.add('content-length', String(bytesOf(body).length));
}

/** The upstream reads it at its own pace. */
export function upstreamRequest(reader: Reader): UpstreamRequest {
  const view = requestView(reader.lines!);
  const bytes = async (): Promise<Uint8Array> => {
    const pieces: Uint8Array[] = [];
    for await (const piece of reader.stream()) pieces.push(piece);
    return Buffer.concat(pieces);
  };
  const trailers = (async (): Promise<HeaderView | undefined> => {
    await reader.over();
    return reader.trailers;
  })();
  return Object.assign(view, {
    body: reader.stream(),
    bytes,
    text: async () => Buffer.from(await bytes()).toString(),
    trailers,
  });
}
