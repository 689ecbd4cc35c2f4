import { describe, expect, it } from 'vitest';
import type { FilterError } from '../api/errors.js';
import { HeaderRules } from './header-rules.js';
import { packHeaders } from '../base/header-block.js';
import { headerLines } from './header-lines.js';
import { RequestViewImpl } from './header-views.js';
import { HeaderMapImpl, RequestHeadersImpl, ResponseHeadersImpl } from './headers.js';
import { HeaderOp, HeaderType } from '../base/wire.js';

const owner = (allow: string[] = [], deny: string[] = []) => ({
  phase: 'decodeHeaders',
  rules: new HeaderRules(allow, deny),
});
const LINES: [string, string][] = [
  [':method', 'GET'],
  [':path', '/\xe9?q'],
  [':scheme', 'https'],
  [':authority', 'example.test'],
  ['accept', 'a'],
  ['cookie', '1'],
  ['Cookie', '2'],
  ['x-empty', ''],
];
const request = (lines = LINES, held = true): RequestHeadersImpl =>
  new RequestHeadersImpl(owner(), HeaderType.Request, packHeaders(lines.flat()), held);

const code = (call: () => unknown): string => {
  try {
    call();
    return 'nothing thrown';
  } catch (e) {
    return (e as FilterError).code;
  }
};

