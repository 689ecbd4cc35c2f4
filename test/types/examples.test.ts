/** Every public symbol is shown by an example, and every example compiles. test/e2e/examples.test.ts runs them. */
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { markdownExamples, publicSymbols } from '../support/examples.js';
import { COMPILERS, type Compiler, type Diagnostic, typecheck } from './compile.js';

/** Types that an author never meets alone: the symbol whose example uses them. */
const SHOWN_BY: { readonly [name: string]: string } = {
  AbortedBy: 'StreamAbortedError',
  Answer: 'StatusType',
  ChunkFunction: 'perChunk',
  ChunkTransform: 'perChunk',
  DataHook: 'sameLength',
  HeadersStatus: 'StatusType',
  KnownErrorCode: 'ErrorCode',
  MaybePromise: 'FilterDefinition',
  Misspelt: 'StreamFilter',
  OneBodyStyle: 'StreamFilter',
  OneConfigStyle: 'FilterDefinition',
  Only: 'FilterDefinition',
  RequestLine: 'RequestHeaders',
  StreamTransform: 'Transform',
  TrailersStatus: 'StatusType',
  chunkBrand: 'perChunk',
};
/** Interfaces of which each function has an example of its own. */
const EACH = ['FilterCallbacks', 'DirectionCallbacks', 'DecoderCallbacks', 'runtime'];

const symbols = publicSymbols();
const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const examples = [...symbols.flatMap((symbol) => symbol.examples), ...markdownExamples('README.md', README)];

describe('an example', () => {
  it.each(symbols.map((symbol) => [symbol.name, symbol] as const))('shows %s', (name, symbol) => {
    const shownBy = SHOWN_BY[name];
    if (shownBy === undefined) expect(symbol.examples).not.toEqual([]);
    else {
      expect(symbol.examples, `${name} has its own: take it out of the table`).toEqual([]);
      expect(symbols.find((one) => one.name === shownBy)?.examples).not.toEqual([]);
    }
    if (EACH.includes(name)) expect(symbol.methods.filter((one) => !symbol.shown.includes(one))).toEqual([]);
  });

  it('shows no symbol that is gone', () => {
    const known = symbols.map((symbol) => symbol.name);
    expect([...Object.keys(SHOWN_BY), ...EACH].filter((name) => !known.includes(name))).toEqual([]);
  });
});

describe.each(COMPILERS)('%s accepts the example of', (compiler: Compiler) => {
  it.each(examples.map((one, i) => [one.of, one, i] as const))('%s', (_of, example, i) => {
    const wrong = found.get(compiler)!.filter((one) => one.file.startsWith(`${folderOf(i)}/`));
    expect(wrong, example.files.get('filter.ts')).toEqual([]);
  });
});

const folderOf = (i: number): string => `example-${i}`;
let found: Map<Compiler, Diagnostic[]>;
beforeAll(async () => {
  const files = new Map<string, string>();
  examples.forEach((example, i) => {
    for (const [name, source] of example.files) files.set(`${folderOf(i)}/${name}`, source);
  });
  found = await typecheck(files);
}, 120_000);
