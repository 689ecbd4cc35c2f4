import { readFileSync } from 'node:fs';
import { Script } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { ConfigError, describeError, ERROR_CODES, FilterError, StreamAbortedError } from './errors.js';

describe('errors', () => {
  it('are told by their brand, so that another copy of the package will do', async () => {
    const other = (await import(`./errors.js?${'copy'}`)) as typeof import('./errors.js');
    expect(other.FilterError).not.toBe(FilterError);
    const error = new other.StreamAbortedError('timeout');
    expect([FilterError.is(error), error instanceof FilterError]).toEqual([true, false]);
    for (const no of [new Error('x'), null, undefined, 'x', { code: 'TSF_X' }]) expect(FilterError.is(no)).toBe(false);
  });

  it('carry code, phase, path and by', () => {
    expect(new FilterError('TSF_NO_REPLY', 'm', 'decodeData')).toMatchObject({
      code: 'TSF_NO_REPLY',
      phase: 'decodeData',
      name: 'FilterError',
      message: 'm',
    });
    expect('phase' in new FilterError('TSF_NO_REPLY', 'm')).toBe(false);
    expect(new ConfigError('a.b', 'is bad')).toMatchObject({
      path: 'a.b',
      message: 'a.b: is bad',
      name: 'ConfigError',
      code: 'TSF_CONFIG_INVALID',
    });
    expect(new ConfigError('', 'is bad').message).toBe('is bad');
    expect(new StreamAbortedError('upstream')).toMatchObject({
      by: 'upstream',
      code: 'TSF_STREAM_ABORTED',
      name: 'StreamAbortedError',
    });
  });

  it('are described in one line, whatever was thrown', () => {
    const thrown: unknown = new Script("new TypeError('a\\nb')", { filename: '/filters/a.ts' }).runInThisContext();
    expect(describeError(thrown)).toBe('TypeError: a (at /filters/a.ts:1:1)');
    expect(describeError(new FilterError('TSF_NO_REPLY', 'm'))).toMatch(/^FilterError TSF_NO_REPLY: m \(at /);
    expect(describeError('text')).toBe('threw "text"');
    expect(describeError(undefined)).toBe('threw undefined');
    expect(describeError(Object.create(null))).toBe('threw something that cannot be shown');
    expect(describeError(Symbol('s'))).toBe('threw Symbol(s)');
  });

  it("name the first place that is the author's", () => {
    const error = new FilterError('TSF_HEADER_PSEUDO', 'm');
    const ours = new URL('../headers/header-rules.js', import.meta.url);
    const stack = [
      'FilterError: m',
      `    at HeaderRules.name (${ours.href}:74:13)`,
      `    at HeaderMapImpl.set (${ours.pathname}:7:13)`,
      '    at new Promise (<anonymous>)',
      '    at process.processTicksAndRejections (node:internal/process/task_queues:103:5)',
      '    at wrap (/filters/node_modules/wrapper/index.js:1:1)',
    ];
    const author = '    at Object.decodeHeaders (/filters/a.ts:3:5)';
    for (const [given, place] of [
      [[...stack, author], 'Object.decodeHeaders (/filters/a.ts:3:5)'],
      [stack, 'wrap (/filters/node_modules/wrapper/index.js:1:1)'],
      [stack.slice(0, 3), `HeaderRules.name (${ours.href}:74:13)`],
    ] as const) {
      error.stack = given.join('\n');
      expect(describeError(error)).toBe(`FilterError TSF_HEADER_PSEUDO: m (at ${place})`);
    }
  });

  it('are explained in docs/errors.md, each of them and no others', () => {
    const page = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8');
    const explained = [...page.matchAll(/^### `(TSF_[A-Z_]+)`/gm)].map(([, code]) => code);
    expect(explained.sort()).toEqual(Object.keys(ERROR_CODES).sort());
    for (const [code, meaning] of Object.entries(ERROR_CODES))
      expect([code, page.includes(meaning)]).toEqual([code, true]);
  });
});
