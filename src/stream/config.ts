/** Rules that come with a config (FilterConfig in schema/exchange.fbs). */
export interface ConfigRules {
  /** Lower-case header names that a filter may write; empty = all. */
  readonly allow: readonly string[];
  /** Lower-case header names that it may not write. */
  readonly deny: readonly string[];
  /** Envoy's levels: lines of callbacks.log at or above it also go to Envoy's log. */
  readonly logLevel: number;
  /** Bytes of a streamed reply that may be unacknowledged. */
  readonly streamWindow: number;
}

export type Verdict =
  | { readonly accepted: true; /** Phase bits, all ones when not declared. */ readonly phases: number; readonly attributes: readonly number[] }
  | { readonly accepted: false; readonly message: string };

/** One parsed config of one filter, on this worker thread. */
export interface LoadedConfig {
  readonly id: number;
  readonly name: string;
  readonly route: boolean;
}
