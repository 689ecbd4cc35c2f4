/** Headers to read: views over a map. */
import type { HeaderMapImpl } from './headers.js';
import type { HeaderView, RequestView } from '../api/types-data.js';

/** A map that cannot be written, also from plain JavaScript. */
export class HeaderViewImpl implements HeaderView {
  readonly #map: HeaderMapImpl;

  constructor(map: HeaderMapImpl) {
    this.#map = map;
  }

  get(name: string): string | undefined {
    return this.#map.get(name);
  }
  getAll(name: string): string[] {
    return this.#map.getAll(name);
  }
  getRaw(name: string): Uint8Array | undefined {
    return this.#map.getRaw(name);
  }
  has(name: string): boolean {
    return this.#map.has(name);
  }
  get size(): number {
    return this.#map.size;
  }
  toHeaders(): Headers {
    return this.#map.toHeaders();
  }
  [Symbol.iterator](): Iterator<[name: string, value: string]> {
    return this.#map[Symbol.iterator]();
  }
}

export class RequestViewImpl extends HeaderViewImpl implements RequestView {
  get scheme(): string {
    return this.get(':scheme') ?? '';
  }
  get method(): string {
    return this.get(':method') ?? '';
  }
  get path(): string {
    return this.get(':path') ?? '';
  }
  get host(): string {
    return this.get(':authority') ?? '';
  }
}
