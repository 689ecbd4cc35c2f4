import { fromJSON, type MethodDefinition } from '@grpc/proto-loader';
import { describe, expect, it } from 'vitest';
import type { Json } from '../api/types-data.js';
import { MetadataType } from '../base/wire.js';
import { metadataValue, pairBlock, textBlock } from './metadata.js';

/** google/protobuf/struct.proto, for a decoder that is not ours. */
const one = (type: string, id: number) => ({ type, id });
const PROTO = {
  nested: {
    google: {
      nested: {
        protobuf: {
          nested: {
            Struct: { fields: { fields: { keyType: 'string', type: 'Value', id: 1 } } },
            Value: {
              oneofs: {
                kind: { oneof: ['nullValue', 'numberValue', 'stringValue', 'boolValue', 'structValue', 'listValue'] },
              },
              fields: {
                nullValue: one('NullValue', 1),
                numberValue: one('double', 2),
                stringValue: one('string', 3),
                boolValue: one('bool', 4),
                structValue: one('Struct', 5),
                listValue: one('ListValue', 6),
              },
            },
            NullValue: { values: { NULL_VALUE: 0 } },
            ListValue: { fields: { values: { rule: 'repeated', type: 'Value', id: 1 } } },
            Service: { methods: { take: { requestType: 'Struct', responseType: 'Struct' } } },
          },
        },
      },
    },
  },
};
interface Value {
  kind: 'nullValue' | 'numberValue' | 'stringValue' | 'boolValue' | 'structValue' | 'listValue';
  structValue?: Struct;
  listValue?: { values?: Value[] };
  [kind: string]: unknown;
}
interface Struct {
  fields?: { [key: string]: Value };
}

const service = fromJSON(PROTO as unknown as Parameters<typeof fromJSON>[0], { oneofs: true })[
  'google.protobuf.Service'
] as unknown as {
  take: MethodDefinition<object, object>;
};

function jsonOf(struct: Struct): { [key: string]: Json } {
  const value = (v: Value): Json => {
    if (v.kind === 'nullValue') return null;
    if (v.kind === 'structValue') return jsonOf(v.structValue!);
    if (v.kind === 'listValue') return (v.listValue?.values ?? []).map(value);
    return v[v.kind] as Json;
  };
  return Object.fromEntries(Object.entries(struct.fields ?? {}).map(([key, v]) => [key, value(v)]));
}

const decoded = (bytes: Buffer): Json => jsonOf(service.take.requestDeserialize(bytes) as Struct);

describe('metadata values', () => {
  it('of one plain type go as they are', () => {
    expect(metadataValue('k', 1.5, false)).toEqual({ type: MetadataType.Number, number: 1.5, bytes: Buffer.alloc(0) });
    expect(metadataValue('k', true, false)).toEqual({ type: MetadataType.Bool, number: 1, bytes: Buffer.alloc(0) });
    expect(metadataValue('k', 'größe', false)).toEqual({
      type: MetadataType.Text,
      number: 0,
      bytes: Buffer.from('größe'),
    });
    const numbers = metadataValue('k', [1, -2.5], false);
    expect([numbers.type, numbers.bytes.readDoubleLE(0), numbers.bytes.readDoubleLE(8), numbers.bytes.length]).toEqual([
      MetadataType.NumberList,
      1,
      -2.5,
      16,
    ]);
    expect(metadataValue('k', [true, false], false)).toMatchObject({
      type: MetadataType.BoolList,
      bytes: Buffer.from([1, 0]),
    });
    expect(metadataValue('k', ['a', 'ß'], false)).toMatchObject({
      type: MetadataType.TextList,
      bytes: Buffer.from('\x01\0\0\0a\x02\0\0\0\xc3\x9f', 'latin1'),
    });
  });

  it.each<[string, Json]>([
    ['null', null],
    ['an object', { a: 1, b: 'ü', c: [true, null], d: {} }],
    ['a list of texts', ['a', 'b']],
    ['an empty list', []],
    ['a mixed list', [1, 'a']],
    ['a list of lists', [[1], [2, [3]]]],
    ['a list of objects', [{ a: 1 }, { b: -0.5 }]],
    ['long texts', { text: 'x'.repeat(100_000), ['k'.repeat(200)]: 'y'.repeat(127), z: 'z'.repeat(128) }],
    ['objects thirty deep', Array.from({ length: 29 }).reduce<Json>((inner) => ({ a: inner }), 1)],
  ])('%s becomes a Struct that another decoder reads', (_, value) => {
    const { type, bytes } = metadataValue('key', value, true);
    expect(type).toBe(MetadataType.Struct);
    expect(decoded(bytes)).toEqual({ key: value });
  });

  it('that are no JSON are refused', () => {
    const circle: { [key: string]: Json } = {};
    circle['self'] = circle;
    const deep = Array.from({ length: 40 }).reduce<Json>((inner) => [inner], 1);
    for (const bad of [
      NaN,
      Infinity,
      [1, NaN],
      { a: -Infinity },
      undefined,
      { a: undefined },
      1n,
      () => 1,
      circle,
      deep,
    ]) {
      expect(() => metadataValue('k', bad as Json, false)).toThrow(
        expect.objectContaining({ code: 'TSF_ARGUMENT_INVALID' }),
      );
    }
  });
});

it('blocks count bytes, not characters', () => {
  expect(pairBlock('ß', 'k', Buffer.from('v')).toString('latin1')).toBe('\x02\0\0\0\x01\0\0\0\xc3\x9fkv');
  expect(textBlock(['', 'ß']).toString('latin1')).toBe('\0\0\0\0\x02\0\0\0\xc3\x9f');
});
