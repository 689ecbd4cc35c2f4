import { afterEach, describe, expect, it, vi } from 'vitest';
import { Bench, filterOf, linesOf, settled, type Lines, type TestStream } from '../../test/support/recorder.js';
import { packHeaders } from '../base/header-block.js';
import type { StreamFilter } from '../api/types.js';
import type { CallRequest, CallResponse, FilterCallbacks } from '../api/types-callbacks.js';
import { CallEventPart, CallFailure, EndReason } from '../base/wire.js';

let bench: Bench;
afterEach(() => {
  expect(bench.violations).toEqual([]);
});

/** One stream whose decodeHeaders waits for the test, and its callbacks. */
async function open(): Promise<{ stream: TestStream; callbacks: FilterCallbacks; event: typeof event }> {
  let callbacks: FilterCallbacks | undefined;
  bench = await Bench.of(
    filterOf((given): StreamFilter => {
      callbacks = given;
      return { decodeHeaders: () => new Promise<void>(() => undefined) };
    }),
  );
  const stream = bench.open();
  stream.request();
  const event = (call: number, part: CallEventPart, content: Lines | string | Uint8Array = '', end = false): void => {
    const bytes =
      typeof content === 'string'
        ? Uint8Array.from(Buffer.from(content, 'latin1'))
        : content instanceof Uint8Array
          ? content
          : packHeaders(linesOf(content).flat()).bytes;
    stream.source.onCallEvent(call, part, end, bytes);
  };
  return { stream, callbacks: callbacks!, event };
}

const { Headers: HEADERS, Data: DATA, Trailers: TRAILERS, Failed: FAILED } = CallEventPart;
const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'resolved',
    (e: unknown) => (e as { code?: unknown }).code ?? e,
  );
async function* chunks(...parts: (string | Uint8Array)[]): AsyncGenerator<string | Uint8Array> {
  for (const part of parts) yield await Promise.resolve(part);
}

describe('a call', () => {
  it('goes out whole, and its answer is a Response that streams', async () => {
    const { stream, callbacks, event } = await open();
    const promise = callbacks.httpCall('auth', { path: '/v?a=1', headers: { 'X-A': ['1', '2'] }, timeoutMs: 250.2 });
    await settled();
    expect(stream.take()).toEqual([
      'call 1 auth 1251 ms [:method: GET, :path: /v?a=1, :authority: auth, x-a: 1, x-a: 2] end',
    ]);
    event(1, HEADERS, [
      [':status', '201'],
      ['x-b', 'gr\xf6\xdfe'],
      ['set-cookie', 'a'],
      ['set-cookie', 'b'],
    ]);
    const response: Response = await promise;
    expect([response.status, response.headers.get('x-b'), response.headers.getSetCookie(), response.ok]).toEqual([
      201,
      'gr\xf6\xdfe',
      ['a', 'b'],
      true,
    ]);
    event(1, DATA, 'one ');
    const text = response.text();
    event(1, DATA, 'two', true);
    expect(await text).toBe('one two');
    expect(await (response as CallResponse).trailers).toBeUndefined();
  });

  it('sends texts and bytes with their length, and flushes header writes before', async () => {
    const { stream, callbacks } = await open();
    const bytes = new Uint8Array([1, 2]);
    for (const body of ['gr\xf6\xdfe', bytes, '']) {
      callbacks
        .httpCall('c', { path: '/', body, headers: { host: 'h', 'content-length': '9' } })
        .catch(() => undefined);
    }
    await settled();
    const call = (id: number, length: number): string =>
      `call ${String(id)} c 0 ms [:method: POST, :path: /, :authority: h, content-length: ${String(length)}]`;
    expect(stream.take()).toEqual([
      call(1, 7),
      'callData 1 "gr\xc3\xb6\xc3\x9fe" end',
      call(2, 2),
      'callData 2 "\\u0001\\u0002" end',
      call(3, 0),
      'callData 3 "" end',
    ]);
  });

  it("takes a web Request: path, host, headers, body and signal are the call's", async () => {
    const { stream, callbacks } = await open();
    const controller = new AbortController();
    const request = new Request('http://files.test:81/up?x=%20', {
      method: 'PUT',
      body: 'text',
      headers: { 'x-a': 'b' },
      signal: controller.signal,
    });
    const promise = callbacks.httpCall('c', request);
    await settled();
    expect(stream.take()).toEqual([
      expect.stringMatching(
        /^call 1 c 0 ms \[:method: PUT, :path: \/up\?x=%20, :authority: files.test:81, .*x-a: b\]$/,
      ),
      'callData 1 "text"',
      'callData 1 "" end',
    ]);
    controller.abort(new Error('enough'));
    await expect(promise).rejects.toThrow('enough');
    expect(stream.take()).toEqual(['callCancel 1']);
  });

  it('gives trailers, in both directions', async () => {
    const { stream, callbacks, event } = await open();
    const promise = callbacks.httpCall('c', { path: '/', body: 'a', trailers: { 'x-t': '1' } });
    callbacks.httpCall('c', { path: '/', trailers: { 'x-t': '2' } }).catch(() => undefined);
    await settled();
    expect(stream.take()).toEqual([
      'call 1 c 0 ms [:method: POST, :path: /, :authority: c]',
      'callData 1 "a"',
      'callTrailers 1 [x-t: 1]',
      'call 2 c 0 ms [:method: GET, :path: /, :authority: c]',
      'callTrailers 2 [x-t: 2]',
    ]);
    event(1, HEADERS, { ':status': '200' });
    const response = await promise;
    event(1, TRAILERS, { 'grpc-status': '0' }, true);
    expect((await response.trailers)?.get('Grpc-Status')).toBe('0');
    expect(await response.text()).toBe('');
  });

  it.each([
    [204, 'GET'],
    [205, 'GET'],
    [304, 'GET'],
    [200, 'HEAD'],
  ])('has no body when the answer is %i to %s', async (status, method) => {
    const { stream, callbacks, event } = await open();
    const promise = callbacks.httpCall('c', { path: '/', method });
    event(1, HEADERS, { ':status': String(status) }, true);
    const response = await promise;
    expect([response.status, response.body]).toEqual([status, null]);
    expect(stream.take()).toHaveLength(1);
  });

  it('that ends with its headers has an empty body', async () => {
    const { callbacks, event } = await open();
    const promise = callbacks.httpCall('c', { path: '/' });
    event(1, HEADERS, { ':status': '200', 'content-length': '0' }, true);
    expect(await (await promise).text()).toBe('');
  });
});

