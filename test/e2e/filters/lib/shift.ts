/** How the filter `shift` is configured, and what it does to bytes. */
export type Style =
  | 'perChunk'
  | 'generator'
  | 'delegating'
  | 'halves'
  | 'random'
  | 'transformStream'
  | 'go'
  | 'whole'
  | 'wholeTransform'
  | 'wholeByData'
  | 'headers';

export interface ShiftConfig {
  readonly style: Style;
  /** Milliseconds that each chunk is awaited; `halves`: between the two. */
  readonly pause?: number;
  /** `whole`: milliseconds that the headers hook awaits. */
  readonly hold?: number;
  /** Bytes stay as they are, for peers that read them. */
  readonly keep?: boolean;
}

/** What is added to each byte. Twice is not the same as once, and no direction is the other's. */
export const SHIFT = { request: 3, response: 7 } as const;
