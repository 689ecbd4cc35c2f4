/** Questions to Envoy that wait for their answers. */
import { type Attribute, attributeId, type AttributeTypes, decodeAttribute, isStructured } from '../api/attributes.js';
import { FilterError, type StreamAbortedError } from '../api/errors.js';
import { QueryKind, type StreamSink } from '../base/wire.js';

const EMPTY = new Uint8Array(0);

interface Question {
  decode(bytes: Uint8Array): unknown;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

export class Queries {
  private readonly sink: StreamSink;
  private readonly waiting = new Map<number, Question>();
  private nextId = 1;

  constructor(sink: StreamSink) {
    this.sink = sink;
  }

  /** undefined = Envoy has no value. */
  attribute<K extends Attribute>(name: K): Promise<AttributeTypes[K] | undefined> {
    const key = attributeId(name);
    if (key === undefined) {
      return Promise.reject(new FilterError('TSF_PROPERTY_UNKNOWN', `Envoy has no attribute ${JSON.stringify(name)}`));
    }
    if (isStructured(name)) {
      const why = 'is a map or a message in Envoy, which modules cannot read';
      return Promise.reject(new FilterError('TSF_PROPERTY_STRUCTURED', `${JSON.stringify(name)} ${why}`));
    }
    return this.ask(QueryKind.Attribute, key, EMPTY, (bytes) => decodeAttribute(name, bytes) as AttributeTypes[K]);
  }

  /** undefined = Envoy has no value. `key` and `block` as schema/exchange.fbs has them, by kind. */
  ask<T>(kind: QueryKind, key: number, block: Uint8Array, decode: (bytes: Uint8Array) => T): Promise<T | undefined> {
    const id = this.nextId++;
    return new Promise<T | undefined>((resolve, reject) => {
      this.waiting.set(id, { decode, resolve: resolve as (value: unknown) => void, reject });
      this.sink.query(id, kind, key, block);
    });
  }

  answer(id: number, found: boolean, bytes: Uint8Array): void {
    const question = this.waiting.get(id);
    if (question === undefined) return;
    this.waiting.delete(id);
    try {
      question.resolve(found ? question.decode(bytes) : undefined);
    } catch (e) {
      question.reject(e);
    }
  }

  end(error: () => StreamAbortedError): void {
    for (const question of this.waiting.values()) question.reject(error());
    this.waiting.clear();
  }
}