describe('a streamed request', () => {
  it('goes piece by piece, no faster than the ring takes it', async () => {
    const { stream, callbacks } = await open();
    let release: () => void = () => undefined;
    stream.sink.room = new Promise((resolve) => (release = resolve));
    const body = chunks('one', new Uint8Array(100_000), 'three');
    callbacks.httpCall('c', { path: '/', body, headers: { 'content-length': '100008' } }).catch(() => undefined);
    await settled();
    expect(stream.take()).toEqual([
      'call 1 c 0 ms [:method: POST, :path: /, :authority: c, content-length: 100008]',
      'callData 1 "one"',
    ]);
    stream.sink.room = undefined;
    release();
    await settled();
    expect(stream.take()).toEqual([
      'callData 1 (65536 bytes)',
      'callData 1 (34464 bytes)',
      'callData 1 "three"',
      'callData 1 "" end',
    ]);
  });

  it('a large whole body goes the same way, as it was when the call was made', async () => {
    const { stream, callbacks } = await open();
    const body = new Uint8Array(65_537).fill(65);
    callbacks.httpCall('c', { path: '/', body }).catch(() => undefined);
    body.fill(66);
    await settled();
    expect(stream.take().slice(1)).toEqual(['callData 1 (65536 bytes)', 'callData 1 "A"', 'callData 1 "" end']);
  });

  it('whose body throws cancels the call and rejects with what it threw', async () => {
    const { stream, callbacks } = await open();
    const broken = new Error('no more');
    async function* body(): AsyncGenerator<string> {
      yield await Promise.resolve('a');
      throw broken;
    }
    await expect(callbacks.httpCall('c', { path: '/', body: body() })).rejects.toBe(broken);
    expect(stream.take().slice(1)).toEqual(['callData 1 "a"', 'callCancel 1']);
  });

  it('that fails shows where it was made', async () => {
    const { callbacks, event } = await open();
    function author(): Promise<unknown> {
      return callbacks.httpCall('c', { path: '/' }).catch((e: unknown) => e);
    }
    const failed = author();
    await settled();
    event(1, FAILED, CallFailure.NoCluster);
    const { stack } = (await failed) as Error;
    expect(stack).toMatch(
      /^FilterError: httpCall\("c"\) GET \/: Envoy has no such cluster\n(.*\n)*?.*at author .*calls\.test\.ts:/,
    );
  });

  it('whose body makes a bad chunk is closed: its finally runs', async () => {
    const { callbacks } = await open();
    let closed = false;
    async function* body(): AsyncGenerator<string> {
      try {
        yield await Promise.resolve(5 as never);
      } finally {
        closed = true;
      }
    }
    expect(await codeOf(callbacks.httpCall('c', { path: '/', body: body() }))).toBe('TSF_CHUNK_INVALID');
    expect(closed).toBe(true);
  });

  it('stops when the answer is complete before it', async () => {
    const { stream, callbacks, event } = await open();
    let stopped = false;
    async function* body(): AsyncGenerator<string> {
      try {
        for (;;) {
          yield 'a';
          await settled();
        }
      } finally {
        stopped = true;
      }
    }
    const promise = callbacks.httpCall('c', { path: '/', body: body() });
    event(1, HEADERS, { ':status': '413' }, true);
    expect((await promise).status).toBe(413);
    await settled();
    await settled();
    const before = stream.take();
    expect([before.at(-1), stopped]).toEqual(['callCancel 1', true]);
    await settled();
    expect(stream.take()).toEqual([]);
  });
});

