import { setImmediate as tick } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { ListBench, ListDriver } from '../../test/support/list.js';
import { RULES, RecordingLogger, settled } from '../../test/support/recorder.js';
import { packHeaders } from '../base/header-block.js';
import { defineFilter } from '../api/filter.js';
import { perChunk } from '../api/transform.js';
import { type Phase, StatusType as S, type StreamFilter } from '../api/types.js';
import type { Filter } from '../api/types-definition.js';
import type { Attribute } from '../api/attributes.js';
import type { FilterCallbacks, LocalReply } from '../api/types-callbacks.js';
import { Direction, EndReason, HeaderType, LogKind, PhaseBit } from '../base/wire.js';
import { FilterRegistry } from '../registry/index.js';

let bench: ListBench | undefined;
afterEach(() => {
  expect(bench?.violations ?? []).toEqual([]);
  bench = undefined;
});

interface Given {
  readonly phases?: readonly Phase[];
  readonly attributes?: readonly Attribute[];
  readonly stateless?: boolean;
  readonly merge?: (own: unknown, route: unknown) => unknown;
  readonly parse?: (raw: unknown) => unknown;
  readonly destroy?: (config: unknown) => void;
}

function filter(
  name: string,
  create: (callbacks: FilterCallbacks, config: unknown) => StreamFilter,
  given: Given = {},
): Filter {
  return defineFilter({
    name,
    ...(given.phases === undefined ? {} : { phases: given.phases }),
    ...(given.attributes === undefined ? {} : { attributes: given.attributes }),
    ...(given.stateless === undefined ? {} : { stateless: given.stateless }),
    ...(given.merge === undefined ? {} : { mergeConfig: given.merge }),
    ...(given.parse === undefined ? {} : { parseConfig: given.parse }),
    ...(given.destroy === undefined ? {} : { destroyConfig: given.destroy }),
    create: (config: unknown, callbacks: FilterCallbacks) => create(callbacks, config) as object,
  } as never);
}

async function open(...filters: Filter[]): Promise<ListDriver> {
  bench = await ListBench.of(filters);
  return bench.open();
}

/** A filter that tells in which order its hooks ran, and what it saw. */
function witness(name: string, seen: string[], more: StreamFilter = {}): Filter {
  return filter(name, (callbacks) => ({
    decodeHeaders: () => void seen.push(`${name} decode`),
    encodeHeaders: (headers) => {
      seen.push(`${name} encode ${headers.get(':status') ?? ''} for ${callbacks.request.path}`);
      headers.set('x-by', `${headers.get('x-by') ?? ''}${name}`);
    },
    ...more,
  }));
}

const replier = (
  name: string,
  hook: keyof StreamFilter,
  status = 403,
  body: string | undefined = `no ${name}`,
): Filter =>
  filter(name, (callbacks) => ({
    [hook]: () => callbacks.sendLocalReply(status, body === undefined ? {} : { body, details: 'why' }),
  }));

