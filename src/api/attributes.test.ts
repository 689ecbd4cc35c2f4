import { describe, expect, it } from 'vitest';
import { attributeId, attributeNames, decodeAttribute, decodeAttributes } from './attributes.js';

describe('attributes', () => {
  it('have the numbers of Envoy', () => {
    const anchors = {
      'request.path': 0,
      'source.address': 24,
      'connection.id': 28,
      'upstream.address': 41,
      'xds.route_name': 61,
      health_check: 67,
    };
    for (const [name, id] of Object.entries(anchors)) expect([name, attributeId(name)]).toEqual([name, id]);
    expect(attributeNames()).toHaveLength(68);
    expect(attributeId('no.such')).toBeUndefined();
    expect(attributeId('toString')).toBeUndefined();
  });

  it('are decoded by their type', () => {
    const int = Buffer.alloc(8);
    int.writeBigUInt64LE(2n ** 53n - 1n);
    expect(decodeAttribute('connection.id', int)).toBe(2 ** 53 - 1);
    expect(decodeAttribute('connection.id', int.subarray(1))).toBeUndefined();
    expect(decodeAttribute('health_check', Uint8Array.from([1]))).toBe(true);
    expect(decodeAttribute('health_check', Uint8Array.from([]))).toBeUndefined();
    expect(decodeAttribute('request.path', Uint8Array.from([0x2f, 0xe9]))).toBe('/\xe9');
    expect(decodeAttribute('xds.route_name', Uint8Array.from([0xc3, 0xa9]))).toBe('\xe9');
  });

  it('of a block that is cut short are absent', () => {
    const names = ['request.path', 'request.host'] as const;
    expect(decodeAttributes(names, new Uint8Array(0))).toEqual({
      'request.path': undefined,
      'request.host': undefined,
    });
    expect(decodeAttributes(names, Uint8Array.from([9, 0, 0, 0, 1]))).toEqual({
      'request.path': undefined,
      'request.host': undefined,
    });
  });
});
