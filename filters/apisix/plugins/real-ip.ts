import { core, type Ctx, type Plugin } from '../core/index.js';

interface Conf {
  readonly source: string;
  readonly trusted_addresses?: readonly string[];
  readonly recursive: boolean;
}

const trustedOf = core.lrucache.per_conf((conf: Conf) =>
  conf.trusted_addresses === undefined ? undefined : new core.ip.IpMatcher(conf.trusted_addresses),
);

export const realIp: Plugin<Conf> = {
  version: 0.1,
  priority: 23000,
  name: 'real-ip',
  schema: {
    type: 'object',
    properties: {
      trusted_addresses: { type: 'array', minItems: 1, items: core.ip.IP_OR_CIDR },
      source: { type: 'string', minLength: 1 },
      recursive: { type: 'boolean', default: false },
    },
    required: ['source'],
  },

  rewrite(conf, ctx) {
    const trusted = trustedOf(conf);
    if (trusted !== undefined && !trusted.has(core.request.get_ip(ctx))) return;
    const text = addressOf(conf, ctx, trusted);
    const found = text === undefined ? undefined : core.ip.parseIpAndPort(text);
    if (found === undefined) {
      ctx.log.warn(`real-ip: no address in ${conf.source}`);
      return;
    }
    ctx.var['remote_addr'] = found.ip;
    if (found.port !== undefined) ctx.var['remote_port'] = found.port;
  },
};

/** Of a list, the last, or the last that is not trusted. */
function addressOf(
  conf: Conf,
  ctx: Ctx,
  trusted: InstanceType<typeof core.ip.IpMatcher> | undefined,
): string | undefined {
  const value = ctx.var[conf.source];
  if (value === undefined) return undefined;
  if (conf.source !== 'http_x_forwarded_for') return String(value);
  const list = String(value)
    .split(',')
    .map((one) => one.trim());
  if (!conf.recursive || trusted === undefined) return list.at(-1);
  return list.findLast((one) => !trusted.has(core.ip.parseIpAndPort(one)?.ip)) ?? list[0];
}
