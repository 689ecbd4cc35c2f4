/**
 * What the filter of the framing torture does to an exchange. The filter (filters/framing.ts) and the judge read the same
 * table, so that what a receiver should get is known. No map looks at where a body is cut.
 */
import { around, closing, doubled, mapped, opening, outcomes, thinned, type Message } from '../torture/ours.js';

export type { Message };

/** How a filter meets the body of one direction. The first group changes nothing. */
export const LOOKING = [
  'none',
  'headers',
  'headers-async',
  'go-look',
  'whole-look',
  'per-chunk-look',
  'per-chunk-same-look',
  'generator-look',
  'bypass',
  'bypass-late',
  'trailers',
] as const;
export const CHANGING = [
  'go-map',
  'go-end',
  'go-drop',
  'go-watermark',
  'whole-go',
  'whole-data',
  'per-chunk',
  'per-chunk-same',
  'go-same',
  'generator',
  'generator-whole',
  'transform-stream',
  'double',
  'thin',
  'add-data',
  'add-in-trailers',
] as const;
export const STYLES = [...LOOKING, ...CHANGING] as const;
export type Style = (typeof STYLES)[number];

export const changesNothing = (style: Style): boolean => (LOOKING as readonly Style[]).includes(style);
/** Declared to keep the size. */
const SAME: readonly Style[] = ['per-chunk-same-look', 'per-chunk-same', 'go-same'];
/** The message never is with the filter, or only its headers are. */
export const LETS_GO: readonly Style[] = ['none', 'headers', 'headers-async', 'bypass'];

/** With these a length that comes is true behind the filter, too. */
export const KEEPS: readonly Style[] = [...LETS_GO, ...SAME];

export interface Reply {
  readonly at: 'decodeHeaders' | 'decodeData' | 'encodeHeaders';
  /** `fetch`: with the status, headers and body that a fetch() gave. */
  readonly kind: 'whole' | 'streamed' | 'fetch';
  readonly status: number;
  readonly size: number;
  readonly offset: number;
  /** Of a streamed body; each comes after so many milliseconds. */
  readonly pieces: number;
  readonly pieceMs: number;
  /** An await before the reply; negative: none. */
  readonly ms: number;
  /** Besides what describes the body; names and values. */
  readonly headers: readonly (readonly [string, string])[];
  /** Of a fetched body: what its server does. */
  readonly gzip: boolean;
  readonly length: boolean;
}

/** Travels in the request, as JSON in `x-ours`. */
export interface Acts {
  readonly request: Style;
  readonly response: Style;
  /** The value of content-length that the headers hook sets; '' deletes it. */
  readonly requestLength?: string;
  readonly responseLength?: string;
  /** The status that encodeHeaders sets. */
  readonly status?: number;
  readonly reply?: Reply;
}

function change(style: Style, tag: string, { body, trailers }: Message): Buffer {
  const map = () => mapped(body, tag);
  switch (style) {
    case 'go-map':
    case 'go-watermark':
    case 'per-chunk':
    case 'per-chunk-same':
    case 'go-same':
    case 'whole-data':
      return Buffer.from(map());
    case 'go-end':
      // with trailers to come no data hook sees the end
      return around('', map(), trailers ? '' : closing(tag));
    case 'go-drop':
      return Buffer.alloc(0);
    case 'whole-go':
    case 'generator':
    case 'generator-whole':
      return around(opening(tag), map(), closing(tag));
    case 'transform-stream':
      return around('', map(), closing(tag));
    case 'double':
      return Buffer.from(doubled(body));
    case 'thin':
      return Buffer.from(thinned(body));
    case 'add-data':
      return around(opening(tag), body, '');
    case 'add-in-trailers':
      return around('', body, trailers ? closing(tag) : '');
    default:
      return body;
  }
}

/** What may come out of the filter for that message; several where its headers may or may not carry the end. */
export const through = (style: Style, tag: string, message: Message): Message[] =>
  outcomes(message, style === 'add-data', (one) => change(style, tag, one));