describe('a header map', () => {
  it('is read without case, with duplicates and order, in latin1', () => {
    const map = request();
    expect(map.get('COOKIE')).toBe('1');
    expect(map.getAll('cookie')).toEqual(['1', '2']);
    expect(map.get(':path')).toBe('/\xe9?q');
    expect(map.getRaw(':path')).toEqual(Uint8Array.from([0x2f, 0xe9, 0x3f, 0x71]));
    expect([map.get('x-empty'), map.get('none'), map.getRaw('none')]).toEqual(['', undefined, undefined]);
    expect([map.has('Accept'), map.has('acc')]).toEqual([true, false]);
    expect(map.size).toBe(8);
    expect([...map].map(([name]) => name)).toEqual([
      ':method',
      ':path',
      ':scheme',
      ':authority',
      'accept',
      'cookie',
      'cookie',
      'x-empty',
    ]);
  });

  it('has the request line as properties, and Host as :authority', () => {
    const map = request();
    expect([map.method, map.path, map.scheme, map.host, map.get('Host')]).toEqual([
      'GET',
      '/\xe9?q',
      'https',
      'example.test',
      'example.test',
    ]);
    map.host = 'other.test';
    map.set('host', 'third.test');
    expect(map.host).toBe('third.test');
    expect(map.takeOps()).toEqual([HeaderOp.Set, ':authority', 'other.test', HeaderOp.Set, ':authority', 'third.test']);
    expect(request([]).method).toBe('');
  });

  it('becomes web headers without pseudo-headers', () => {
    expect([...request().toHeaders()]).toEqual([
      ['accept', 'a'],
      ['cookie', '1; 2'],
      ['x-empty', ''],
    ]);
  });

  it.each([false, true])('shows its own writes to later reads (lines decoded before: %s)', (decoded) => {
    const map = request();
    if (decoded) void [...map];
    map.set('Cookie', '3').add('cookie', '4').delete('accept');
    map.path = '/x';
    expect(map.getAll('cookie')).toEqual(['3', '4']);
    expect(map.has('accept')).toBe(false);
    expect(map.size).toBe(7);
    expect([...map].map(([name, value]) => `${name}=${value}`)).toEqual([
      ':method=GET',
      ':path=/x',
      ':scheme=https',
      ':authority=example.test',
      'x-empty=',
      'cookie=3',
      'cookie=4',
    ]);
  });

  it('goes on showing them after they were handed over', () => {
    const map = request();
    map.set('a', '1');
    expect(map.takeOps()).toEqual([HeaderOp.Set, 'a', '1']);
    map.set('b', '2');
    expect([map.get('a'), map.get('b')]).toEqual(['1', '2']);
    expect(map.release()).toEqual([HeaderOp.Set, 'b', '2']);
    expect([map.get('a'), map.get('b'), map.getAll('b'), map.has('b'), map.size]).toEqual(['1', '2', ['2'], true, 10]);
    const late = request();
    late.set('a', '1');
    late.release();
    expect([late.get('a'), late.get('accept'), late.size]).toEqual(['1', 'a', 9]);
  });

  it('may be written while somebody goes over it', () => {
    const map = request();
    for (const [name] of map) if (!name.startsWith(':')) map.delete(name);
    expect(map.size).toBe(4);
  });

  it('refuses what HTTP and Envoy do', () => {
    const map = request();
    for (const name of ['', 'a b', 'a:b', 'h\xe9', 'a\n', '\u0100'])
      expect(code(() => map.set(name, '1'))).toBe('TSF_HEADER_INVALID');
    for (const value of ['a\rb', 'a\nb', 'a\0b', 'a\u0100', '\ud83d\ude00'])
      expect(code(() => map.set('a', value))).toBe('TSF_HEADER_INVALID');
    for (const value of [1, null, undefined, {}])
      expect(code(() => map.set('a', value as never))).toBe('TSF_HEADER_INVALID');
    expect(code(() => map.set(1 as never, '1'))).toBe('TSF_HEADER_INVALID');
    expect(code(() => map.set('a', ''))).toBe('TSF_HEADER_EMPTY');
    expect(code(() => map.add('a', ''))).toBe('TSF_HEADER_EMPTY');
    expect(map.hasOps).toBe(false);
    map.set('a', '\xff\t ~');
    expect(map.get('a')).toBe('\xff\t ~');
  });

  it('lets pseudo-headers be written by list only', () => {
    const map = request();
    for (const name of [':path', ':method', ':scheme', ':authority'])
      expect(code(() => map.set(name, 'x'))).toBe('nothing thrown');
    for (const name of [':status', ':protocol', ':x'])
      expect(code(() => map.set(name, '200'))).toBe('TSF_HEADER_PSEUDO');
    for (const name of [':path', ':method', ':status', ':scheme', ':authority', 'host'])
      expect(code(() => map.delete(name))).toBe('TSF_HEADER_PSEUDO');
    expect(code(() => map.add(':path', '/'))).toBe('TSF_HEADER_PSEUDO');
    const response = new ResponseHeadersImpl(owner(), HeaderType.Response, packHeaders([':status', '200']), true);
    expect(response.status).toBe(200);
    response.status = 404;
    expect(response.status).toBe(404);
    for (const status of [199, 600, 200.5, NaN])
      expect(code(() => (response.status = status))).toBe('TSF_HEADER_INVALID');
    for (const status of ['0200', '2e2', ' 200', 'x'])
      expect(code(() => response.set(':status', status))).toBe('TSF_HEADER_INVALID');
    expect(code(() => response.delete(':status'))).toBe('TSF_HEADER_PSEUDO');
    const trailers = new HeaderMapImpl(owner(), HeaderType.RequestTrailers, packHeaders([]), true);
    expect(code(() => trailers.set(':path', '/'))).toBe('TSF_HEADER_PSEUDO');
    expect(trailers.set('host', 'x').get('host')).toBe('x');
  });

  it('obeys allow and deny, also for host and :authority', () => {
    const map = (allow: string[], deny: string[]): RequestHeadersImpl =>
      new RequestHeadersImpl(owner(allow, deny), HeaderType.Request, packHeaders([]), true);
    expect(code(() => map(['x-a'], []).set('X-A', '1'))).toBe('nothing thrown');
    expect(code(() => map(['x-a'], []).delete('x-b'))).toBe('TSF_HEADER_REFUSED');
    expect(code(() => map([], ['x-a']).add('X-A', '1'))).toBe('TSF_HEADER_REFUSED');
    expect(code(() => map(['x-a'], ['x-a']).add('X-A', '1'))).toBe('TSF_HEADER_REFUSED');
    expect(code(() => (map([], ['host']).host = 'a'))).toBe('TSF_HEADER_REFUSED');
    expect(code(() => (map(['host'], []).host = 'a'))).toBe('nothing thrown');
  });

  it('that went on can be read only', () => {
    const map = request(LINES, false);
    for (const call of [
      () => map.set('a', '1'),
      () => map.add('a', '1'),
      () => map.delete('a'),
      () => (map.path = '/'),
    ]) {
      expect(code(call)).toBe('TSF_HEADERS_SENT');
    }
    expect(map.get('accept')).toBe('a');
  });

  it('knows a content-length that is a number', () => {
    const length = (value: string): number | undefined => request([['content-length', value]]).contentLength();
    expect([length('12'), length('x'), length('-1'), length('1, 1'), request([]).contentLength()]).toEqual([
      12,
      ...Array(4).fill(undefined),
    ]);
  });

  it('is not kept alive by a value of it', () => {
    const map = request([['a', 'x'.repeat(100)]]);
    expect(map.get('a')).toHaveLength(100);
  });
});

describe('a request view', () => {
  it('shows the map, live, and has nothing to write with', () => {
    const map = request();
    const view = new RequestViewImpl(map);
    map.path = '/new';
    expect([view.path, view.method, view.host, view.scheme, view.size]).toEqual([
      '/new',
      'GET',
      'example.test',
      'https',
      8,
    ]);
    expect('set' in view).toBe(false);
  });
});

describe('header inits', () => {
  it.each([
    ['an object', { a: '1', b: ['2', '3'] }],
    [
      'pairs',
      [
        ['a', '1'],
        ['b', '2'],
        ['b', '3'],
      ] as [string, string][],
    ],
    [
      'a map',
      new Map([
        ['a', '1'],
        ['b', '2'],
        ['c', ''],
      ]),
    ],
    [
      'web headers',
      new Headers([
        ['a', '1'],
        ['b', '2'],
      ]),
    ],
  ])('may be %s', (_name, init) => {
    expect(headerLines(init).slice(0, 2)).toEqual([
      ['a', '1'],
      ['b', '2'],
    ]);
    expect(headerLines(init).every(([, value]) => value !== '')).toBe(true);
  });
});
