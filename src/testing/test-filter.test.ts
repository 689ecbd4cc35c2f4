import { expect, test, vi } from 'vitest';
import { setTimeout as sleep } from 'node:timers/promises';
import { defineFilter, perChunk, StatusType, type StreamFilter } from '../api/index.js';
import type { FilterCallbacks } from '../api/types-callbacks.js';
import { settled, testFilter, type TestFilterOptions, type Upstream } from './index.js';

const filterOf = (create: (callbacks: FilterCallbacks<never>, config: unknown) => StreamFilter, name = 'f') =>
  defineFilter({ name, create: (config: unknown, callbacks: FilterCallbacks) => create(callbacks, config) as object });
const run = (create: Parameters<typeof filterOf>[0], options?: TestFilterOptions) =>
  testFilter(filterOf(create), undefined, options);
const echo: Upstream = (request) => ({ headers: { 'x-method': request.method }, body: request.body });

test('a request passes the filter both ways', async () => {
  const t = run(() => ({
    decodeHeaders: (headers) => void headers.set('x-in', '1'),
    encodeHeaders: (headers) => void headers.set('x-out', '2'),
  }));
  const response = await t.request('/a?b', { upstream: { status: 201, body: 'hello' } });
  expect(response).toMatchObject({ status: 201, text: 'hello', complete: true, localReply: false, error: undefined });
  expect(response.headers.get('x-out')).toBe('2');
  expect(response.headers.get('content-length')).toBe('5');
  expect(response.upstream).toMatchObject({ method: 'GET', path: '/a?b', host: 'test.local', complete: true });
  expect(response.upstream!.headers.get('x-in')).toBe('1');
});

test.each([[['a', 'bc', '', 'def']], ['abcdef'], [[5, 'abc', 25, 'def']]])(
  'bodies of any chunking go through (%j)',
  async (body) => {
    const upper = perChunk((chunk) => Buffer.from(chunk).toString().toUpperCase());
    const t = run(() => ({ transformRequest: upper, transformResponse: upper }));
    const response = await t.request('/', { body, upstream: echo });
    expect([response.text, response.upstream!.text, response.complete]).toEqual(['ABCDEF', 'ABCDEF', true]);
  },
);

test('a reply and what it passes', async () => {
  const t = run((callbacks) => ({
    decodeHeaders: () => callbacks.sendLocalReply(403, { body: 'no\n', details: 'no_ticket' }),
    encodeHeaders: (headers) => void headers.set('x-seen', String(headers.status)),
  }));
  const response = await t.request();
  expect(response).toMatchObject({ status: 403, text: 'no\n', localReply: true, details: 'no_ticket' });
  expect([...response.headers]).toEqual([
    ['content-length', '3'],
    ['content-type', 'text/plain'],
    ['x-seen', '403'],
  ]);
  expect(response.upstream).toBeUndefined();
});

test('a hook that throws', async () => {
  const t = run(() => ({
    decodeHeaders() {
      throw new Error('broken');
    },
  }));
  const response = await t.request();
  expect(response).toMatchObject({ status: 500, details: 'ts_filter_error', text: 'error happened in filter\r\n' });
  expect((response.error as Error).message).toBe('broken');
  expect(response.envoyLog[0]!.text).toContain('f failed');
});

test('message_timeout, by fake time', async () => {
  vi.useFakeTimers();
  try {
    const t = run(() => ({ decodeHeaders: () => new Promise<void>(() => undefined) }));
    const coming = t.request();
    await vi.advanceTimersByTimeAsync(4_999);
    await vi.advanceTimersByTimeAsync(2);
    const response = await coming;
    expect(response).toMatchObject({ status: 504, details: 'ts_filter_timeout', text: 'ts_filter_timeout' });
  } finally {
    vi.useRealTimers();
  }
});

