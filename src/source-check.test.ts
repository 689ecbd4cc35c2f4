import { describe, expect, it } from 'vitest';
import { findMistakes } from './source-check.js';

const mistakes = (text: string): string[] =>
  findMistakes(text, ['lib']).map((one) => `${one.line}:${one.column} ${one.text}`);
const DEFINE = `import { defineFilter, StatusType, perChunk } from 'lib';\n`;
const MISSPELT =
  'filter "a": the filter that create() returned has decodeHeader, which is no hook; did you mean "decodeHeaders"?';

describe('mistakes in the text of filters', () => {
  it.each([
    [
      'an import under another name',
      `import { defineFilter as d } from 'lib';\nd({ name: 'a', create: () => ({ decodeHeader() {} }) });`,
    ],
    [
      'a whole import',
      `import * as tsf from 'lib';\ntsf.defineFilter({ name: 'a', create: () => ({ decodeHeader() {} }) });`,
    ],
    [
      'require',
      `const { defineFilter } = require('lib');\ndefineFilter({ name: 'a', create: () => ({ decodeHeader() {} }) });`,
    ],
    [
      'a wrapped require',
      `var tsf = __require('lib');\ntsf.defineFilter({ name: 'a', create: () => ({ decodeHeader() {} }) });`,
    ],
    [
      'a definition with a name',
      `${DEFINE}const d = { name: 'a', create: () => ({ decodeHeader() {} }) }; defineFilter(d);`,
    ],
    [
      'a create with a name',
      `${DEFINE}function create() { return { decodeHeader() {} }; } defineFilter({ name: 'a', create });`,
    ],
    ['a quoted key', `${DEFINE}defineFilter({ 'name': 'a', 'create': () => ({ 'decodeHeader': () => {} }) });`],
    [
      'a filter that is spread',
      `${DEFINE}const base = { decodeHeader() {} }; defineFilter({ name: 'a', create: () => ({ ...base }) });`,
    ],
    ['a getter', `${DEFINE}defineFilter({ name: 'a', create: () => ({ get decodeHeader() { return 1; } }) });`],
    [
      'a class expression',
      `${DEFINE}var F = class { decodeHeader = () => {}; }; defineFilter({ name: 'a', create: () => new F() });`,
    ],
    [
      'nested functions',
      `${DEFINE}(() => { const make = () => ({ decodeHeader() {} }); defineFilter({ name: 'a', create: () => make() }); })();`,
    ],
    [
      'a parameter default that shadows nothing',
      `${DEFINE}defineFilter({ name: 'a', create: (config = {}) => ({ decodeHeader() {} }) });`,
    ],
  ])('are found by %s', (_name, text) => {
    expect(mistakes(text)).toEqual([expect.stringMatching(/^2:\d+ /)]);
    expect(mistakes(text)[0]!.replace(/^\S+ /, '')).toBe(MISSPELT);
  });

  it.each([
    [
      "another package's defineFilter",
      `import { defineFilter } from 'other';\ndefineFilter({ name: 'a', create: () => ({ decodeHeader() {} }) });`,
    ],
    [
      'a function of the same name',
      `function defineFilter() {}\ndefineFilter({ name: 'a', create: () => ({ decodeHeader() {} }) });`,
    ],
    [
      'an inner function of the same name',
      `${DEFINE}(function (defineFilter) { defineFilter({ create: () => ({ onFoo() {} }) }); })(String);`,
    ],
    [
      'a name that is written to',
      `${DEFINE}let f = { decodeHeader() {} }; f = {}; defineFilter({ name: 'a', create: () => f });`,
    ],
    [
      'a name that is declared twice',
      `${DEFINE}var f = { decodeHeader() {} }; var f = {}; defineFilter({ name: 'a', create: () => f });`,
    ],
    [
      'a name that a loop writes to',
      `${DEFINE}let f = { onFoo() {} }; for (f of [{}]) ; defineFilter({ name: 'a', create: () => f });`,
    ],
    ['a shadowed name', `${DEFINE}const f = { onFoo() {} }; defineFilter({ name: 'a', create: (f) => f });`],
    [
      'a name of another block',
      `${DEFINE}function create() { { const f = { onFoo() {} }; void f; } return f; } const f = {}; defineFilter({ name: 'a', create });`,
    ],
    [
      'a static or private member',
      `${DEFINE}class F { static decodeHeader() {} #decodeHeader() {} set onFoo(v) {} } defineFilter({ name: 'a', create: () => new F() });`.replace(
        'set onFoo(v) {} ',
        '',
      ),
    ],
    [
      'a constructor that returns another object',
      `${DEFINE}class F { constructor() { return {}; } onFoo() {} } defineFilter({ name: 'a', create: () => new F() });`,
    ],
    [
      'a function inside a hook',
      `${DEFINE}defineFilter({ name: 'a', create: () => ({ decodeHeaders() { [1].map(() => 7); function f() { return 9; } void f; } }) });`,
    ],
    [
      'a body style that may be absent',
      `${DEFINE}defineFilter({ name: 'a', create: (c) => ({ decodeData() {}, transformRequest: c ? perChunk((b) => b) : undefined }) });`,
    ],
    [
      'a phase list that is not written out',
      `${DEFINE}const p = ['onLog'].concat(); defineFilter({ name: 'a', phases: p, create: () => ({ onLog() {}, decodeHeaders() {} }) });`,
    ],
    [
      'an attribute list that is not written out',
      `${DEFINE}defineFilter({ name: 'a', attributes: [].concat(), create: (c, cb) => ({ onLog() { cb.attributes['request.path']; } }) });`,
    ],
    [
      'attributes of something else',
      `${DEFINE}defineFilter({ name: 'a', create: (c, cb) => ({ onLog() { const cb = { attributes: {} }; cb.attributes['request.path']; } }) });`,
    ],
    ['a create that only throws', `${DEFINE}defineFilter({ name: 'a', create() { throw new Error('no'); } });`],
    [
      'statuses of right kinds',
      `${DEFINE}defineFilter({ name: 'a', create: () => ({ decodeData: () => StatusType.StopNoBuffer, decodeTrailers: () => 1, encodeHeaders: (h, end) => end || StatusType.Running }) });`,
    ],
    [
      'what this parser cannot read',
      `${DEFINE}defineFilter({ name: 'a', create: () => ({ onFoo() {} }) }); let x = <T>y;`,
    ],
    [
      'functions that make functions, in a circle',
      `${DEFINE}const a = () => b(); const b = () => a(); defineFilter({ name: 'a', create: () => a() });`,
    ],
    ['a name that stands for itself', `${DEFINE}var a = b, b = a; defineFilter({ name: 'a', create: () => a });`],
  ])('are not seen in %s', (_name, text) => {
    expect(mistakes(text)).toEqual([]);
  });

  it('are all told, in order, once', () => {
    const text = `${DEFINE}defineFilter({ name: 'a',
  create: (config) => (config ? make() : make()) });
function make() {
  return { decodeHeader() {},
    decodeTrailers() { return StatusType.StopAndBuffer; } };
}
defineFilter({ name: 'b', create: () => ({ onLogg() {} }) });`;
    expect(mistakes(text).map((one) => one.replace(/ (the filter|answers).*/, ''))).toEqual([
      '5:11 filter "a":',
      '6:30 filter "a": decodeTrailers',
      '8:43 filter "b":',
    ]);
  });

  it('are looked for in a text that nests deeply', () => {
    const deep = `${DEFINE}export const x = ${'['.repeat(3000)}${']'.repeat(3000)};`;
    expect(mistakes(deep)).toEqual([]);
  });
});