describe('a call fails', () => {
  it('before its headers: the promise rejects, saying what happened', async () => {
    const { callbacks, event } = await open();
    const calls = [1, 2, 3, 4].map(() => callbacks.httpCall('c', { path: '/p' }));
    event(1, FAILED, CallFailure.NoCluster, true);
    event(2, FAILED, 'connection refused', true);
    event(3, HEADERS, { ':status': '600' });
    event(4, TRAILERS, {}, true);
    await expect(calls[0]).rejects.toMatchObject({ code: 'TSF_CALL_CLUSTER', phase: 'decodeHeaders' });
    await expect(calls[1]).rejects.toMatchObject({
      code: 'TSF_CALL_FAILED',
      message: 'httpCall("c") GET /p: connection refused',
    });
    expect(await Promise.all([codeOf(calls[2]!), codeOf(calls[3]!)])).toEqual(['TSF_CALL_FAILED', 'TSF_CALL_FAILED']);
  });

  it('when it is not complete in time, whatever of it has come', async () => {
    vi.useFakeTimers();
    try {
      const { stream, callbacks, event } = await open();
      const waiting = callbacks.httpCall('c', { path: '/', timeoutMs: 100 });
      const reading = callbacks.httpCall('c', { path: '/', timeoutMs: 100 });
      const done = callbacks.httpCall('c', { path: '/', timeoutMs: 100 });
      event(2, HEADERS, { ':status': '200' });
      event(3, HEADERS, { ':status': '200' }, true);
      const [response] = await Promise.all([reading, done]);
      stream.take();
      const rejection = expect(waiting).rejects.toMatchObject({
        code: 'TSF_CALL_FAILED',
        message: 'httpCall("c") GET /: not complete in 100 ms',
      });
      vi.advanceTimersByTime(99);
      expect(stream.take()).toEqual([]);
      vi.advanceTimersByTime(1);
      await rejection;
      expect(await codeOf(response.text())).toBe('TSF_CALL_FAILED');
      expect(stream.take()).toEqual(['callCancel 1', 'callCancel 2']);
    } finally {
      vi.useRealTimers();
    }
  });

  it("by Envoy's own answer; the same words of an upstream, or other words, are an answer", async () => {
    const { callbacks, event } = await open();
    const own = { ':status': '503', 'content-length': '19', 'content-type': 'text/plain' };
    const calls = Array.from({ length: 5 }, () => callbacks.httpCall('c', { path: '/' }));
    event(1, HEADERS, own);
    event(1, DATA, 'no healthy upstream', true);
    event(2, HEADERS, { ...own, date: 'today' });
    event(2, DATA, 'no healthy upstream', true);
    event(3, HEADERS, own);
    event(3, DATA, '');
    event(3, DATA, 'busy', true);
    event(4, HEADERS, own);
    event(4, DATA, '', true);
    event(5, HEADERS, own);
    event(5, TRAILERS, { 'x-t': '1' }, true);
    await expect(calls[0]).rejects.toMatchObject({
      code: 'TSF_CALL_FAILED',
      message: 'httpCall("c") GET /: no healthy upstream',
    });
    const texts = await Promise.all(calls.slice(1).map(async (call) => (await call).text()));
    expect(texts).toEqual(['no healthy upstream', 'busy', '', '']);
    expect((await (await calls[4]!).trailers)?.get('x-t')).toBe('1');
  });

  it('after them: the body errors, and so do the trailers', async () => {
    const { callbacks, event } = await open();
    const promise = callbacks.httpCall('c', { path: '/' });
    event(1, HEADERS, { ':status': '200' });
    const response = await promise;
    event(1, DATA, 'half');
    event(1, FAILED, 'reset', true);
    event(1, DATA, 'late');
    expect(await codeOf(response.text())).toBe('TSF_CALL_FAILED');
    expect(await codeOf(response.trailers)).toBe('TSF_CALL_FAILED');
  });

  it('when more than 32 MiB are unread; what is read does not count', async () => {
    const { stream, callbacks, event } = await open();
    const promise = callbacks.httpCall('c', { path: '/' });
    event(1, HEADERS, { ':status': '200' });
    const response = await promise;
    const reader = response.body!.getReader();
    const mebi = new Uint8Array(1024 * 1024);
    event(1, DATA, mebi);
    expect((await reader.read()).value?.length).toBe(mebi.length);
    for (let i = 0; i < 32; i++) event(1, DATA, mebi);
    expect(stream.take()).toHaveLength(1);
    event(1, DATA, 'x');
    expect(stream.take()).toEqual(['callCancel 1']);
    expect(await codeOf(reader.read())).toBe('TSF_CALL_LIMIT');
  });

  it('by its signal: before, while it waits, and while its body is read', async () => {
    const { stream, callbacks, event } = await open();
    const reason = new Error('enough');
    const gone = AbortSignal.abort(reason);
    await expect(callbacks.httpCall('c', { path: '/', signal: gone })).rejects.toBe(reason);
    expect(stream.take()).toEqual([]);
    const controller = new AbortController();
    const waiting = callbacks.httpCall('c', { path: '/', signal: controller.signal });
    const reading = callbacks.httpCall('c', { path: '/', signal: controller.signal });
    const done = callbacks.httpCall('c', { path: '/', signal: controller.signal });
    event(2, HEADERS, { ':status': '200' });
    event(3, HEADERS, { ':status': '200' }, true);
    const response = await reading;
    await done;
    stream.take();
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    await expect(response.text()).rejects.toBe(reason);
    expect(stream.take()).toEqual(['callCancel 1', 'callCancel 2']);
  });

  it('by the cancelling of its body', async () => {
    const { stream, callbacks, event } = await open();
    const promise = callbacks.httpCall('c', { path: '/' });
    event(1, HEADERS, { ':status': '200' });
    const response = await promise;
    stream.take();
    await response.body?.cancel();
    expect(stream.take()).toEqual(['callCancel 1']);
    event(1, DATA, 'late', true);
    expect(await codeOf(response.trailers)).toBe('TSF_CALL_FAILED');
  });

  it('by the end of the stream, and the module need not be told', async () => {
    const { stream, callbacks, event } = await open();
    const waiting = callbacks.httpCall('c', { path: '/' });
    const reading = callbacks.httpCall('c', { path: '/' });
    event(2, HEADERS, { ':status': '200' });
    const response = await reading;
    const text = response.text();
    stream.end(EndReason.Downstream);
    await expect(waiting).rejects.toMatchObject({ code: 'TSF_STREAM_ABORTED', by: 'downstream' });
    await expect(text).rejects.toMatchObject({ code: 'TSF_STREAM_ABORTED' });
    event(1, DATA, 'late');
  });
});

