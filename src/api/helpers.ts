/** Readers for transforms: text, lines, newline-delimited JSON, server-sent events. Boundaries of chunks never show. */
import { FilterError } from './errors.js';
import type { Json } from './types-data.js';

type Body = AsyncIterable<Uint8Array>;

/**
 * For lines(), ndjson() and sse().
 *
 * @example
 * const options: LineOptions = { maxLength: 64 * 1024 };
 * for await (const line of lines(body, options)) yield `${line}\n`;
 */
export interface LineOptions {
  /** The longest line, in characters; over it `TSF_LINE_TOO_LONG`. Default 1 Mi. */
  maxLength?: number;
}
const MAX_LENGTH = 1 << 20;

/**
 * The whole body as one string. UTF-8; broken sequences become U+FFFD.
 *
 * @example
 * async *transformRequest(body) { yield (await text(body)).toUpperCase(); }
 */
export async function text(body: Body): Promise<string> {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let all = '';
  for await (const chunk of body) all += decoder.decode(chunk, { stream: true });
  return all + decoder.decode();
}

/**
 * The body line by line, without the line ends (LF or CR LF). A last line without an end counts.
 *
 * @example
 * async *transformResponse(body) { for await (const line of lines(body)) yield line.toUpperCase() + '\n'; }
 */
export async function* lines(body: Body, options: LineOptions = {}): AsyncGenerator<string, void, undefined> {
  const max = options.maxLength ?? MAX_LENGTH;
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  // Pieces of the unfinished line are only joined when it ends, or a long line would be copied again for each chunk.
  let pieces: string[] = [];
  let held = 0;
  const tooLong = (): FilterError =>
    new FilterError('TSF_LINE_TOO_LONG', `a line is longer than ${String(max)} characters`);
  for await (const chunk of body) {
    const decoded = decoder.decode(chunk, { stream: true });
    let start = 0;
    for (let end = decoded.indexOf('\n'); end >= 0; end = decoded.indexOf('\n', start)) {
      let line = decoded.slice(start, end);
      if (held > 0) {
        pieces.push(line);
        line = pieces.join('');
        pieces = [];
        held = 0;
      }
      if (line.endsWith('\r')) line = line.slice(0, -1);
      if (line.length > max) throw tooLong();
      start = end + 1;
      yield line;
    }
    if (start < decoded.length) {
      pieces.push(decoded.slice(start));
      held += decoded.length - start;
      if (held > max + 1) throw tooLong(); // + 1: a CR that its LF follows is not of the line
    }
  }
  const rest = pieces.join('') + decoder.decode();
  if (rest.length > max) throw tooLong();
  if (rest !== '') yield rest;
}

/**
 * The values of a newline-delimited JSON body; empty lines are skipped. A line that is no JSON throws a SyntaxError.
 *
 * @example
 * for await (const row of ndjson<{ id: number }>(body)) yield JSON.stringify({ ...row, seen: true }) + '\n';
 */
export async function* ndjson<T = Json>(body: Body, options: LineOptions = {}): AsyncGenerator<T, void, undefined> {
  for await (const line of lines(body, options)) if (line.trim() !== '') yield JSON.parse(line) as T;
}

/**
 * One event of a `text/event-stream`.
 *
 * @example
 * const show = ({ event, data }: ServerSentEvent) => `event: ${event}\ndata: ${data.trim()}\n\n`;
 * for await (const event of sse(body)) yield show(event);
 */
export interface ServerSentEvent {
  /** `message` unless the event has a name. */
  event: string;
  /** Lines joined with LF. */
  data: string;
  /** The last id that was given, by this event or one before; '' = none. */
  id: string;
  /** Milliseconds, when the event gave a time. */
  retry?: number;
}

/**
 * The events of a `text/event-stream` body, by the rules of the HTML standard: comments are skipped, an event without
 * data is not one, and one that the end of the body cuts off is dropped.
 *
 * @example
 * for await (const event of sse(body)) yield `data: ${event.data.toUpperCase()}\n\n`;
 */
export async function* sse(body: Body, options: LineOptions = {}): AsyncGenerator<ServerSentEvent, void, undefined> {
  const max = options.maxLength ?? MAX_LENGTH;
  let event = '';
  let data: string[] = [];
  let length = 0;
  let id = '';
  let retry: number | undefined;
  let first = true;
  for await (let line of lines(loneCarriageReturns(body), { maxLength: max })) {
    if (first && line.startsWith('\ufeff')) line = line.slice(1);
    first = false;
    if (line === '') {
      if (data.length > 0) {
        yield {
          event: event === '' ? 'message' : event,
          data: data.join('\n'),
          id,
          ...(retry !== undefined && { retry }),
        };
      }
      event = '';
      data = [];
      length = 0;
      retry = undefined;
      continue;
    }
    const colon = line.indexOf(':');
    if (colon === 0) continue;
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? '' : line.slice(colon + 1);
    if (value.startsWith(' ')) value = value.slice(1);
    if (field === 'event') event = value;
    else if (field === 'id' && !value.includes('\0')) id = value;
    else if (field === 'retry' && /^\d+$/.test(value)) retry = Number(value);
    else if (field === 'data') {
      data.push(value);
      length += value.length + 1;
      if (length > max) throw new FilterError('TSF_LINE_TOO_LONG', `an event is longer than ${String(max)} characters`);
    }
  }
}

/** Event streams may end lines with a lone CR: makes each of CR LF, CR and LF one LF. */
async function* loneCarriageReturns(body: Body): AsyncGenerator<Uint8Array, void, undefined> {
  let afterCr = false;
  for await (const chunk of body) {
    if (!afterCr && !chunk.includes(0x0d)) {
      yield chunk;
      continue;
    }
    const out = new Uint8Array(chunk.length);
    let length = 0;
    for (const byte of chunk) {
      if (byte === 0x0a && afterCr) {
        afterCr = false;
        continue;
      }
      afterCr = byte === 0x0d;
      out[length++] = afterCr ? 0x0a : byte;
    }
    yield out.subarray(0, length);
  }
}