describe('configs of a list', () => {
  const registry = (filters: readonly Filter[]): FilterRegistry =>
    new FilterRegistry(filters, { logger: new RecordingLogger() });
  const chain = (...names: string[]): { name: string; config: string | undefined }[] =>
    names.map((name) => ({ name, config: undefined }));
  const none = (name: string, given: Given): Filter => filter(name, () => ({}), given);

  it('ask for the phases and attributes of all members', async () => {
    const all = registry([
      none('a', { phases: ['decodeHeaders'], attributes: ['source.address', 'request.id'] }),
      none('b', { phases: ['encodeHeaders', 'onLog'], attributes: ['request.id', 'source.port'] }),
      none('c', {}),
    ]);
    const [address, port] = [24, 25];
    const verdict = await all.parseList(1, 'chain', chain('a', 'b'), RULES);
    expect(verdict).toMatchObject({
      accepted: true,
      phases: PhaseBit.decodeHeaders | PhaseBit.encodeHeaders | PhaseBit.onLog,
    });
    const attributes = verdict.accepted ? verdict.attributes : [];
    expect([attributes.length, attributes[0], attributes[2]]).toEqual([3, address, port]);
    const unknown = await all.parseList(2, 'chain', chain('a', 'c'), RULES);
    expect(unknown).toMatchObject({ accepted: true, phases: 0xffffffff });
  });

  it('are stateless where all members are', async () => {
    const all = registry([none('a', { stateless: true }), none('b', { stateless: true }), none('c', {})]);
    expect(await all.parseList(1, 'chain', chain('a', 'b'), RULES)).toMatchObject({ stateless: true });
    expect(await all.parseList(2, 'chain', chain('a', 'c'), RULES)).toMatchObject({ stateless: false });
  });

  it('are refused with the place of what is wrong', async () => {
    const parse = (raw: unknown): unknown => {
      if (raw !== 7) throw new TypeError('must be 7');
      return raw;
    };
    const all = registry([none('a', {}), none('b', { parse })]);
    expect(await all.parseList(1, 'chain', chain('a', 'z'), RULES)).toEqual({
      accepted: false,
      message: 'filters[1].name: no filter is named "z"; this host has "a", "b"',
    });
    expect(await all.parseList(1, 'chain', [...chain('a'), { name: 'b', config: '8' }], RULES)).toEqual({
      accepted: false,
      message: 'filters[1] "b": plugin_config: must be 7',
    });
    expect(await all.parseList(1, 'chain', [...chain('a'), { name: 'b', config: '7' }], RULES)).toMatchObject({
      accepted: true,
    });
  });

  it('are destroyed once each, when the last stream has gone', async () => {
    const destroyed: unknown[] = [];
    const of = (name: string): Filter =>
      none(name, { parse: (raw) => raw, destroy: (config) => void destroyed.push(config) });
    const all = registry([of('a'), of('b')]);
    const list = [
      { name: 'a', config: '1' },
      { name: 'b', config: '2' },
      { name: 'a', config: '1' },
    ];
    await all.parseList(1, 'chain', list, RULES);
    const stream = new ListDriver(all, 100);
    stream.headers(Direction.Request);
    all.forget(1);
    expect(destroyed).toEqual([]);
    stream.end();
    expect(destroyed.sort()).toEqual([1, 2]);
    all.dispose();
    expect(destroyed.sort()).toEqual([1, 2]);
    // A refused neighbour does not keep the others.
    const bad = registry([of('a'), none('b', { parse: () => Promise.reject(new Error('no')) })]);
    await bad.parseList(1, 'chain', chain('a', 'b'), RULES);
    expect(destroyed).toEqual([1, 2, undefined]);
  });

  it("merge a route's config into the members with its name", async () => {
    const seen: unknown[] = [];
    const merging = (name: string): Filter =>
      filter(name, (_callbacks, config) => ({ decodeHeaders: () => void seen.push([name, config]) }), {
        parse: (raw) => raw ?? {},
        merge: (own, route) => ({ ...(own as object), ...(route as object) }),
      });
    bench = await ListBench.of([merging('a'), merging('b'), merging('c')]);
    await bench.registry.parse(2, 'b', true, '{"route":1}', RULES);
    bench.open({ route: 2 }).headers(Direction.Request);
    expect(seen).toEqual([
      ['a', {}],
      ['b', { route: 1 }],
      ['c', {}],
    ]);
  });

  it("refuse a route's config for a filter that is no member", async () => {
    const other = filter('other', () => ({}));
    const all = registry([filter('a', () => ({})), other]);
    await all.parseList(1, 'chain', chain('a'), RULES);
    await all.parse(2, 'other', true, undefined, RULES);
    const driver = new ListDriver(all, 100, { route: 2 });
    driver.headers(Direction.Request);
    expect(driver.sink.take()).toEqual([
      expect.stringMatching(/^fail Request chain: mergeConfig: .*filter "other", which is none of the list's: a$/),
    ]);
  });
});

describe('headers in a list', () => {
  it('cross once, with the operations of all and the phases of all', async () => {
    const order: string[] = [];
    const setting = (name: string, hook: 'decodeHeaders' | 'encodeHeaders'): Filter =>
      filter(name, () => ({
        [hook]: async (headers: { get(n: string): string | undefined; set(n: string, v: string): unknown }) => {
          await tick();
          order.push(`${name} saw ${headers.get('x') ?? 'nothing'}`);
          headers.set('x', name);
        },
      }));
    const stream = await open(
      setting('a', 'decodeHeaders'),
      setting('b', 'encodeHeaders'),
      setting('c', 'decodeHeaders'),
    );
    stream.headers(Direction.Request);
    await stream.until('the answer', () => stream.sink.lines.length > 0);
    expect(stream.sink.take()).toEqual(['answer Request Pass [set x a, set x c]']);
    expect(stream.sink.phases).toBe(PhaseBit.decodeHeaders | PhaseBit.encodeHeaders);
    stream.headers(Direction.Response);
    await stream.until('the answer', () => stream.sink.lines.length > 0);
    expect(stream.sink.take()).toEqual(['answer Response Pass [set x b]']);
    expect(order).toEqual(['a saw nothing', 'c saw a', 'b saw nothing']);
  });

  it('pass by members without a hook for them, which are never made', async () => {
    let made = 0;
    const idle = filter('idle', () => (made++, { encodeHeaders: () => undefined }), { phases: ['encodeHeaders'] });
    const stream = await open(
      idle,
      filter('b', () => ({ decodeHeaders: () => undefined }), { phases: ['decodeHeaders'] }),
    );
    stream.headers(Direction.Request);
    expect([made, stream.sink.take(), stream.sink.phases]).toEqual([
      0,
      ['answer Request Pass []'],
      PhaseBit.decodeHeaders | PhaseBit.encodeHeaders,
    ]);
    stream.end();
  });

  it('have bytes that are added to a message without a body, in order', async () => {
    const adding = (name: string): Filter =>
      filter(name, (callbacks) => ({
        decodeHeaders: (_headers, endStream) => {
          callbacks.decoderFilterCallbacks().addData(`${name}${String(endStream)} `);
        },
      }));
    const upper = filter('u', () => ({
      transformRequest: perChunk((chunk) => Buffer.from(chunk).toString().toUpperCase()),
    }));
    const stream = await open(adding('a'), upper, adding('b'));
    expect(await stream.pass(Direction.Request, {})).toMatchObject({ body: 'bfalse ATRUE ' });
    expect(stream.sink.take()[0]).toBe('output Request Added "bfalse ATRUE "');
  });
});

describe('bytes of a member that come before any input', () => {
  const lateHeaders = filter('l', () => ({
    async decodeHeaders() {
      await tick();
    },
  }));

  it('go before a body that passes, however long a member behind takes for its headers', async () => {
    const adding = (name: string): Filter =>
      filter(name, (callbacks) => ({
        decodeHeaders: () => {
          callbacks.decoderFilterCallbacks().addData(name);
        },
      }));
    const stream = await open(adding('a'), lateHeaders, adding('b'));
    const headers = { ':method': 'POST', ':path': '/', ':scheme': 'http', ':authority': 'a', 'content-length': '3' };
    stream.headers(Direction.Request, { headers, chunks: ['xyz'] });
    await stream.until('the answer', () => stream.sink.flows[0].mode !== undefined);
    await settled();
    expect(stream.sink.take()).toEqual(['output Request Added "ba"', 'answer Request Pass []']);
  });

  it('go when their member has let go of the body before a member behind has let the headers go', async () => {
    const head = filter('h', () => ({
      async *transformRequest(_body, ctx) {
        yield 'head';
        ctx.bypass();
      },
    }));
    const stream = await open(head, lateHeaders);
    expect(await stream.pass(Direction.Request, { chunks: ['a', 'b'] })).toMatchObject({ body: 'headab' });
    expect(stream.sink.take()).toContain('output Request Digested|Bypass "head"');
  });
});

describe('what a member asks of Envoy', () => {
  it('has ids of its own, and comes after the writes before it', async () => {
    const got: string[] = [];
    const asking = (name: string): Filter =>
      filter(name, (callbacks) => ({
        async decodeHeaders(headers) {
          headers.set(`x-${name}`, '1');
          got.push(`${name} ${await callbacks.getProperty('xds.route_name')}`);
        },
      }));
    const stream = await open(asking('a'), asking('b'));
    stream.headers(Direction.Request);
    expect(stream.sink.take()).toEqual(['ops Request [set x-a 1]', 'query 2 Attribute 61']);
    stream.source.onQueryAnswer(2, true, Buffer.from('one'));
    await settled();
    expect(stream.sink.take()).toEqual(['ops Request [set x-b 1]', 'query 3 Attribute 61']);
    stream.source.onQueryAnswer(2, true, Buffer.from('stale'));
    stream.source.onQueryAnswer(3, true, Buffer.from('two'));
    await settled();
    expect(got).toEqual(['a one', 'b two']);
    expect(stream.sink.take()).toEqual(['answer Request Pass []']);
  });

  it('gets its own attributes out of those of all', async () => {
    const seen: unknown[] = [];
    const reading = (name: string, ...attributes: Attribute[]): Filter =>
      filter(
        name,
        (callbacks) => ({
          decodeHeaders: () => void seen.push({ ...(callbacks as FilterCallbacks<Attribute>).attributes }),
        }),
        { attributes },
      );
    bench = await ListBench.of([
      reading('a', 'request.path', 'request.host'),
      reading('b', 'request.host', 'request.method'),
      reading('c'),
    ]);
    const entry = (text: string | undefined): Buffer => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(text?.length ?? 0xffffffff);
      return Buffer.concat([length, Buffer.from(text ?? '')]);
    };
    const attributes = Buffer.concat([entry('/p'), entry(undefined), entry('GET')]);
    const stream = bench.open({ attributes });
    stream.headers(Direction.Request);
    expect(seen).toEqual([
      { 'request.path': '/p', 'request.host': undefined },
      { 'request.host': undefined, 'request.method': 'GET' },
      {},
    ]);
  });

  it('runs log hooks of those that have them', async () => {
    const seen: string[] = [];
    const stream = await open(
      filter('a', () => ({ decodeHeaders: () => undefined, onLog: () => void seen.push('a') })),
      filter('b', () => ({ decodeHeaders: () => undefined })),
      filter('c', () => ({ onLog: (entry) => void seen.push(`c ${entry.request.get('x') ?? ''}`) }), {
        phases: ['onLog'],
      }),
    );
    stream.headers(Direction.Request);
    stream.source.onLogHeaders(HeaderType.Request, packHeaders(['x', 'late']));
    stream.source.onLogRun(LogKind.End, new Uint8Array(0));
    stream.end();
    expect(seen).toEqual(['a', 'c late']);
  });
});

