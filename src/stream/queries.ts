/** Questions to Envoy that wait for their answers. */
import { type Attribute, attributeId, type AttributeTypes, decodeAttribute } from '../attributes.js';
import { FilterError, type StreamAbortedError } from '../errors.js';
import type { StreamSink } from '../wire.js';

interface Question {
  readonly name: Attribute;
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export class Queries {
  private readonly sink: StreamSink;
  private readonly waiting = new Map<number, Question>();
  private nextId = 1;

  constructor(sink: StreamSink) {
    this.sink = sink;
  }

  /** undefined = Envoy has no value. */
  ask<K extends Attribute>(name: K): Promise<AttributeTypes[K] | undefined> {
    const key = attributeId(name);
    if (key === undefined) {
      return Promise.reject(new FilterError('TSF_PROPERTY_UNKNOWN', `Envoy has no attribute ${JSON.stringify(name)}`));
    }
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { name, resolve: resolve as (value: unknown) => void, reject });
      this.sink.query(id, key);
    });
  }

  answer(id: number, found: boolean, bytes: Uint8Array): void {
    const question = this.waiting.get(id);
    if (question === undefined) return;
    this.waiting.delete(id);
    question.resolve(found ? decodeAttribute(question.name, bytes) : undefined);
  }

  end(error: () => StreamAbortedError): void {
    for (const question of this.waiting.values()) question.reject(error());
    this.waiting.clear();
  }
}
