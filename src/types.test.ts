import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, expectTypeOf, it } from 'vitest';
import { z } from 'zod';
import { defineFilter, type Filter, type FilterCallbacks, type Json, perChunk, runtime, StatusType } from './index.js';

describe('the types of defineFilter', () => {
  it('infer the config from a schema, in any order', () => {
    const filter = defineFilter({
      create: (config) => {
        expectTypeOf(config).toEqualTypeOf<{ table: string }>();
        return {};
      },
      name: 'a',
      schema: z.object({ table: z.string() }),
    });
    expectTypeOf(filter).toEqualTypeOf<Filter<{ table: string }>>();
  });

  it('infer it from parseConfig, sync or async, and the raw JSON without', () => {
    defineFilter({
      name: 'a',
      create: (config) => {
        expectTypeOf(config).toEqualTypeOf<{ n: number }>();
        return {};
      },
      parseConfig: () => Promise.resolve({ n: 1 }),
    });
    defineFilter({
      name: 'a',
      create: (config) => {
        expectTypeOf(config).toEqualTypeOf<Json | undefined>();
        return {};
      },
    });
  });

  it('know the declared attributes, and no others', () => {
    defineFilter({
      name: 'a',
      attributes: ['request.path', 'response.code', 'connection.mtls'],
      create: (_config, { attributes }) => {
        expectTypeOf(attributes).toEqualTypeOf<{
          readonly 'request.path': string | undefined;
          readonly 'response.code': number | undefined;
          readonly 'connection.mtls': boolean | undefined;
        }>();
        return {};
      },
    });
  });

  it('infer the arguments of hooks and transforms', () => {
    defineFilter({
      name: 'a',
      create: () => ({
        decodeHeaders(headers, endStream) {
          expectTypeOf(headers.path).toEqualTypeOf<string>();
          expectTypeOf(endStream).toEqualTypeOf<boolean>();
        },
        encodeHeaders: async (headers) => {
          await Promise.resolve();
          headers.status = 201;
          return StatusType.StopAndBuffer;
        },
        async *transformRequest(body, ctx) {
          expectTypeOf(ctx.headers.method).toEqualTypeOf<string>();
          for await (const chunk of body) yield chunk;
        },
        transformResponse: perChunk((chunk, last) => (last ? chunk : 'text')),
      }),
    });
  });

  it('refuse what the runtime refuses', () => {
    // @ts-expect-error a misspelt hook
    defineFilter({ name: 'a', create: () => ({ decodeHeader() {} }) });
    // @ts-expect-error both body styles
    defineFilter({ name: 'a', create: () => ({ decodeData() {}, transformRequest: perChunk((chunk) => chunk) }) });
    // @ts-expect-error outside the declared phases
    defineFilter({ name: 'a', phases: ['decodeHeaders'], create: () => ({ encodeHeaders() {} }) });
    // @ts-expect-error StopNoBuffer is for data hooks
    defineFilter({ name: 'a', create: () => ({ decodeHeaders: () => StatusType.StopNoBuffer }) });
    // @ts-expect-error not a status of a trailers hook
    defineFilter({ name: 'a', create: () => ({ decodeTrailers: () => StatusType.StopAndBuffer }) });
    expect(() => {
      // @ts-expect-error an attribute that Envoy does not have
      defineFilter({ name: 'a', attributes: ['request.pth'], create: () => ({}) });
    }).toThrow();
  });

  it('type questions by their name', () => {
    expectTypeOf<FilterCallbacks['getProperty']>().toBeCallableWith('source.port');
    const ask = (callbacks: FilterCallbacks): Promise<number> => callbacks.getProperty('source.port');
    expectTypeOf(ask).returns.resolves.toBeNumber();
  });

  it('show a global as its promises', () => {
    const use = () => runtime.global<{ add(n: number): number; get(): Promise<string> }>('a', new URL('file:///a'));
    expectTypeOf(use).returns.toEqualTypeOf<{ add: (n: number) => Promise<number>; get: () => Promise<string> }>();
  });
});

// The contract that these types implement is kept outside this repository; the comparison runs where it is at hand.
const contract = process.env['TS_FILTER_API_CONTRACT'] ?? '';

describe.skipIf(!existsSync(contract))('the contract', () => {
  it('is kept: its types and ours fit each other', { timeout: 60_000 }, () => {
    const both =
      'HeaderView HeaderMap RequestHeaders RequestView ResponseHeaders BodyBuffer BodyStream LocalReply CallRequest LogEntry'.split(
        ' ',
      );
    both.push(
      'StatusType',
      'HeadersStatus',
      'TrailersStatus',
      'Json',
      'Chunk',
      'HeaderInit',
      'Phase',
      'Logger',
      'ConfigContext',
      'ErrorCode',
    );
    const ours = [
      ...both,
      'StreamInfo',
      'DirectionCallbacks',
      'FilterCallbacks',
      'FilterError',
      'ConfigError',
      'StreamAbortedError',
    ];
    const lines = [`import type * as ours from './index.js';`, `import type * as contract from './contract.js';`];
    for (const name of ours) lines.push(`export const a_${name}: contract.${name} = null! as ours.${name};`);
    for (const name of both) lines.push(`export const b_${name}: ours.${name} = null! as contract.${name};`);
    lines.push('type Values = { [K in contract.Attribute]: contract.AttributeTypes[K] };');
    lines.push('export const attributes: Values = null! as ours.AttributeTypes;');
    lines.push(`export const runtime: typeof contract.runtime = null! as typeof ours.runtime;`);
    for (const value of [
      'defineFilter',
      'perChunk',
      'runtime',
      'FilterError',
      'ConfigError',
      'StreamAbortedError',
      'StatusType',
    ]) {
      lines.push(`export type T_${value} = [typeof contract.${value}, typeof ours.${value}];`);
    }
    const here = fileURLToPath(new URL('.', import.meta.url));
    const files: { [path: string]: string } = {
      [`${here}compare.ts`]: lines.join('\n'),
      [`${here}contract.d.ts`]: readFileSync(contract, 'utf8'),
    };
    const { config } = ts.readConfigFile(`${here}../tsconfig.base.json`, (path) => ts.sys.readFile(path)) as {
      config: object;
    };
    const { options } = ts.parseJsonConfigFileContent({ ...config, files: [] }, ts.sys, here);
    const host = ts.createCompilerHost(options);
    const { readFile, fileExists } = host;
    host.readFile = (path) => files[path] ?? readFile.call(host, path);
    host.fileExists = (path) => path in files || fileExists.call(host, path);
    const getSourceFile = host.getSourceFile.bind(host);
    host.getSourceFile = (path, language, ...rest) =>
      files[path] === undefined
        ? getSourceFile(path, language, ...rest)
        : ts.createSourceFile(path, files[path], language);
    const program = ts.createProgram([`${here}compare.ts`], { ...options, noEmit: true }, host);
    const errors = ts
      .getPreEmitDiagnostics(program)
      .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
    expect(errors).toEqual([]);
  });
});