describe('replies in a list', () => {
  it.each([
    { by: 'a', hooks: ['c encode 403 for /a?b=1', 'b encode 403 for /a?b=1'], who: 'cb' },
    { by: 'b', hooks: ['a decode', 'c encode 403 for /a?b=1', 'a encode 403 for /a?b=1'], who: 'ca' },
    { by: 'c', hooks: ['a decode', 'b decode', 'b encode 403 for /a?b=1', 'a encode 403 for /a?b=1'], who: 'ba' },
  ])('of $by in decodeHeaders pass the encode hooks of the others', async ({ by, hooks, who }) => {
    const seen: string[] = [];
    const stream = await open(
      ...['a', 'b', 'c'].map((name) => (name === by ? replier(name, 'decodeHeaders') : witness(name, seen))),
    );
    stream.headers(Direction.Request);
    await settled();
    expect(seen).toEqual(hooks);
    expect(stream.sink.take()).toEqual([
      `localReply 403 grpc -1 "why" [content-type: text/plain, x-by: ${who}] "no ${by}"`,
    ]);
    stream.end();
  });

  it('have bodies that the others transform, and none for HEAD', async () => {
    const upper = filter('u', () => ({
      transformResponse: perChunk((chunk) => Buffer.from(chunk).toString().toUpperCase()),
    }));
    const stream = await open(upper, replier('r', 'decodeHeaders'));
    stream.headers(Direction.Request);
    await settled();
    expect(stream.sink.take()).toEqual(['localReply 403 grpc -1 "why" [content-type: text/plain] "NO R"']);
    const head = bench!.open({ head: true });
    head.headers(Direction.Request, {
      headers: { ':method': 'HEAD', ':path': '/', ':scheme': 'http', ':authority': 'a' },
    });
    await settled();
    expect(head.sink.take()).toEqual(['localReply 403 grpc -1 "why" [content-type: text/plain] "no r"']);
  });

  it('to gRPC requests are headers alone for the others', async () => {
    const seen: string[] = [];
    const looking = filter('l', () => ({
      encodeHeaders: (headers, endStream) => {
        seen.push(`${headers.get(':status') ?? ''} ${headers.get('grpc-status') ?? ''} ${String(endStream)}`);
        headers.set('grpc-message', 'changed');
      },
    }));
    bench = await ListBench.of([looking, replier('r', 'decodeHeaders', 404, '50%\n')]);
    const stream = bench.open({ grpc: true });
    stream.headers(Direction.Request);
    await settled();
    expect(seen).toEqual(['200 12 true']);
    expect(stream.sink.take()).toEqual(['localReply 404 grpc 12 "why" [grpc-message: changed] ""']);
  });

  it('of an encode hook go straight out, whoever was asked before', async () => {
    const seen: string[] = [];
    const stream = await open(witness('a', seen), replier('b', 'encodeHeaders'), witness('c', seen));
    stream.headers(Direction.Request);
    stream.headers(Direction.Response);
    await settled();
    expect(seen).toEqual(['a decode', 'c decode', 'c encode 200 for /a?b=1']);
    expect(stream.sink.take().at(-1)).toBe('localReply 403 grpc -1 "why" [] "no b"');
  });

  it('may be replaced by an encode hook that they pass', async () => {
    const stream = await open(replier('a', 'encodeHeaders', 500), witness('b', []), replier('c', 'decodeHeaders'));
    stream.headers(Direction.Request);
    await settled();
    expect(stream.sink.take()).toEqual(['localReply 500 grpc -1 "why" [] "no a"']);
  });

  it('stream through the others within the window', async () => {
    const sent: number[] = [];
    const pass = filter('p', () => ({
      async *transformResponse(body) {
        for await (const chunk of body) yield chunk;
        yield '.';
      },
    }));
    const streaming = filter('s', (callbacks) => ({
      decodeHeaders: () =>
        callbacks.reply(
          200,
          { 'x-s': '1' },
          (function* () {
            for (let i = 0; i < 6; i++) {
              sent.push(i);
              yield Buffer.alloc(50, 48 + i);
            }
          })(),
        ),
    }));
    bench = await ListBench.of([pass, streaming], { streamWindow: 100 });
    const stream = bench!.open();
    let bytes = 0;
    const { replyData } = stream.sink;
    stream.sink.replyData = (piece, end) => {
      bytes += piece.length;
      replyData.call(stream.sink, piece, end);
    };
    stream.headers(Direction.Request);
    for (let i = 0; i < 20; i++) await settled();
    const data = (): string[] => stream.sink.lines.filter((line) => line.startsWith('replyData'));
    expect(stream.sink.lines[0]).toBe('replyHeaders [:status: 200, x-s: 1]');
    const before = data().length;
    expect(before).toBeLessThanOrEqual(4);
    expect(sent.length).toBeLessThan(6);
    for (let i = 0; i < 30; i++) {
      stream.sink.credit(25);
      await settled();
    }
    expect(sent.length).toBe(6);
    expect(stream.sink.lines.at(-1)).toBe('replyData "" end');
    expect(data().length).toBeGreaterThan(before);
    expect(bytes).toBe(301);
  });

  it('that stream past members without encode hooks get the credit themselves', async () => {
    const streaming = filter('s', (callbacks) => ({
      decodeHeaders: () => callbacks.reply(200, {}, [Buffer.alloc(80, 65), Buffer.alloc(80, 66)]),
    }));
    bench = await ListBench.of([filter('a', () => ({ decodeHeaders: () => undefined })), streaming], {
      streamWindow: 100,
    });
    const stream = bench!.open();
    stream.headers(Direction.Request);
    await settled();
    const bytes = (): number => stream.sink.lines.filter((line) => line.startsWith('replyData')).length;
    expect(bytes()).toBe(2); // 80 and 20
    stream.sink.credit(100);
    await settled();
    expect(stream.sink.lines.at(-1)).toBe('replyData "" end');
  });
});

