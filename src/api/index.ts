/** The author's API: everything a filter imports. */
export type { Attribute, AttributeTypes } from './attributes.js';
export {
  type AbortedBy,
  ConfigError,
  type ErrorCode,
  FilterError,
  type KnownErrorCode,
  StreamAbortedError,
} from './errors.js';
export { defineFilter } from './filter.js';
export { type LineOptions, lines, ndjson, type ServerSentEvent, sse, text } from './helpers.js';
export { type Remote, runtime } from './runtime.js';
export { type DataHook, sameLength } from './same-length.js';
export { type ChunkFunction, perChunk, type PerChunkOptions } from './transform.js';
export type * from './types-callbacks.js';
export type * from './types-data.js';
export {
  type Answer,
  type HeadersStatus,
  type LogEntry,
  type Phase,
  StatusType,
  type StreamFilter,
  type TrailersStatus,
} from './types.js';
export type {
  ConfigContext,
  Filter,
  FilterDefinition,
  Misspelt,
  OneBodyStyle,
  OneConfigStyle,
  Only,
  StandardSchema,
} from './types-definition.js';
