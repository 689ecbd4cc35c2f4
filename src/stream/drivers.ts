/** Which of the author's code a body runs through. */
import { FilterError, type StreamAbortedError } from '../errors.js';
import type { HeaderMapImpl, ResponseHeadersImpl } from '../headers.js';
import { chunkFunction, throughStream, transformKind } from '../transform.js';
import type { HeaderMap, StreamTransform } from '../types-data.js';
import { Direction } from '../wire.js';
import { AsyncDriver } from './async-driver.js';
import { ChunkDriver } from './chunk-driver.js';
import { DataDriver, type DataHook } from './data-driver.js';
import type { Flow } from './flow.js';
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

/** undefined: the body flows past. Throws when the filter's transform is none. */
export function makeDriver(flow: Flow, headers: HeaderMapImpl, output: () => FlowOutput): BodyDriver | undefined {
  const { filter } = flow.stream;
  const request = flow.direction === Direction.Request;
  const transform = request ? filter.transformRequest : filter.transformResponse;
  if (transform === undefined) {
    const hook = request ? filter.decodeData : filter.encodeData;
    return hook === undefined ? undefined : new DataDriver(flow, hook as DataHook, output);
  }
  if (!request && bodyless(headers as ResponseHeadersImpl, flow.stream.method)) return undefined;
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

/** Responses that have no body although their headers do not say so yet. */
function bodyless({ status }: ResponseHeadersImpl, method: string | undefined): boolean {
  return status === 204 || status === 304 || method === 'HEAD';
}
