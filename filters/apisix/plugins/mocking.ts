import { randomInt } from 'node:crypto';
import { core, type Plugin } from '../core/index.js';

/** Whose behaviour the plugins follow. */
const VERSION = '3.18.0';

interface MockSchema {
  readonly type?: 'string' | 'number' | 'integer' | 'boolean' | 'object' | 'array';
  readonly example?: unknown;
  readonly properties?: Readonly<Record<string, MockSchema>>;
  readonly items?: MockSchema;
}
interface Conf {
  readonly delay: number;
  readonly response_status: number;
  readonly content_type: string;
  readonly response_example?: string;
  readonly response_schema?: MockSchema;
  readonly with_mock_header: boolean;
  readonly response_headers?: Readonly<Record<string, string | number>>;
}

export const mocking: Plugin<Conf> = {
  version: 0.1,
  priority: 10900,
  name: 'mocking',
  schema: {
    type: 'object',
    properties: {
      delay: { type: 'integer', default: 0 },
      response_status: { type: 'integer', default: 200, minimum: 100 },
      content_type: { type: 'string', default: 'application/json;charset=utf8' },
      response_example: { type: 'string' },
      response_schema: { type: 'object' },
      with_mock_header: { type: 'boolean', default: true },
      response_headers: {
        type: 'object',
        minProperties: 1,
        additionalProperties: { anyOf: [{ type: 'string' }, { type: 'number' }] },
      },
    },
    anyOf: [{ required: ['response_example'] }, { required: ['response_schema'] }],
  },

  check_schema(conf) {
    return core.schema.check(this.schema, conf) ?? wrongSchema(conf.response_schema);
  },

  async rewrite(conf, ctx) {
    const text =
      conf.response_example === undefined
        ? core.utils.latin1(JSON.stringify(mock(conf.response_schema ?? {})))
        : core.utils.resolve_var(conf.response_example, ctx.var);
    core.response.set_header(ctx, 'content-type', conf.content_type);
    if (conf.with_mock_header) core.response.set_header(ctx, 'x-mock-by', `APISIX/${VERSION}`);
    for (const [name, value] of Object.entries(conf.response_headers ?? {})) {
      core.response.set_header(ctx, name, core.utils.headerSafe(core.utils.resolve_var(String(value), ctx.var)));
    }
    await ctx.sleep(conf.delay * 1000);
    return [conf.response_status, Buffer.from(text, 'latin1')];
  },
};

const TYPES = ['string', 'number', 'integer', 'boolean', 'object', 'array'];

function wrongSchema(schema: MockSchema | undefined): string | undefined {
  if (schema === undefined) return undefined;
  if (schema.type !== undefined && !TYPES.includes(schema.type))
    return `unsupported type ${JSON.stringify(schema.type)}`;
  for (const part of Object.values(schema.properties ?? {})) {
    const wrong = wrongSchema(part);
    if (wrong !== undefined) return wrong;
  }
  return wrongSchema(schema.items);
}

/** The example, or something of that type. */
function mock(schema: MockSchema): unknown {
  if (schema.example !== undefined) return schema.example;
  switch (schema.type) {
    case 'string':
      return Array.from({ length: randomInt(1, 11) }, () => String.fromCharCode(97 + randomInt(26))).join('');
    case 'number':
      return randomInt(10_000_000) / 1000;
    case 'integer':
      return randomInt(10_000);
    case 'boolean':
      return randomInt(2) === 1;
    case 'array':
      return schema.items === undefined ? [] : Array.from({ length: randomInt(1, 4) }, () => mock(schema.items!));
    default:
      return Object.fromEntries(Object.entries(schema.properties ?? {}).map(([name, part]) => [name, mock(part)]));
  }
}
