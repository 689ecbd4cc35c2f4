/** The trailers of a flow, for whoever waits for them: they come, or there are none, or the stream ends before. */
import type { HeaderMap } from '../api/types-data.js';
import type { HeaderMapImpl } from '../headers/headers.js';

export class FlowTrailers {
  map: HeaderMapImpl | undefined;
  private promise: Promise<HeaderMap | undefined> | undefined;
  private settle: { resolve(map: HeaderMap | undefined): void; reject(error: Error): void } | undefined;

  came(map: HeaderMapImpl): void {
    this.map = map;
    this.settle?.resolve(map);
  }

  /** The message ended without. */
  none(): void {
    this.settle?.resolve(undefined);
  }

  end(error: () => Error): void {
    this.settle?.reject(error());
    this.settle = undefined;
  }

  /** `none`: it is known that there are none. */
  soon(none: boolean): Promise<HeaderMap | undefined> {
    if (this.promise !== undefined) return this.promise;
    if (this.map !== undefined || none) return (this.promise = Promise.resolve(this.map));
    const promise = new Promise<HeaderMap | undefined>((resolve, reject) => (this.settle = { resolve, reject }));
    promise.catch(() => undefined); // a filter need not look at it
    return (this.promise = promise);
  }
}