describe('a reply', () => {
  const replies: { [what: string]: [status: number, reply: LocalReply] } = {
    'with a body': [403, { body: 'no', details: 'why' }],
    'without a body': [204, {}],
    'with headers of its own': [
      418,
      {
        body: 'x',
        headers: [
          ['content-type', 'application/json'],
          ['x-a', '1'],
          ['x-a', '2'],
        ],
      },
    ],
    'with a length of its own': [200, { body: 'xyz', headers: { 'content-length': '99' } }],
    'with a gRPC status': [503, { body: '50%', grpcStatus: 8 }],
    'with a gRPC status and no body': [200, { grpcStatus: 0, headers: { 'grpc-message': 'fine' } }],
  };
  /** What hooks do with it, each in both places; they tell what they see. */
  const hooks: { [what: string]: (callbacks: FilterCallbacks, see: (...what: unknown[]) => void) => StreamFilter } = {
    'encodeHeaders and encodeData': (_callbacks, see) => ({
      encodeHeaders(headers, endStream) {
        see([...headers], endStream);
        headers.set('x-seen', '1');
        headers.status = 299;
      },
      encodeData(data, endStream) {
        see(data.text(), endStream);
        data.append('!');
      },
    }),
    'a whole body': (_callbacks, see) => ({
      encodeHeaders: (_headers, endStream) => (endStream ? S.Continue : S.StopAndBuffer),
      async encodeData(data, endStream) {
        await tick();
        see(data.text(), endStream);
        data.set('longer than it was');
      },
    }),
    'a transform': (_callbacks, see) => ({
      async *transformResponse(body, ctx) {
        see(body.contentLength, [...ctx.headers]);
        for await (const chunk of body) yield Buffer.from(chunk).toString().toUpperCase();
        yield '.';
      },
    }),
    'bytes added to it': (callbacks, see) => ({
      async encodeHeaders(headers, endStream) {
        await tick();
        see([...headers], endStream);
        callbacks.encoderFilterCallbacks().addData('+');
      },
    }),
  };
  const methods = ['POST', 'HEAD'];
  const all = Object.keys(replies).flatMap((what) =>
    Object.keys(hooks).flatMap((how) =>
      methods.flatMap((method) => [true, false].map((grpc) => ({ what, how, method, grpc }))),
    ),
  );

  it.each(all)(
    '$what looks to $how in a list as to a lone filter ($method, gRPC $grpc)',
    async ({ what, how, method, grpc }) => {
      const [status, reply] = replies[what]!;
      const headers = { ':method': method, ':path': '/', ':scheme': 'http', ':authority': 'a' };
      const play = async (...filters: ((see: (...what: unknown[]) => void) => Filter)[]): Promise<unknown> => {
        const seen: unknown[] = [];
        const made = filters.map((make) => make((...args) => void seen.push(args)));
        const registry = new FilterRegistry(made, { logger: new RecordingLogger() });
        if (made.length === 1) await registry.parse(1, made[0]!.name, false, undefined, RULES);
        else
          await registry.parseList(
            1,
            'list',
            made.map(({ name }) => ({ name, config: undefined })),
            RULES,
          );
        const stream = new ListDriver(registry, 1000, { grpc });
        stream.headers(Direction.Request, { headers });
        await stream.until('the reply', () => stream.sink.lines.some((line) => line.startsWith('localReply')));
        const said = stream.sink.take().filter((line) => line.startsWith('localReply') || line.startsWith('fail'));
        stream.end(EndReason.LocalReply);
        return { seen, said, violations: stream.sink.violations };
      };
      const replying = (callbacks: FilterCallbacks): StreamFilter => ({
        decodeHeaders: () => callbacks.sendLocalReply(status, reply),
      });
      const lone = await play((see) =>
        filter('lone', (callbacks) => ({ ...hooks[how]!(callbacks, see), ...replying(callbacks) })),
      );
      const list = await play(
        (see) => filter('shown', (callbacks) => hooks[how]!(callbacks, see)),
        () => filter('replier', replying),
      );
      expect(list).toEqual(lone);
    },
  );
});

