/** What the log hooks of a stream get: the maps and the declared attributes of Envoy's latest log event. */
import { type Attribute, decodeAttributes } from '../api/attributes.js';
import { HeaderViewImpl, RequestViewImpl } from '../headers/header-views.js';
import { HeaderMapImpl, type HeaderOwner } from '../headers/headers.js';
import type { LogEntry } from '../api/types.js';
import { type HeaderBlock, HeaderType } from '../base/wire.js';

const EMPTY_BLOCK: HeaderBlock = { bytes: new Uint8Array(0), count: 0 };

/** A map as the stream's own hooks have it. */
export type Held = (type: HeaderType) => HeaderMapImpl | undefined;

export class LogEvents {
  private readonly owner: HeaderOwner;
  private readonly names: readonly Attribute[];
  private maps: (HeaderBlock | undefined)[] = [];
  /** The event that `maps` belongs to has come. */
  private complete = false;
  /** It was that of the stream's end. */
  final = false;
  /** Those of the latest event, at first of the stream's start. */
  private block: Uint8Array;
  private decoded: LogEntry['attributes'] | undefined;

  constructor(owner: HeaderOwner, names: readonly Attribute[], start: Uint8Array) {
    this.owner = owner;
    this.names = names;
    this.block = start;
  }

  headers(type: HeaderType, block: HeaderBlock): void {
    if (this.complete) {
      this.maps = [];
      this.complete = false;
    }
    this.maps[type] = block;
  }

  run(attributes: Uint8Array, final: boolean): void {
    this.complete = true;
    this.final = final;
    this.block = attributes;
    this.decoded = undefined;
  }

  /** Of the latest event. */
  map(type: HeaderType): HeaderMapImpl | undefined {
    const block = this.maps[type];
    return block === undefined ? undefined : new HeaderMapImpl(this.owner, type, block, false);
  }

  get attributes(): LogEntry['attributes'] {
    return (this.decoded ??= decodeAttributes(this.names, this.block) as LogEntry['attributes']);
  }

  declares(name: Attribute): boolean {
    return this.names.includes(name);
  }

  /** `fresh`: for the latest event; else for an end whose event was lost, when the hooks' own maps are the later ones. */
  entry(fresh: boolean, held: Held): LogEntry {
    const map = (type: HeaderType): HeaderMapImpl | undefined =>
      fresh ? (this.map(type) ?? held(type)) : (held(type) ?? this.map(type));
    const request = map(HeaderType.Request) ?? new HeaderMapImpl(this.owner, HeaderType.Request, EMPTY_BLOCK, false);
    const entry: LogEntry = { request: new RequestViewImpl(request), attributes: this.attributes };
    const requestTrailers = map(HeaderType.RequestTrailers);
    const response = map(HeaderType.Response);
    const responseTrailers = map(HeaderType.ResponseTrailers);
    if (requestTrailers !== undefined) entry.requestTrailers = new HeaderViewImpl(requestTrailers);
    if (response !== undefined) entry.response = new HeaderViewImpl(response);
    if (responseTrailers !== undefined) entry.responseTrailers = new HeaderViewImpl(responseTrailers);
    return entry;
  }
}
