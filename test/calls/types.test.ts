/** The types of `envoy-ts-filter/calls`, as built, with both compilers. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { root } from '../fixture/paths.js';
import { COMPILERS, typecheck } from '../types/compile.js';

const MISTAKES = `
import type { FilterCallbacks } from 'envoy-ts-filter';
import { CallsError, load, type LoadOptions, serve } from 'envoy-ts-filter/calls';

interface Scorer {
  score(features: number[]): { score: number };
  bytes(input: Uint8Array): Promise<Uint8Array>;
  count(): number;
}
declare const callbacks: FilterCallbacks;
const scorer = load<Scorer>('scorer', { model: 3 }, { command: ['python3', 'scorer.py'], isGlobal: true });
const answer: { score: number } = await scorer.score([1], callbacks);
const bytes: Uint8Array = await scorer.bytes(new Uint8Array(), { timeoutMs: 100, signal: callbacks.signal });
const count: number = (await scorer.count()) + answer.score + bytes.length;
await scorer.count(undefined, callbacks);
await scorer[Symbol.asyncDispose]();
load<Scorer>('scorer', undefined, { module: new URL('./scorer.ts', import.meta.url) });
serve({ scorer: (init: { model: number }) => ({ score: () => ({ score: init.model + count }) }), later: async () => ({}) });
export const codeOf = (e: unknown): string | undefined => (CallsError.is(e) ? (e.remoteCode ?? e.code) : undefined);

// @ts-expect-error -- a method that it does not have
await scorer.scores([1]);
// @ts-expect-error -- another payload
await scorer.score('1');
// @ts-expect-error -- an answer is a promise
const early: { score: number } = scorer.score([1]);
// @ts-expect-error -- no payload where one is needed
await scorer.score();
// @ts-expect-error -- neither command nor module
const none: LoadOptions = { isGlobal: true };
// @ts-expect-error -- both
const both: LoadOptions = { command: ['a'], module: new URL('file:///a.js') };
// @ts-expect-error -- a command has a program
const empty: LoadOptions = { command: [] };
// @ts-expect-error -- a misspelt option
load<Scorer>('scorer', undefined, { command: ['a'], timeout: 5 });
`;

it('let through what is right, and nothing that is wrong', { timeout: 60_000 }, async () => {
  const readme = readFileSync(join(root, 'filters/calls/README.md'), 'utf8');
  const example = /^```ts\n(.*?)^```/ms.exec(readme)![1]!;
  const found = await typecheck(
    new Map([
      ['mistakes.ts', MISTAKES],
      ['readme.ts', example],
    ]),
  );
  for (const compiler of COMPILERS) expect(found.get(compiler)).toEqual([]);
});