describe('failures in a list', () => {
  it('are one, whoever fails, and nothing is said after it', async () => {
    const destroyed: string[] = [];
    const ending = (name: string, more: StreamFilter): Filter =>
      filter(name, () => ({ ...more, onDestroy: (reason) => void destroyed.push(`${name} ${reason}`) }));
    let goOn: () => void = () => undefined;
    const stream = await open(
      ending('a', {
        async *transformRequest(body) {
          for await (const chunk of body) yield chunk;
        },
      }),
      ending('b', {
        transformRequest: perChunk(() => {
          throw new Error('bad chunk');
        }),
      }),
      ending('c', { decodeHeaders: () => new Promise<void>((resolve) => (goOn = resolve)) }),
    );
    stream.headers(Direction.Request, { chunks: ['x'] });
    goOn();
    await settled();
    stream.data(Direction.Request, 'x');
    await settled();
    expect(stream.sink.take()).toEqual([
      'answer Request Stream []',
      'output Request Digested',
      'fail Request b: transformRequest: Error: bad chunk',
    ]);
    stream.data(Direction.Request, 'y', true);
    await settled();
    stream.end(EndReason.LocalReply);
    expect(stream.sink.take()).toEqual([]);
    expect(destroyed).toEqual(['a reset', 'b reset', 'c reset']);
    expect(bench!.logger.lines).toEqual([expect.stringMatching(/^error transformRequest: Error: bad chunk/)]);
  });

  it('of a body that a member behind others gathers: 413 through the encode hooks of all', async () => {
    const seen: string[] = [];
    const whole = filter('w', () => ({
      decodeHeaders: () => S.StopAndBuffer,
      decodeData: () => undefined,
      encodeHeaders: () => void seen.push('w encode'),
    }));
    bench = await ListBench.of(
      [filter('a', () => ({ transformRequest: perChunk((chunk) => chunk) })), whole, witness('z', seen)],
      { maxBodyBytes: 100 },
    );
    const stream = bench!.open();
    stream.headers(Direction.Request, { chunks: ['x'] });
    stream.data(Direction.Request, 'x'.repeat(60));
    await settled();
    expect(stream.sink.lines.filter((line) => line.startsWith('localReply'))).toEqual([]);
    stream.data(Direction.Request, 'x'.repeat(60));
    await settled();
    expect(seen).toEqual(['w encode', 'z encode 413 for /a?b=1']);
    expect(stream.sink.lines.at(-1)).toBe(
      'localReply 413 grpc -1 "ts_filter_body_too_large" [content-type: text/plain, x-by: z] "Payload Too Large"',
    );
  });

  it('of a response that a data hook gathers behind others: 500, past all encode hooks', async () => {
    const seen: string[] = [];
    const gathers = filter('g', () => ({ encodeData: () => S.StopAndBuffer }));
    bench = await ListBench.of(
      [witness('a', seen), gathers, filter('p', () => ({ transformResponse: perChunk((c) => c) }))],
      {
        maxBodyBytes: 100,
      },
    );
    const stream = bench.open();
    stream.headers(Direction.Request);
    stream.headers(Direction.Response, { chunks: ['x'] });
    stream.data(Direction.Response, 'x'.repeat(60));
    expect(stream.sink.told[1]).toMatchObject({ outstanding: 0, digested: true });
    stream.data(Direction.Response, 'x'.repeat(60));
    await settled();
    expect(seen).toEqual(['a decode', 'a encode 200 for /a?b=1']);
    expect(stream.sink.lines.at(-1)).toBe(
      'localReply 500 grpc -1 "ts_filter_body_too_large" [] "Internal Server Error"',
    );
  });

  it('of a streamed reply that a member gathers: there is no other to take its place', async () => {
    const gathers = filter('g', () => ({ encodeHeaders: () => S.StopAndBuffer, encodeData: () => undefined }));
    const streaming = filter('s', (callbacks) => ({
      decodeHeaders: () => callbacks.reply(200, {}, ['x'.repeat(60), 'x'.repeat(60)]),
    }));
    bench = await ListBench.of([gathers, streaming], { maxBodyBytes: 100 });
    const stream = bench.open();
    stream.headers(Direction.Request);
    await settled();
    expect(stream.sink.lines.at(-1)).toMatch(/^fail Response .*cannot be replaced/);
  });

  it("of the module's own limit are told to the member that it gathers for", async () => {
    const seen: string[] = [];
    const whole = filter('w', () => ({ decodeHeaders: () => S.StopAndBuffer, decodeData: () => undefined }));
    const stream = await open(witness('a', seen), whole);
    stream.headers(Direction.Request, { chunks: ['x'] });
    stream.source.onBodyTooLarge(Direction.Request);
    await settled();
    expect(stream.sink.lines).toEqual([
      'answer Request Whole []',
      'output Request Timed',
      'localReply 413 grpc -1 "ts_filter_body_too_large" [content-type: text/plain, x-by: a] "Payload Too Large"',
    ]);
  });

  it('end every member once when the client goes', async () => {
    const seen: string[] = [];
    const waiting = (name: string): Filter =>
      filter(name, (callbacks) => ({
        async *transformRequest(body) {
          try {
            for await (const chunk of body) yield chunk;
          } finally {
            seen.push(`${name} ${String(callbacks.signal.aborted)}`);
          }
        },
        onDestroy: (reason) => void seen.push(`${name} ${reason}`),
      }));
    const stream = await open(waiting('a'), waiting('b'));
    stream.headers(Direction.Request, { chunks: ['x'] });
    stream.data(Direction.Request, 'x');
    await settled();
    stream.end(EndReason.Downstream);
    await settled();
    expect(seen.sort()).toEqual(['a reset', 'a true', 'b reset', 'b true']);
  });
});

