import { AsyncLocalStorage } from 'node:async_hooks';
import { afterEach, describe, expect, it } from 'vitest';
import { Bench, filterOf, REQUEST, settled, TestStream } from '../../test/support/recorder.js';
import { attributeId } from '../api/attributes.js';
import { defineFilter } from '../api/filter.js';
import type { StreamFilter } from '../api/types.js';
import type { FilterCallbacks } from '../api/types-callbacks.js';

let bench: Bench;
afterEach(() => {
  expect(bench.violations).toEqual([]);
});

async function open(create: (callbacks: FilterCallbacks) => StreamFilter, options = {}): Promise<TestStream> {
  bench = await Bench.of(filterOf(create), options);
  return bench.open();
}

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

describe('callbacks', () => {
  it('have a request id: that of the headers, else one that stays', async () => {
    const ids: string[] = [];
    const stream = await open((callbacks) => ({
      decodeHeaders: () => void ids.push(callbacks.requestId, callbacks.requestId),
    }));
    stream.request({ ...REQUEST, 'x-request-id': 'abc' });
    bench.open().request();
    expect(ids.slice(0, 2)).toEqual(['abc', 'abc']);
    expect(ids[2]).toMatch(/^[0-9a-f-]{36}$/);
    expect(ids[3]).toBe(ids[2]);
  });

  it('share one context between both directions, and not between streams', async () => {
    const seen: unknown[] = [];
    const stream = await open((callbacks) => {
      const context = callbacks.context as { path?: string };
      return {
        decodeHeaders: (headers) => void (context.path = headers.path),
        encodeHeaders: () => void seen.push((callbacks.context as { path?: string }).path),
      };
    });
    stream.request().response();
    bench.open().response();
    expect(seen).toEqual(['/a?b=1', undefined]);
  });

  it('log to the process, and to Envoy from the configured level', async () => {
    const stream = await open((callbacks) => ({
      decodeHeaders() {
        callbacks.log.debug('quiet');
        callbacks.log.warn({ n: 1 }, 'loud');
      },
    }));
    expect(stream.request().take()).toEqual(['log 3 f: loud {"n":1}', 'answer Request Pass []']);
    expect(bench.logger.lines).toEqual(['debug quiet', 'warn loud']);
  });

  it('extend the time that an answer may take', async () => {
    const stream = await open((callbacks) => ({
      decodeHeaders() {
        callbacks.extendTimeout(1500);
        expect(() => callbacks.extendTimeout(-1)).toThrow(expect.objectContaining({ code: 'TSF_ARGUMENT_INVALID' }));
      },
    }));
    expect(stream.request().take()).toEqual(['extend 1500', 'answer Request Pass []']);
  });

  it('read the declared attributes without asking', async () => {
    const filter = defineFilter({
      name: 'f',
      attributes: ['request.path', 'connection.mtls', 'source.port', 'xds.route_name', 'health_check'],
      create: (_config, { attributes }) => ({
        decodeHeaders: (headers) => void headers.set('x-a', JSON.stringify(Object.values(attributes))),
      }),
    });
    bench = await Bench.of(filter);
    const port = Buffer.alloc(8);
    port.writeUInt32LE(8080);
    const block = Buffer.concat([
      u32(2),
      Buffer.from('/\xe9', 'latin1'),
      u32(1),
      Buffer.from([1]),
      u32(8),
      port,
      u32(0xffffffff),
    ]);
    const stream = bench.open({ attributes: block });
    expect(stream.request().take()).toEqual(['answer Request Pass [set x-a ["/\xe9",true,8080,null,null]]']);
  });

  it('ask Envoy for properties', async () => {
    const seen: unknown[] = [];
    const stream = await open((callbacks) => ({
      async decodeHeaders() {
        seen.push(await callbacks.getProperty('xds.route_name'));
        seen.push(await callbacks.getProperty('response.code').catch((e: unknown) => (e as { code: string }).code));
        seen.push(await callbacks.getProperty('no.such' as never).catch((e: unknown) => (e as { code: string }).code));
        const info = callbacks.streamInfo();
        seen.push(info.workerId, await info.protocol());
      },
    }));
    stream.request();
    expect(stream.take()).toEqual(['query 1 Attribute 61']);
    stream.source.onQueryAnswer(1, true, Buffer.from('r\xf6ute'));
    await settled();
    expect(stream.take()).toEqual([`query 2 Attribute ${String(attributeId('response.code'))}`]);
    stream.source.onQueryAnswer(2, false, new Uint8Array(0));
    await settled();
    expect(stream.take()).toEqual([`query 3 Attribute ${String(attributeId('request.protocol'))}`]);
    stream.source.onQueryAnswer(77, true, new Uint8Array(0));
    stream.source.onQueryAnswer(3, true, new Uint8Array(0));
    await settled();
    expect(seen).toEqual(['r\xf6ute', 'TSF_PROPERTY_NOT_FOUND', 'TSF_PROPERTY_UNKNOWN', 3, undefined]);
  });
});

it.each([
  ['127.0.0.1:4711', '127.0.0.1'],
  ['[2001:db8::1]:4711', '2001:db8::1'],
  ['/run/a:80', '/run/a:80'],
])('the client at %s without its port is %s', async (address, without) => {
  const seen: unknown[] = [];
  const stream = await open((callbacks) => ({
    async decodeHeaders() {
      seen.push(await callbacks.streamInfo().downstreamRemoteAddressWithoutPort());
    },
  }));
  stream.request();
  stream.source.onQueryAnswer(1, true, Buffer.from(address));
  await settled();
  expect(seen).toEqual([without]);
});

describe('AsyncLocalStorage', () => {
  it('does not leak from one stream into the next, also of one batch', async () => {
    const storage = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    const stream = await open(() => ({
      async decodeHeaders(headers) {
        seen.push(storage.getStore());
        storage.enterWith(headers.path);
        await Promise.resolve();
        seen.push(storage.getStore());
      },
      async *transformRequest(body) {
        storage.enterWith('transform');
        for await (const chunk of body) yield chunk;
      },
      encodeHeaders() {
        storage.enterWith('encode');
      },
      onDestroy: () => storage.enterWith('destroy'),
    }));
    const other = bench.open();
    stream.request();
    other.request({ ...REQUEST, ':path': '/other' });
    await settled();
    stream.req('a').response().end();
    other.req('b').response();
    expect(seen).toEqual([undefined, undefined, '/a?b=1', '/other']);
    expect(storage.getStore()).toBeUndefined();
  });

  it('keeps its value through a transform', async () => {
    const storage = new AsyncLocalStorage<number>();
    const seen: unknown[] = [];
    const stream = await open(() => ({
      async *transformRequest(body) {
        storage.enterWith(42);
        for await (const chunk of body) {
          seen.push(storage.getStore());
          yield chunk;
        }
        seen.push(storage.getStore());
      },
    }));
    stream.request().req('a');
    await settled();
    stream.req('b', 'last');
    await settled();
    expect(seen).toEqual([42, 42, 42]);
  });
});

describe('a stream that nobody looks at', () => {
  it('makes no controller, no context and no logger', async () => {
    bench = await Bench.of(filterOf(() => ({ decodeHeaders: (headers) => void headers.set('x-a', '1') })));
    const stream = new TestStream(bench.registry, {}, { config: 1, route: 0 });
    stream.request();
    const { source } = stream as unknown as {
      source: { controller?: unknown; maybeReplies?: unknown; maybeQueries?: unknown };
    };
    expect([source.controller, source.maybeReplies, source.maybeQueries]).toEqual([undefined, undefined, undefined]);
  });
});
