/** The shipped plugins and two of the test's own. */
import { apisix, core, type Plugin } from '../../../filters/apisix/core/index.js';
import { plugins } from '../../../filters/apisix/plugins/index.js';

const schema = { type: 'object' };

/** Turns the bits of the response's body round. */
const flip: Plugin = {
  version: 0.1,
  priority: 50,
  name: 'flip',
  schema,
  body_filter: (_conf, _ctx, part) => void (part.data = part.bytes.map((byte) => byte ^ 0xff)),
};

/** Keeps the body until its end; tells what the request's half and the init script have left. */
const held: Plugin = {
  version: 0.1,
  priority: 40,
  name: 'held',
  schema,
  rewrite: (_conf, ctx) => void (ctx.var['held_path'] = ctx.var['uri']),
  header_filter(_conf, ctx) {
    const { demo_began } = globalThis as { demo_began?: string };
    core.response.set_header(ctx, 'x-held-path', ctx.var['held_path']);
    core.response.set_header(ctx, 'x-began', demo_began);
    core.response.set_header(ctx, 'x-upstream', core.utils.resolve_var('$upstream_addr', ctx.var));
  },
  body_filter(_conf, ctx, part) {
    const whole = core.response.hold_body_chunk(ctx, part);
    if (whole !== undefined) part.data = whole.map((byte) => byte ^ 0xff);
  },
};

export default apisix({ name: 'apisix-own', plugins: [...plugins, flip, held] });