describe('the pace of a list', () => {
  it('is that of its slowest member: the one before it waits', async () => {
    let made = 0;
    let take: () => void = () => undefined;
    const fast = filter('f', () => ({
      async *transformRequest(body) {
        for await (const chunk of body) {
          for (let i = 0; i < 20; i++) {
            made++;
            yield Buffer.from(chunk);
          }
        }
      },
    }));
    const slow = filter('s', () => ({
      async *transformRequest(body) {
        for await (const chunk of body) {
          await new Promise<void>((resolve) => (take = resolve));
          yield chunk;
        }
      },
    }));
    bench = await ListBench.of([fast, slow], { streamWindow: 100_000 });
    const stream = bench!.open();
    stream.headers(Direction.Request, { chunks: ['x'] });
    stream.data(Direction.Request, 'x'.repeat(40_000), true);
    for (let i = 0; i < 50; i++) await settled();
    expect(made).toBeLessThan(6);
    for (let i = 0; i < 400 && !stream.sink.flows[0].last; i++) {
      take();
      await settled();
    }
    expect([made, stream.sink.body(Direction.Request).length]).toEqual([20, 800_000]);
  });

  it('is timed where a hook is asked behind one that holds the headers', async () => {
    let goOn: () => void = () => undefined;
    const holding = filter('h', () => ({
      decodeHeaders: () => S.StopAndBufferWatermark,
      transformRequest: perChunk((chunk) => chunk),
    }));
    const late = filter('l', () => ({ decodeHeaders: () => new Promise<void>((resolve) => (goOn = resolve)) }));
    const stream = await open(holding, late);
    stream.headers(Direction.Request, { chunks: ['x'] });
    stream.data(Direction.Request, 'abc');
    expect(stream.sink.take()).toEqual([
      'answer Request StreamHold []',
      'output Request Digested',
      'output Request Timed ack 3',
    ]);
    stream.data(Direction.Request, 'def');
    expect(stream.sink.take()).toEqual([]); // an acknowledgement would end its time
    goOn();
    await settled();
    expect(stream.sink.take()).toEqual(['output Request Digested|Release ack 3 "abcdef"']);
  });

  it('is timed where a data hook is handed what it gathered', async () => {
    let goOn: () => void = () => undefined;
    const gathers = filter('g', () => ({
      decodeData: (_data, end) => (end ? new Promise<void>((resolve) => (goOn = resolve)) : S.StopAndBuffer),
    }));
    const stream = await open(
      filter('p', () => ({ transformRequest: perChunk((chunk) => chunk) })),
      gathers,
    );
    stream.headers(Direction.Request, { chunks: ['x'] });
    stream.data(Direction.Request, 'abc');
    stream.sink.take();
    stream.data(Direction.Request, 'def', true);
    expect(stream.sink.take()).toEqual(['output Request Timed ack 3']);
    goOn();
    await settled();
    expect(stream.sink.take()).toEqual(['output Request Last "abcdef"']);
  });

  it('asks with one frame for one frame, whoever is in it', async () => {
    const yields = (name: string): Filter =>
      filter(name, () => ({
        async *transformRequest(body) {
          yield* body;
        },
      }));
    const hook = filter('h', () => ({ decodeData: () => undefined }));
    const chunk = filter('c', () => ({ transformRequest: perChunk((bytes) => bytes) }));
    const stream = await open(yields('a'), chunk, hook, yields('b'));
    stream.headers(Direction.Request, { chunks: ['x'] });
    await settled();
    for (const text of ['hello', 'x'.repeat(65_536), 'y'.repeat(40_000)]) {
      stream.sink.take();
      stream.data(Direction.Request, text);
      await settled();
      await settled();
      const size = text.length > 60 ? `(${String(text.length)} bytes)` : JSON.stringify(text);
      expect(stream.sink.take()).toEqual([`output Request Digested ack ${String(text.length)} ${size}`]);
    }
  });
});

