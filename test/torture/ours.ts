/**
 * What the torture's filters of ours do to a body. The filters (filters/torture.ts) and the judge read the same table, so
 * that what a receiver should get is their composition. No map looks at where a body is cut.
 */

export const STYLES = [
  'none',
  'per-chunk',
  'generator',
  'go',
  'go-held',
  'whole',
  'transform-stream',
  'trailers',
  'double',
  'thin',
  'add-data',
] as const;
export type Style = (typeof STYLES)[number];

/** One of ours in a chain: its `plugin_config`. */
export interface OursConfig {
  readonly tag: string;
  readonly request: Style;
  readonly response: Style;
  /** Asynchronous headers hooks of up to so long; 0: none. */
  readonly headersMs: number;
  /** Pauses of up to so long between the pieces of a body; 0: none. */
  readonly bodyMs: number;
}

/** Two of these do not commute: a filter that is skipped, doubled or swapped shows. */
export function mapped(bytes: Uint8Array, tag: string): Uint8Array {
  const key = tag.charCodeAt(0);
  const out = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) out[i] = ((bytes[i]! ^ 0x5a) + key) & 255;
  return out;
}

/** Every byte twice. */
export function doubled(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(2 * bytes.length);
  for (let i = 0; i < bytes.length; i++) out[2 * i] = out[2 * i + 1] = bytes[i]!;
  return out;
}

/** Without a quarter of the bytes. */
export const thinned = (bytes: Uint8Array): Uint8Array => bytes.filter((byte) => (byte & 3) !== 0);

export const opening = (tag: string): string => `{${tag}`;
export const closing = (tag: string): string => `${tag}}`;

/** A message between two filters. */
export interface Message {
  readonly body: Buffer;
  readonly trailers: boolean;
  /** Its headers carry the end. `maybe`: the end followed as an empty frame, which Envoy may join to held headers. */
  readonly headersOnly: 'yes' | 'no' | 'maybe';
}

export const around = (before: string, body: Uint8Array, after: string): Buffer =>
  Buffer.concat([Buffer.from(before), body, Buffer.from(after)]);

function change(style: Style, tag: string, { body, trailers }: Message): Buffer {
  switch (style) {
    case 'none':
      return body;
    case 'per-chunk':
      return Buffer.from(mapped(body, tag));
    case 'generator':
    case 'whole':
      return around(opening(tag), mapped(body, tag), closing(tag));
    case 'transform-stream':
      return around('', mapped(body, tag), closing(tag));
    case 'go':
    case 'go-held':
      // with trailers to come no data hook sees the end
      return around('', mapped(body, tag), trailers ? '' : closing(tag));
    case 'trailers':
      return around('', body, trailers ? closing(tag) : '');
    case 'double':
      return Buffer.from(doubled(body));
    case 'thin':
      return Buffer.from(thinned(body));
    case 'add-data':
      return around(opening(tag), body, trailers ? closing(tag) : '');
  }
}

/** What may come out of one of ours for that message; several where its headers may or may not carry the end. */
export const through = (style: Style, tag: string, message: Message): Message[] =>
  outcomes(message, style === 'add-data', (one) => change(style, tag, one));

/** `adds`: also to a message without a body. */
export function outcomes(message: Message, adds: boolean, change: (message: Message) => Buffer): Message[] {
  const { headersOnly } = message;
  if (headersOnly === 'maybe')
    return [
      ...outcomes({ ...message, headersOnly: 'no' }, adds, change),
      ...outcomes({ ...message, headersOnly: 'yes' }, adds, change),
    ];
  if (headersOnly === 'yes' && !adds) return [message];
  return [shaped(change(message), message.trailers)];
}

/** A message whose headers went first. */
export const shaped = (body: Buffer, trailers: boolean): Message => ({
  body,
  trailers,
  headersOnly: body.length === 0 && !trailers ? 'maybe' : 'no',
});
