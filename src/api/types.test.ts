import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, expectTypeOf, it } from 'vitest';
import { type FilterCallbacks, runtime } from './index.js';

// What TypeScript makes of definitions is in test/types/.
describe('the types', () => {
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
    const { config } = ts.readConfigFile(`${here}../../tsconfig.base.json`, (path) => ts.sys.readFile(path)) as {
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