test("a filter's own timers, by fake time", async () => {
  vi.useFakeTimers();
  try {
    const t = run((callbacks) => ({
      async decodeHeaders(headers) {
        callbacks.extendTimeout(60_000);
        await new Promise((resolve) => setTimeout(resolve, 60_000));
        headers.set('x-late', '1');
      },
      async *transformResponse(body) {
        for await (const chunk of body) {
          await new Promise((resolve) => setTimeout(resolve, 10_000));
          yield chunk;
        }
      },
    }));
    let response: Awaited<ReturnType<typeof t.request>> | undefined;
    void t.request('/', { upstream: { body: ['a', 'b'] } }).then((one) => (response = one));
    for (const step of [59_999, 1, 9_999, 10_000]) {
      await settled();
      expect(response).toBeUndefined();
      await vi.advanceTimersByTimeAsync(step);
    }
    await settled();
    expect(response).toBeUndefined();
    await vi.advanceTimersByTimeAsync(1);
    await settled();
    expect([response!.text, response!.upstream!.headers.get('x-late')]).toEqual(['ab', '1']);
  } finally {
    vi.useRealTimers();
  }
});

test('whole bodies, and those that are too large', async () => {
  const t = run(
    () => ({
      decodeHeaders: () => StatusType.StopAndBuffer,
      decodeData: (data) => {
        data.set(`[${data.text()}]`);
        return StatusType.Continue;
      },
    }),
    { maxBodyBytes: 100 },
  );
  const response = await t.request('/', { body: ['a', 'b'], upstream: echo });
  expect([response.text, response.upstream!.text]).toEqual(['[ab]', '[ab]']);
  const large = await t.request('/', { body: 'x'.repeat(101), upstream: echo });
  expect(large).toMatchObject({ status: 413, text: 'Payload Too Large' });
});

test('calls, metadata, filter state, metrics and attributes', async () => {
  const filter = defineFilter({
    name: 'f',
    attributes: ['source.address', 'request.method'],
    create: (_config, callbacks) => ({
      async decodeHeaders(headers) {
        const info = callbacks.streamInfo();
        const given = await info.dynamicMetadata.get('given');
        info.dynamicMetadata.set('own', 'nested', { a: [1, 'x', null, { b: true }] });
        info.dynamicMetadata.set('own', 'number', 7);
        info.filterState.setString('k', 'v');
        const user = await callbacks.httpCall('auth', { path: '/who', body: 'me' });
        const missing = await callbacks.httpCall('nobody', { path: '/' }).catch((e: { code: string }) => e.code);
        callbacks.metrics.counter('n').increment(2, { who: 'me' });
        const { 'source.address': address, 'request.method': method } = callbacks.attributes;
        const all = [given['x'], await user.text(), user.status, missing, address, method];
        headers.set('x-all', JSON.stringify(all));
        headers.set('x-route', (await info.routeName()) ?? 'none');
      },
    }),
  });
  const t = testFilter(filter, undefined, {
    calls: { auth: (call) => new Response(`${call.text} at ${call.path}`, { status: 202 }) },
    metadata: { given: { x: 1 } },
    attributes: { 'source.address': '10.0.0.1:1', 'xds.route_name': 'main' },
    metrics: [{ name: 'n', type: 'counter', labels: ['who'] }],
  });
  const response = await t.request();
  expect(response.error).toBeUndefined();
  expect(JSON.parse(response.upstream!.headers.get('x-all')!)).toEqual([
    1,
    'me at /who',
    202,
    'TSF_CALL_CLUSTER',
    '10.0.0.1:1',
    'GET',
  ]);
  expect(response.upstream!.headers.get('x-route')).toBe('main');
  expect(response.metadata).toEqual({
    given: { x: 1 },
    own: { nested: { a: [1, 'x', null, { b: true }] }, number: 7 },
  });
  expect(response.filterState).toEqual({ k: 'v' });
  expect(response.metrics).toEqual([{ name: 'n', labels: { who: 'me' }, value: 2 }]);
  expect(response.calls.map(({ cluster, method, text }) => [cluster, method, text])).toEqual([['auth', 'POST', 'me']]);
});

test('a list of filters, each with its config', async () => {
  const mark = (name: string) =>
    filterOf(
      (_callbacks, config) => ({
        decodeHeaders: (headers) => void headers.add('x-seen', `${name}${JSON.stringify(config)}`),
        encodeHeaders: (headers) => void headers.add('x-back', name),
      }),
      name,
    );
  const t = testFilter([{ filter: mark('a'), config: 1 }, mark('b')]);
  const response = await t.request();
  expect(response.upstream!.headers.getAll('x-seen')).toEqual(['a1', 'bundefined']);
  expect(response.headers.getAll('x-back')).toEqual(['b', 'a']);
});

