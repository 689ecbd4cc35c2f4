import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { RecordingLogger, RULES, settled, TestStream } from '../../test/support/recorder.js';
import { ConfigError } from '../api/errors.js';
import { defineFilter } from '../api/filter.js';
import type { Filter } from '../api/types-definition.js';
import { PhaseBit } from '../base/wire.js';
import { FilterRegistry } from './index.js';

function registry(...filters: Filter[]): FilterRegistry & { logger: RecordingLogger } {
  const logger = new RecordingLogger();
  return Object.assign(new FilterRegistry(filters, { logger }), { logger });
}

/** The headers that a stream of these configs sets. */
function see(host: FilterRegistry, config: number, route = 0): string[] {
  return new TestStream(host, {}, { config, route }).request().take();
}

/** Puts its config into a header. */
const show = (rest: object): Filter =>
  defineFilter({
    name: 'show',
    ...rest,
    create: (config: unknown) => ({
      decodeHeaders: (headers) => void headers.set('x-config', JSON.stringify(config) ?? 'undefined'),
    }),
  });

describe('the registry', () => {
  it('knows its filters by name, and refuses two of one name', () => {
    const a = defineFilter({ name: 'a', create: () => ({}) });
    expect(registry(a).names()).toEqual(['a']);
    expect(() => registry(a, defineFilter({ name: 'a', create: () => ({}) }))).toThrow(ConfigError);
    expect(() => registry({ name: 'fake' })).toThrow(/defineFilter/);
  });

  it('refuses configs of filters that it does not have', async () => {
    const verdict = await registry(show({})).parse(1, 'other', false, undefined, RULES);
    expect(verdict).toEqual({ accepted: false, message: 'no filter is named "other"; this host has "show"' });
  });

  it('hands the raw JSON on when nothing parses it', async () => {
    const host = registry(show({}));
    expect(await host.parse(1, 'show', false, '{"a":[1]}', RULES)).toEqual({
      accepted: true,
      phases: 0xffffffff,
      attributes: [],
      stateless: false,
    });
    expect(see(host, 1)).toEqual(['answer Request Pass [set x-config {"a":[1]}]']);
    await host.parse(2, 'show', false, undefined, RULES);
    expect(see(host, 2)).toEqual(['answer Request Pass [set x-config undefined]']);
  });

  it('tells declared phases, attributes, and that it is stateless', async () => {
    const host = registry(
      defineFilter({
        name: 'f',
        phases: ['decodeHeaders', 'transformResponse'],
        attributes: ['xds.route_name', 'request.path'],
        stateless: true,
        create: () => ({}),
      }),
    );
    const verdict = await host.parse(1, 'f', false, undefined, RULES);
    expect(verdict).toEqual({
      accepted: true,
      phases: PhaseBit.decodeHeaders | PhaseBit.transformResponse,
      attributes: [61, 0],
      stateless: true,
    });
  });

  it.each([
    ['bad JSON', {}, '{', /^filter "show": plugin_config is no JSON/],
    [
      'a schema',
      { schema: z.object({ a: z.object({ b: z.array(z.number()) }) }) },
      '{"a":{"b":[1,"x"]}}',
      /^filter "show": a\.b\[1\]: /,
    ],
    [
      'several issues',
      { schema: z.object({ a: z.string(), b: z.string() }) },
      '{}',
      /^filter "show": a: .*\(and 1 more\)$/,
    ],
    [
      'parseConfig that throws',
      {
        parseConfig: () => {
          throw new ConfigError('a.b', 'is odd');
        },
      },
      '{}',
      /^filter "show": a\.b: is odd$/,
    ],
    [
      'parseConfig that rejects',
      { parseConfig: () => Promise.reject(new TypeError('no')) },
      '{}',
      /^filter "show": no$/,
    ],
  ])('refuses by %s, naming the key', async (_name, rest, json, message) => {
    const verdict = await registry(show(rest)).parse(1, 'show', false, json, RULES);
    expect(verdict).toEqual({ accepted: false, message: expect.stringMatching(message) as string });
  });

  it('judges configs with the same bytes once', async () => {
    let parsed = 0;
    let destroyed = 0;
    const host = registry(
      show({
        parseConfig: (raw: unknown) => {
          parsed++;
          return Promise.resolve(raw);
        },
        destroyConfig: () => destroyed++,
      }),
    );
    await Promise.all([host.parse(1, 'show', false, '1', RULES), host.parse(2, 'show', false, '1', RULES)]);
    await host.parse(3, 'show', false, '2', RULES);
    expect(parsed).toBe(2);
    host.forget(1);
    expect(destroyed).toBe(0);
    host.forget(2);
    expect(destroyed).toBe(1);
  });

  it('destroys a config once, when neither Envoy nor a stream uses it', async () => {
    const destroyed: unknown[] = [];
    let signal: AbortSignal | undefined;
    const host = registry(
      show({
        parseConfig: (raw: unknown, cx: { signal: AbortSignal }) => {
          ({ signal } = cx);
          return raw;
        },
        destroyConfig: (config: unknown) => destroyed.push(config),
      }),
    );
    await host.parse(1, 'show', false, '{"a":1}', RULES);
    const stream = new TestStream(host).request();
    host.forget(1);
    expect(destroyed).toEqual([]);
    stream.end();
    expect(destroyed).toEqual([{ a: 1 }]);
    expect(signal!.aborted).toBe(true);
    host.dispose();
    expect(destroyed).toHaveLength(1);
  });

  it('drops a config that is forgotten while it is judged', async () => {
    const destroyed: unknown[] = [];
    const host = registry(
      show({
        parseConfig: (raw: unknown) => settled().then(() => raw),
        destroyConfig: (config: unknown) => destroyed.push(config),
      }),
    );
    const verdict = host.parse(1, 'show', false, '1', RULES);
    host.forget(1);
    expect(await verdict).toMatchObject({ accepted: false });
    expect(destroyed).toEqual([1]);
    expect(see(host, 1)[0]).toMatch(/^fail Request TSF_CONFIG_UNKNOWN/);
  });

  it('logs what destroyConfig throws', async () => {
    const host = registry(
      show({
        destroyConfig: () => {
          throw new Error('no');
        },
      }),
    );
    await host.parse(1, 'show', false, '1', RULES);
    host.dispose();
    expect(host.logger.lines).toEqual(['error destroyConfig: Error: no']);
  });
});

