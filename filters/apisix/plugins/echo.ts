import { core, type Plugin } from '../core/index.js';

interface Conf {
  readonly before_body?: string;
  readonly body?: string;
  readonly after_body?: string;
  readonly headers?: Readonly<Record<string, string | number>>;
}

export const echo: Plugin<Conf> = {
  version: 0.1,
  priority: 412,
  name: 'echo',
  schema: {
    type: 'object',
    properties: {
      before_body: { type: 'string' },
      body: { type: 'string' },
      after_body: { type: 'string' },
      headers: {
        type: 'object',
        minProperties: 1,
        additionalProperties: { anyOf: [{ type: 'string' }, { type: 'number' }] },
      },
    },
    minProperties: 1,
  },

  check_schema(conf) {
    const wrong = core.schema.check(this.schema, conf);
    if (wrong !== undefined) return wrong;
    for (const [name, value] of Object.entries(conf.headers ?? {})) {
      const why = core.utils.validate_header_field(name) ?? core.utils.validate_header_value(value);
      if (why !== undefined) return why;
    }
    return undefined;
  },

  header_filter(conf, ctx) {
    const { before_body, body, after_body, headers = {} } = conf;
    if (before_body !== undefined || body !== undefined || after_body !== undefined) {
      core.response.clear_header_as_body_modified(ctx);
    }
    for (const [name, value] of Object.entries(headers)) {
      core.response.set_header(ctx, name, core.utils.latin1(String(value)));
    }
  },

  body_filter(conf, _ctx, part) {
    const pieces: Uint8Array[] = [];
    if (part.first) pieces.push(Buffer.from((conf.before_body ?? '') + (conf.body ?? '')));
    if (conf.body === undefined) pieces.push(part.bytes);
    if (part.eof) pieces.push(Buffer.from(conf.after_body ?? ''));
    part.data = Buffer.concat(pieces);
  },
};
