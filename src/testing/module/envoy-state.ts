/** What Envoy keeps for a stream beside its messages: metadata, filter state, metrics, secrets, attributes. */
import {
  type Attribute,
  attributeNames,
  type AttributeTypes,
  encodeAttribute,
  isStructured,
} from '../../api/attributes.js';
import type { Json } from '../../api/types-data.js';
import type { HeaderLines } from '../../base/header-block.js';
import { u32 } from '../../base/header-block.js';
import { ActKind, MetadataType, MetricOp, QueryKind } from '../../base/wire.js';
import type { DeclaredMetric } from '../../stream/config.js';
import type { Act } from '../frames.js';
import { readStruct } from './struct.js';

export type Metadata = Record<string, Record<string, Json>>;
export type GivenAttributes = { readonly [K in Attribute]?: AttributeTypes[K] };

/** One metric with one set of labels. */
export interface RecordedMetric {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Of a counter or a gauge; of a histogram the last value. */
  readonly value: number;
  /** All values of a histogram. */
  readonly values?: readonly number[];
}

export interface Given {
  readonly attributes: GivenAttributes;
  readonly metadata: Metadata;
  readonly filterState: Readonly<Record<string, string>>;
  readonly secrets: Readonly<Record<string, string>>;
}

/** Kept from one request of a test to the next. */
export class MetricValues {
  private readonly declared: readonly DeclaredMetric[];
  private readonly found = new Map<string, { name: string; labels: Record<string, string>; values: number[] }>();

  constructor(declared: readonly DeclaredMetric[]) {
    this.declared = declared;
  }

  record(id: number, op: number, value: number, block: Uint8Array): void {
    const { values } = this.entry(id, block);
    const last = values.at(-1) ?? 0;
    if (op === MetricOp.Record) values.push(value);
    else values[0] = op === MetricOp.Increment ? last + value : op === MetricOp.Decrement ? last - value : value;
  }

  value(id: number, block: Uint8Array): number {
    return this.entry(id, block).values.at(-1) ?? 0;
  }

  all(): RecordedMetric[] {
    const used = [...this.found.values()].filter(({ values }) => values.length > 0);
    return used.map(({ name, labels, values }) => {
      const kind = this.declared.find((one) => one.name === name)?.kind;
      return { name, labels, value: values.at(-1)!, ...(kind === 2 ? { values: [...values] } : {}) };
    });
  }

  private entry(id: number, block: Uint8Array) {
    const { name, labels: names } = this.declared[id]!;
    const given = texts(block);
    const labels = Object.fromEntries(names.map((label, i) => [label, given[i] ?? '']));
    const key = `${name}\0${given.join('\0')}`;
    let entry = this.found.get(key);
    if (entry === undefined) this.found.set(key, (entry = { name, labels, values: [] }));
    return entry;
  }
}

export class EnvoyState {
  readonly metadata: Metadata;
  readonly filterState: Record<string, string>;
  overrideHost: string | undefined;
  drains = false;
  private readonly given: Given;
  private readonly metrics: MetricValues;
  /** What a request tells of itself. */
  private readonly facts: () => { readonly request: HeaderLines; readonly status: number | undefined };

  constructor(given: Given, metrics: MetricValues, facts: EnvoyState['facts']) {
    this.given = given;
    this.metrics = metrics;
    this.facts = facts;
    this.metadata = structuredClone(given.metadata);
    this.filterState = { ...given.filterState };
  }

  act(act: Act): void {
    switch (act.kind) {
      case ActKind.SetMetadata:
        this.setMetadata(act);
        return;
      case ActKind.SetFilterState: {
        const [key, value] = pair(act.block);
        this.filterState[key] ??= value.toString();
        return;
      }
      case ActKind.OverrideHost:
        this.overrideHost = Buffer.from(act.block).toString();
        return;
      case ActKind.Drain:
        this.drains = true;
        return;
      case ActKind.Metric:
        this.metrics.record(act.id, act.detail, act.number, act.block);
        return;
      default:
    }
  }

  /** undefined: no such value. */
  answer(kind: QueryKind, key: number, block: Uint8Array): Uint8Array | undefined {
    const text = Buffer.from(block).toString();
    switch (kind) {
      case QueryKind.Attribute:
        return this.attribute(key);
      case QueryKind.Metadata:
        return Buffer.from(JSON.stringify(this.metadata[text] ?? {}));
      case QueryKind.FilterState:
        return bytesOf(this.filterState[text]);
      case QueryKind.Secret:
        return bytesOf(this.given.secrets[text]);
      case QueryKind.Metric: {
        const bytes = Buffer.alloc(8);
        bytes.writeDoubleLE(this.metrics.value(key, block));
        return bytes;
      }
    }
  }

  /** As it crosses, by Envoy's id. */
  attribute(id: number): Uint8Array | undefined {
    const name = attributeNames()[id] as Attribute | undefined;
    if (name === undefined || isStructured(name)) return undefined;
    const value = this.given.attributes[name] ?? this.known()[name];
    return value === undefined ? undefined : encodeAttribute(name, value as string | number | boolean);
  }

  private known(): GivenAttributes {
    const { request, status } = this.facts();
    const path = request.get(':path') ?? '';
    const [urlPath = '', query] = path.split('?', 2);
    const all: Record<string, string | number | undefined> = {
      'request.path': path,
      'request.url_path': urlPath,
      'request.query': query,
      'request.host': request.get(':authority'),
      'request.scheme': request.get(':scheme'),
      'request.method': request.get(':method'),
      'request.referer': request.get('referer'),
      'request.useragent': request.get('user-agent'),
      'request.id': request.get('x-request-id'),
      'request.protocol': 'HTTP/1.1',
      'response.code': status,
    };
    return all as GivenAttributes;
  }

  private setMetadata({ detail, number, block }: Act): void {
    const [ns, key, value] = triple(block);
    const entry = (this.metadata[ns] ??= {});
    switch (detail) {
      case MetadataType.Number:
        entry[key] = number;
        return;
      case MetadataType.Text:
        entry[key] = value.toString();
        return;
      case MetadataType.Bool:
        entry[key] = number !== 0;
        return;
      case MetadataType.NumberList:
        entry[key] ??= Array.from({ length: value.length / 8 }, (_, i) => value.readDoubleLE(i * 8));
        return;
      case MetadataType.TextList:
        entry[key] ??= texts(value);
        return;
      case MetadataType.BoolList:
        entry[key] ??= [...value].map((one) => one !== 0);
        return;
      case MetadataType.Struct:
        Object.assign(entry, readStruct(value));
        return;
      default:
    }
  }
}

const bytesOf = (text: string | undefined): Buffer | undefined => (text === undefined ? undefined : Buffer.from(text));

/** {u32 length, u32 length, first, second}, and what follows. */
function triple(bytes: Uint8Array): [string, string, Buffer] {
  const block = Buffer.from(bytes);
  const first = 8 + u32(block, 0);
  const second = first + u32(block, 4);
  return [block.toString('utf8', 8, first), block.toString('utf8', first, second), block.subarray(second)];
}

function pair(bytes: Uint8Array): [string, Buffer] {
  const [first, second] = triple(bytes);
  return [first, Buffer.from(second)];
}

/** {u32 length, bytes}* */
function texts(bytes: Uint8Array): string[] {
  const block = Buffer.from(bytes);
  const all: string[] = [];
  for (let at = 0; at + 4 <= block.length;) {
    const end = at + 4 + u32(block, at);
    all.push(block.toString('utf8', at + 4, end));
    at = end;
  }
  return all;
}
