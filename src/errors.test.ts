import { readFileSync } from 'node:fs';
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
    expect(describeError(new TypeError('a\nb'))).toMatch(/^TypeError: a \(at .*errors\.test\.ts:\d+:\d+\)?/);
    expect(describeError(new FilterError('TSF_NO_REPLY', 'm'))).toMatch(/^FilterError TSF_NO_REPLY: m \(at /);
    expect(describeError('text')).toBe('threw "text"');
    expect(describeError(undefined)).toBe('threw undefined');
    expect(describeError(Object.create(null))).toBe('threw something that cannot be shown');
    expect(describeError(Symbol('s'))).toBe('threw Symbol(s)');
  });

  it('are explained in docs/errors.md, each of them and no others', () => {
    const page = readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8');
    const explained = [...page.matchAll(/^### `(TSF_[A-Z_]+)`/gm)].map(([, code]) => code);
    expect(explained.sort()).toEqual(Object.keys(ERROR_CODES).sort());
    for (const [code, meaning] of Object.entries(ERROR_CODES))
      expect([code, page.includes(meaning)]).toEqual([code, true]);
  });
});
