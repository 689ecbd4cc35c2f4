/** Which of the author's code a body runs through. */
import { FilterError, type StreamAbortedError } from '../api/errors.js';
import type { HeaderMapImpl } from '../headers/headers.js';
import { keepsLength } from '../api/same-length.js';
import { chunkFunction, chunksKeepLength, throughStream, transformKind } from '../api/transform.js';
import type { HeaderMap, StreamTransform } from '../api/types-data.js';
import { Direction } from '../base/wire.js';
import { AsyncDriver } from './async-driver.js';
import { ChunkDriver } from './chunk-driver.js';
import { DataDriver, type DataHook } from './data-driver.js';
import type { Flow } from '../stream/flow.js';
import type { FlowOutput } from './output.js';

/** Runs a body through the author's code. */
export interface BodyDriver {
  /** The headers have been answered and the body streams: the author's code may begin, or asks at once. */
  start(): void;
  /** Bytes in order; `last` once. Only called while the flow is alive. */
  data(bytes: Uint8Array, last: boolean): void;
  /** The stream died or the flow was taken over. */
  abort(error: StreamAbortedError): void;
  /** Author's code has not finished. */
  readonly busy: boolean;
}

/** Whether the filter has declared that a body keeps its length. */
export function declaresLength({ stream: { filter }, direction }: Flow): boolean {
  const request = direction === Direction.Request;
  const transform = request ? filter.transformRequest : filter.transformResponse;
  if (transform !== undefined) return chunksKeepLength(transform);
  const hook = request ? filter.decodeData : filter.encodeData;
  return hook !== undefined && keepsLength(hook);
}

/** Lets a body through as it is, where somebody has to count it. */
export function countingDriver(flow: Flow, output: () => FlowOutput): BodyDriver {
  return new ChunkDriver(flow, (chunk) => chunk, output);
}

/** undefined: the body flows past. Throws when the filter's transform is none. */
export function makeDriver(
  flow: Flow,
  headers: HeaderMapImpl,
  bodiless: boolean,
  output: () => FlowOutput,
): BodyDriver | undefined {
  const { filter } = flow.stream;
  const request = flow.direction === Direction.Request;
  const transform = request ? filter.transformRequest : filter.transformResponse;
  if (transform === undefined) {
    const hook = request ? filter.decodeData : filter.encodeData;
    return hook === undefined ? undefined : new DataDriver(flow, hook as DataHook, output);
  }
  if (bodiless) return undefined;
  switch (transformKind(transform)) {
    case 'chunk':
      return new ChunkDriver(flow, chunkFunction(transform)!, output);
    case 'stream':
      return new AsyncDriver(flow, transform as StreamTransform<HeaderMap>, output, headers.contentLength());
    case 'through': {
      const through = throughStream(transform as TransformStream<Uint8Array, Uint8Array>);
      return new AsyncDriver(flow, through, output, headers.contentLength());
    }
    case undefined: {
      const name = flow.names.transform;
      throw new FilterError('TSF_TRANSFORM_INVALID', `${name} is not a transform`, name);
    }
  }
}