test('peers that reset, and a client that leaves', async () => {
  const aborted: string[] = [];
  const t = run((callbacks) => {
    callbacks.signal.addEventListener('abort', () => aborted.push((callbacks.signal.reason as { by: string }).by));
    return {
      async *transformResponse(body) {
        for await (const chunk of body) yield chunk;
      },
    };
  });
  const early = await t.request('/', {
    upstream: () => {
      throw new Error('down');
    },
  });
  expect(early).toMatchObject({ status: 503, localReply: true });
  expect(early.text).toContain('connection termination');
  const cut = await t.request('/', {
    upstream: {
      body: (function* () {
        yield 'some';
        yield 60;
        throw new Error('gone');
      })(),
    },
  });
  expect(cut).toMatchObject({ status: 200, text: 'some', complete: false });
  const leaving = new AbortController();
  setTimeout(() => leaving.abort(), 30);
  const left = await t.request('/', { upstream: () => new Promise(() => undefined), signal: leaving.signal });
  expect(left).toMatchObject({ status: 0, complete: false });
  expect(aborted).toContain('downstream');
});

test('a slow reader holds the filter up', async () => {
  let made = 0;
  let read = 0;
  const t = run((callbacks) => ({
    decodeHeaders: () =>
      callbacks.reply(
        200,
        {},
        (async function* () {
          for (let i = 0; i < 64; i++) {
            made += 16_384;
            yield Buffer.alloc(16_384);
          }
        })(),
      ),
  }));
  let most = 0;
  const response = await t.request('/', {
    onPiece: async (piece) => {
      read += piece.length;
      most = Math.max(most, made - read);
      await sleep(1);
    },
  });
  expect(response.body.length).toBe(1 << 20);
  expect(most).toBeLessThan(512 * 1024);
});

test('trailers, HEAD, and a config that is refused', async () => {
  const t = run(() => ({
    decodeTrailers: (trailers) => void trailers.set('x-t', '1'),
    encodeTrailers: (trailers) => void trailers.set('x-u', '2'),
  }));
  const response = await t.request('/', {
    body: ['a'],
    trailers: { x: 'y' },
    upstream: { body: ['b'], trailers: { z: 'w' } },
  });
  expect([...response.upstream!.trailers!]).toEqual([
    ['x', 'y'],
    ['x-t', '1'],
  ]);
  expect([...response.trailers!]).toEqual([
    ['z', 'w'],
    ['x-u', '2'],
  ]);
  const named = await t.request('/', {
    body: ['a'],
    headers: { 'content-length': '1' },
    trailers: { x: 'y' },
    upstream: { headers: { 'content-length': '1' }, body: ['b'], trailers: { z: 'w' } },
  });
  expect([named.text, named.upstream!.text, named.trailers, named.upstream!.trailers]).toEqual([
    'b',
    'a',
    undefined,
    undefined,
  ]);
  const head = await t.request('/', { method: 'HEAD', upstream: { body: 'hello' } });
  expect([head.status, head.text, head.headers.get('content-length')]).toEqual([200, '', '5']);
  const refused = testFilter(
    defineFilter({
      name: 'r',
      parseConfig: () => {
        throw new Error('wrong key');
      },
      create: () => ({}),
    }),
  );
  await expect(refused.request()).rejects.toThrow('wrong key');
});

test('onLog and onDestroy see the end; recreateStream begins anew', async () => {
  const ends: string[] = [];
  let tries = 0;
  const t = run((callbacks) => ({
    decodeHeaders(headers) {
      if (tries++ > 0) return undefined;
      headers.path = '/again';
      callbacks.recreateStream();
      return StatusType.LocalReply;
    },
    onLog: (entry) => void ends.push(`log ${entry.request.path} ${entry.response?.get(':status') ?? '-'}`),
    onDestroy: (reason) => void ends.push(reason),
  }));
  const response = await t.request('/first');
  expect([response.status, response.upstream!.path]).toEqual([200, '/again']);
  expect(ends).toEqual(['log /again -', 'complete', 'log /again 200', 'complete']);
});