describe('trailers in a list', () => {
  it('behind an empty body that a member stopped as a whole: its data hook is called once', async () => {
    const calls: string[] = [];
    const whole = (name: string): Filter =>
      filter(name, () => ({
        decodeHeaders: () => S.StopAndBuffer,
        decodeData: (data, end) => void calls.push(`${name} "${data.text()}" ${String(end)}`),
        decodeTrailers: () => void calls.push(`${name} trailers`),
      }));
    const stream = await open(
      whole('a'),
      filter('p', () => ({ transformRequest: perChunk((chunk) => chunk) })),
      whole('b'),
    );
    expect(await stream.pass(Direction.Request, { trailers: { x: '1' } })).toMatchObject({ body: '' });
    expect(calls).toEqual(['a "" false', 'a trailers', 'b "" false', 'b trailers']);
  });

  it('keep what was written before a question to Envoy', async () => {
    const asking = (name: string): Filter =>
      filter(name, (callbacks) => ({
        async decodeTrailers(trailers) {
          trailers.set('x', `${trailers.get('x') ?? ''}${name}`);
          await callbacks.getProperty('xds.route_name');
          trailers.set(`x-${name}`, '1');
        },
      }));
    const stream = await open(asking('a'), asking('b'));
    stream.headers(Direction.Request, { chunks: ['x'], trailers: { x: '-' } });
    stream.trailers(Direction.Request, { x: '-' });
    for (const id of [2, 3]) {
      await settled();
      stream.source.onQueryAnswer(id, true, Buffer.from('r'));
    }
    await settled();
    expect(stream.sink.lines.at(-1)).toBe('answer RequestTrailers Pass [set x -a, set x-a 1, set x -ab, set x-b 1]');
  });

  it('reach members that have no other hook', async () => {
    const only = (name: string): Filter =>
      filter(name, (callbacks) => ({
        encodeTrailers: (trailers) => {
          trailers.set('x', `${trailers.get('x') ?? ''}${name}`);
          callbacks.encoderFilterCallbacks().addData(name);
        },
      }));
    const stream = await open(only('a'), only('b'));
    stream.headers(Direction.Request, {});
    expect(stream.sink.take()).toEqual(['answer Request Pass []']);
    stream.trailers(Direction.Response, { x: '-' });
    expect(stream.sink.take()).toEqual([
      'output Response Added "b"',
      'output Response Added "a"',
      'answer ResponseTrailers Pass [set x -b, set x -ba]',
    ]);
  });
});
