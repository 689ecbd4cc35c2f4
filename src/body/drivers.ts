/** Which of the author's code a body runs through. */
import { FilterError } from '../api/errors.js';
import { keepsLength } from '../api/same-length.js';
import { chunkFunction, chunksKeepLength, throughStream, transformKind } from '../api/transform.js';
import type { StreamFilter } from '../api/types.js';
import type { HeaderMap, StreamTransform, Transform } from '../api/types-data.js';
import { Direction } from '../base/wire.js';
import { AsyncDriver } from './async-driver.js';
import { ChunkDriver } from './chunk-driver.js';
import { DataDriver, type DataHook } from './data-driver.js';
import { type BodyDriver, type BodyHost, hookOf, phasesOfDirection } from './ports.js';

export type DriverMaker = (host: BodyHost) => BodyDriver;

function transformOf(filter: StreamFilter, direction: Direction): Transform<never> | undefined {
  return direction === Direction.Request ? filter.transformRequest : filter.transformResponse;
}

/** Whether the filter has declared that a body keeps its length. */
export function declaresLength(filter: StreamFilter, direction: Direction): boolean {
  const transform = transformOf(filter, direction);
  if (transform !== undefined) return chunksKeepLength(transform);
  const hook = hookOf(filter, direction, 'data');
  return hook !== undefined && keepsLength(hook);
}

/** Lets a body through as it is, where somebody has to count it. */
export const countingDriver: DriverMaker = (host) => new ChunkDriver(host, (chunk) => chunk);

/** undefined: the body flows past. Throws when the filter's transform is none. */
export function driverMaker(filter: StreamFilter, direction: Direction, bodiless: boolean): DriverMaker | undefined {
  const transform = transformOf(filter, direction);
  if (transform === undefined) {
    const hook = hookOf(filter, direction, 'data');
    return hook === undefined ? undefined : (host) => new DataDriver(host, hook as DataHook);
  }
  if (bodiless) return undefined;
  const kind = transformKind(transform);
  switch (kind) {
    case 'chunk':
      return (host) => new ChunkDriver(host, chunkFunction(transform)!);
    case 'stream':
      return (host) => new AsyncDriver(host, transform as StreamTransform<HeaderMap>);
    case 'through': {
      const through = throughStream(transform as TransformStream<Uint8Array, Uint8Array>);
      return (host) => new AsyncDriver(host, through);
    }
    case undefined: {
      const name = phasesOfDirection(direction).transform;
      throw new FilterError('TSF_TRANSFORM_INVALID', `${name} is not a transform`, name);
    }
    default:
      return kind satisfies never; // else a body that nobody runs would flow past
  }
}
