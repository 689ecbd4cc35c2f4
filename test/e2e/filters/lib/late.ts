/** How the filter `late` is configured. */
export interface LateConfig {
  readonly makes: 'events' | 'pings' | 'bulk' | 'gunzip';
  /** Milliseconds. */
  readonly pause?: number;
  /** `bulk`: bytes for each byte of input. */
  readonly size?: number;
}
