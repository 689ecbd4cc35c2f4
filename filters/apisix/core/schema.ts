/** Schemas are checked by ajv; what is refused is told in the words of APISIX's own validator. */
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import { isCidr, isIp } from './ip.js';
import type { Schema } from './plugin.js';

/** As it was given, and once more with the defaults: `minProperties` is about what was given, `dependencies` are not. */
const validators = [false, true].map((useDefaults) => {
  const ajv = new Ajv({ useDefaults, verbose: true, strict: false });
  ajv.addFormat('ip', isIp);
  ajv.addFormat('cidr', isCidr);
  return ajv;
});
const compiled = new WeakMap<Schema, readonly ValidateFunction[]>();

/** Fills in the defaults; a message says what is wrong. */
export function check(schema: Schema, data: unknown): string | undefined {
  let both = compiled.get(schema);
  if (both === undefined) {
    both = validators.map((ajv) => ajv.compile(schema));
    compiled.set(schema, both);
  }
  for (const validate of both) {
    if (validate(data) === true) continue;
    // The last error is the outermost one: those before it are why no branch of it matched.
    const error = validate.errors?.at(-1);
    return error === undefined ? 'is not valid' : describe(error);
  }
  return undefined;
}

function describe(error: ErrorObject): string {
  const steps = error.instancePath.split('/').slice(1).map(unescape);
  let text = dependencyOf(error) + message(error);
  for (const step of steps.reverse()) {
    text = /^\d+$/.test(step)
      ? `failed to validate item ${String(Number(step) + 1)}: ${text}`
      : `property "${step}" validation failed: ${text}`;
  }
  return text;
}

const unescape = (step: string): string => step.replaceAll('~1', '/').replaceAll('~0', '~');

function dependencyOf({ schemaPath }: ErrorObject): string {
  const name = /\/dependencies\/([^/]+)\//.exec(schemaPath)?.[1];
  return name === undefined ? '' : `failed to validate dependent schema for "${unescape(decodeURIComponent(name))}": `;
}

function message({ keyword, params, data, schema, message: otherwise }: ErrorObject): string {
  const limit = String((params as { limit?: unknown }).limit);
  switch (keyword) {
    case 'required':
      return `property "${String((params as { missingProperty: string }).missingProperty)}" is required`;
    case 'type':
      return `wrong type: expected ${[schema as string | string[]].flat().join(' or ')}, got ${typeName(data)}`;
    case 'enum':
      return 'matches none of the enum values';
    case 'minimum':
      return `expected ${String(data)} to be at least ${limit}`;
    case 'maximum':
      return `expected ${String(data)} to be at most ${limit}`;
    case 'exclusiveMinimum':
      return `expected ${String(data)} to be greater than ${limit}`;
    case 'exclusiveMaximum':
      return `expected ${String(data)} to be smaller than ${limit}`;
    case 'minLength':
      return `string too short, expected at least ${limit}, got ${String((data as string).length)}`;
    case 'maxLength':
      return `string too long, expected at most ${limit}, got ${String((data as string).length)}`;
    case 'pattern':
      return `failed to match pattern ${JSON.stringify(schema)} with ${JSON.stringify(data)}`;
    case 'minItems':
      return `expect array to have at least ${limit} items`;
    case 'maxItems':
      return `expect array to have at most ${limit} items`;
    case 'minProperties':
      return `expect object to have at least ${limit} properties`;
    case 'uniqueItems': {
      const { i, j } = params as { i: number; j: number };
      return `expected unique items but items ${String(j + 1)} and ${String(i + 1)} are equal`;
    }
    case 'additionalProperties':
      return `additional properties forbidden, found ${(params as { additionalProperty: string }).additionalProperty}`;
    case 'anyOf':
      return 'object matches none of the required';
    case 'oneOf': {
      const both = (params as { passingSchemas: readonly number[] | null }).passingSchemas;
      if (both === null) return 'value should match only one schema, but matches none';
      const [a, b] = both.map((i) => String(i + 1));
      return `value should match only one schema, but matches both schemas ${a ?? ''} and ${b ?? ''}`;
    }
    case 'not':
      return "value wasn't supposed to match schema";
    default:
      return otherwise ?? `fails "${keyword}"`;
  }
}

function typeName(data: unknown): string {
  if (data === null) return 'null';
  return typeof data === 'object' ? 'table' : typeof data;
}