describe("a route's config", () => {
  it("is parsed as the filter's own and replaces it, unless the filter says otherwise", async () => {
    const host = registry(show({ schema: z.object({ a: z.number().default(7) }) }));
    await host.parse(1, 'show', false, '{"a":1}', RULES);
    await host.parse(2, 'show', true, '{}', RULES);
    expect(see(host, 1, 2)).toEqual(['answer Request Pass [set x-config {"a":7}]']);
    expect(see(host, 1)).toEqual(['answer Request Pass [set x-config {"a":1}]']);
  });

  it('is merged once per pair', async () => {
    let merged = 0;
    const scopes: string[] = [];
    const host = registry(
      show({
        parseConfig: (raw: unknown, cx: { scope: string }) => (scopes.push(cx.scope), raw),
        parseRouteConfig: (raw: unknown, cx: { scope: string }) => (scopes.push(cx.scope), raw),
        mergeConfig: (parent: object, child: object) => (merged++, { ...parent, ...child }),
      }),
    );
    await host.parse(1, 'show', false, '{"a":1,"b":1}', RULES);
    await host.parse(2, 'show', true, '{"b":2}', RULES);
    await host.parse(3, 'show', true, '{"b":3}', RULES);
    for (let i = 0; i < 3; i++) expect(see(host, 1, 2)).toEqual(['answer Request Pass [set x-config {"a":1,"b":2}]']);
    expect(see(host, 1, 3)).toEqual(['answer Request Pass [set x-config {"a":1,"b":3}]']);
    expect([merged, scopes]).toEqual([2, ['filter', 'route', 'route']]);
  });

  it('that cannot be merged fails the stream', async () => {
    const host = registry(
      show({
        mergeConfig: () => {
          throw new Error('no');
        },
      }),
    );
    await host.parse(1, 'show', false, '1', RULES);
    await host.parse(2, 'show', true, '2', RULES);
    expect(see(host, 1, 2)).toEqual(['fail Request show: mergeConfig: Error: no']);
  });

  it.each([
    ['an unknown config', 9, 0],
    ['an unknown route', 1, 9],
    ["a route's config as a filter's", 2, 0],
  ])('%s fails the stream', async (_name, config, route) => {
    const host = registry(show({}));
    await host.parse(1, 'show', false, '1', RULES);
    await host.parse(2, 'show', true, '2', RULES);
    const stream = new TestStream(host, {}, { config, route });
    stream.request().req('a').response();
    expect(stream.take()).toEqual([expect.stringMatching(/^fail Request TSF_CONFIG_UNKNOWN/)]);
    stream.end();
  });
});

describe('what create() returns', () => {
  it.each([
    ['a misspelt hook', { decodeHeader() {} }, 'has decodeHeader, which is no hook; did you mean "decodeHeaders"?'],
    [
      'two body styles',
      { decodeData() {}, transformRequest() {} },
      'has decodeData and transformRequest: one or the other',
    ],
    ['a hook that is no function', { encodeHeaders: 1 }, 'has a encodeHeaders that is no function'],
    ['a transform that is none', { transformResponse: {} }, 'has a transformResponse that is neither'],
    ['nothing', undefined, 'is undefined, not an object'],
    ['a promise', Promise.resolve({}), 'is a promise: create() cannot be async'],
    [
      'a class with a misspelt method',
      new (class {
        onDestory() {}
      })(),
      'has onDestory, which is no hook; did you mean "onDestroy"?',
    ],
  ])('is refused with %s', async (_name, made, message) => {
    const host = registry(defineFilter({ name: 'f', create: () => made as object }));
    await host.parse(1, 'f', false, undefined, RULES);
    const line = new TestStream(host).request().take();
    expect(line).toEqual([
      expect.stringContaining(
        `fail Request f: FilterError TSF_FILTER_INVALID: the filter that create() returned ${message}`,
      ),
    ]);
  });

  it('is refused with hooks outside the declared phases', async () => {
    const host = registry(
      defineFilter({ name: 'f', phases: ['decodeHeaders'], create: () => ({ encodeHeaders() {} }) as never }),
    );
    await host.parse(1, 'f', false, undefined, RULES);
    expect(new TestStream(host).request().take()[0]).toContain('has encodeHeaders, which its phases do not declare');
  });
});
