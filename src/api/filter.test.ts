import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { ConfigError } from './errors.js';
import { PhaseBit } from '../base/wire.js';
import { defineFilter, definitionOf, phasesOf } from './filter.js';

const define = (definition: object): unknown => defineFilter(definition as never);
const create = (): object => ({});

describe('defineFilter', () => {
  it('makes a frozen filter with its name', () => {
    const filter = defineFilter({ name: 'f', create });
    expect(filter.name).toBe('f');
    expect(Object.isFrozen(filter)).toBe(true);
    expect(definitionOf(filter)?.create).toBe(create);
    expect(definitionOf({ name: 'f' })).toBeUndefined();
    expect(definitionOf(null)).toBeUndefined();
  });

  it.each([
    ['nothing', undefined, ''],
    ['no name', { create }, 'name'],
    ['an empty name', { name: '', create }, 'name'],
    ['no create', { name: 'f' }, 'f.create'],
    ['a create that is no function', { name: 'f', create: {} }, 'f.create'],
    ['schema and parseConfig', { name: 'f', create, schema: z.object({}), parseConfig: create }, 'f.schema'],
    ['a schema that is none', { name: 'f', create, schema: {} }, 'f.schema'],
    ['a mergeConfig that is no function', { name: 'f', create, mergeConfig: 1 }, 'f.mergeConfig'],
    ['a misspelt key', { name: 'f', create, parsConfig: create }, 'f.parsConfig'],
    ['a hook in the definition', { name: 'f', create, decodeHeaders: create }, 'f.decodeHeaders'],
    ['an unknown attribute', { name: 'f', create, attributes: ['request.path', 'request.pth'] }, 'f.attributes[1]'],
    ['attributes that are no list', { name: 'f', create, attributes: 'request.path' }, 'f.attributes'],
    ['an unknown phase', { name: 'f', create, phases: ['decodeHeader'] }, 'f.phases[0]'],
    ['onDestroy as a phase', { name: 'f', create, phases: ['onDestroy'] }, 'f.phases[0]'],
  ])('refuses %s, and names the key', (_name, definition, path) => {
    let error: unknown;
    try {
      define(definition as object);
    } catch (e) {
      error = e;
    }
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as ConfigError).code).toBe('TSF_CONFIG_INVALID');
    expect((error as ConfigError).path).toBe(path);
  });

  it('guesses what was meant', () => {
    expect(() => define({ name: 'f', create, parsConfig: create })).toThrow('did you mean "parseConfig"?');
    expect(() => define({ name: 'f', create, phases: ['decodeHeader'] })).toThrow('did you mean "decodeHeaders"?');
    expect(() => define({ name: 'f', create, encodeData: create })).toThrow('hooks belong into what create() returns');
  });
});

it.each(Object.entries(PhaseBit))('%s is a phase of a filter that has it', (name, bit) => {
  expect(phasesOf({ [name]: create })).toBe(bit);
});