it.each<[string, unknown, Partial<CallRequest> | null]>([
  ['TSF_ARGUMENT_INVALID', '', {}],
  ['TSF_ARGUMENT_INVALID', 5, {}],
  ['TSF_ARGUMENT_INVALID', 'c', null],
  ['TSF_ARGUMENT_INVALID', 'c', { path: '' }],
  ['TSF_ARGUMENT_INVALID', 'c', { path: 'x' }],
  ['TSF_ARGUMENT_INVALID', 'c', { path: '/ x' }],
  ['TSF_ARGUMENT_INVALID', 'c', { path: '/\u0100' }],
  ['TSF_ARGUMENT_INVALID', 'c', { method: 'G T' }],
  ['TSF_ARGUMENT_INVALID', 'c', { timeoutMs: -1 }],
  ['TSF_ARGUMENT_INVALID', 'c', { timeoutMs: NaN }],
  ['TSF_CHUNK_INVALID', 'c', { body: 5 as never }],
  ['TSF_CHUNK_INVALID', 'c', { body: null as never }],
  ['TSF_HEADER_PSEUDO', 'c', { headers: { ':path': '/' } }],
  ['TSF_HEADER_INVALID', 'c', { headers: { 'a b': '1' } }],
  ['TSF_HEADER_INVALID', 'c', { headers: { a: 'x\r\ny' } }],
  ['TSF_HEADER_INVALID', 'c', { trailers: { a: '\0' } }],
])('a request that cannot be made rejects with %s, and nothing is sent: %j %j', async (code, cluster, request) => {
  const { stream, callbacks } = await open();
  const given = request === null ? null : { path: '/', ...request };
  expect(await codeOf(callbacks.httpCall(cluster as string, given as CallRequest))).toBe(code);
  expect(stream.take()).toEqual([]);
});

it("headers of the request that came can be given on; the connection's own are left out", async () => {
  const { stream, callbacks } = await open();
  const headers = [...new Headers({ te: 'trailers', Connection: 'close', 'content-length': '5', 'x-a': '1' })];
  callbacks.httpCall('c', { path: '/', headers }).catch(() => undefined);
  await settled();
  expect(stream.take()).toEqual(['call 1 c 0 ms [:method: GET, :path: /, :authority: c, x-a: 1] end']);
});
