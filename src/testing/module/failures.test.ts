import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { FAILURES } from './failures.js';

/** Failures of the module's that no stream of the model meets (docs/testing.md, "What the model is, and is not"). */
const NOT_HERE = [
  // Its host is there, and stays.
  'noHost',
  'hostLost',
  'hostLostLate',
  'hostDrained',
  'hostDrainedLate',
  // A refused config rejects `request`.
  'rejected',
  // It has no max_header_bytes.
  'requestHeadersTooLarge',
  'headersTooLarge',
  'notUpstream',
  // A fault in a hook of Envoy's.
  'fault',
  // It has no other filters.
  'cutByChain',
  // Envoy 1.38.
  'continueLost',
];

const SOURCE = readFileSync(new URL('../../../cpp/core/failure.h', import.meta.url), 'utf8');
const TEXTS = new Map(
  [...SOURCE.matchAll(/^inline constexpr const char\* (\w+) = (".*");$/gm)].map(([, name, text]) => [name!, text!]),
);

/** As C++ writes it: a literal, the name of one, or none. */
function textOf(word: string | undefined): string | undefined {
  if (word === undefined || word === 'nullptr') return undefined;
  return JSON.parse(TEXTS.get(word) ?? word) as string;
}

/** All of cpp/core/failure.h, by the model's names. */
const MODULES = [
  ...SOURCE.matchAll(/^inline constexpr Failure k(\w+)\{\s*(\d+),\s*(\d+),\s*("\w+")(?:,\s*(\w+|"[^"]*"))?[^}]*\};/gm),
].map(([, name, http, grpc, code, body]) => {
  const failure = { http: Number(http), grpc: Number(grpc), code: textOf(code), body: textOf(body) };
  return [name![0]!.toLowerCase() + name!.slice(1), failure] as const;
});

test('cpp/core/failure.h has the same failures, but for those that the model cannot meet', () => {
  expect(MODULES.length).toBe(SOURCE.match(/^inline constexpr Failure k/gm)!.length);
  expect(FAILURES).toEqual(Object.fromEntries(MODULES.filter(([name]) => !NOT_HERE.includes(name))));
  expect(NOT_HERE.filter((name) => !MODULES.some(([known]) => known === name))).toEqual([]);
});
