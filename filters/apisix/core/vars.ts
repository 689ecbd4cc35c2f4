/** `ctx.var`: nginx's and APISIX's variables, made when they are asked for. */
import { runtime } from 'envoy-ts-filter';
import type { Ctx } from './ctx.js';
import { gethostname, latin1, normalizePath, unescapeUri } from './utils.js';

export type Value = string | number | undefined;
/** Assigning a variable shows it to all that runs later in the stream. */
export type Vars = { [name: string]: Value };
type Getter = (ctx: Ctx) => Value;

/** Of the thread: an init script has a copy of this module, and its variables are everybody's. */
const ownVars = runtime.perWorker('apisix.vars', () => new Map<string, Getter>());

/** A variable of one's own, for every stream of this thread. */
export function register_var(name: string, getter: Getter): void {
  ownVars.set(name, getter);
}

export function makeVars(ctx: Ctx): Vars {
  const assigned = new Map<string, Value>();
  return new Proxy<Vars>(Object.create(null) as Vars, {
    get: (_target, name) => {
      if (typeof name !== 'string') return undefined;
      return assigned.has(name) ? assigned.get(name) : valueOf(name, ctx);
    },
    set: (_target, name, value: Value) => {
      if (typeof name === 'string') assigned.set(name, value);
      return true;
    },
  });
}

function valueOf(name: string, ctx: Ctx): Value {
  const known = Object.hasOwn(KNOWN, name) ? KNOWN[name] : ownVars.get(name);
  if (known !== undefined) return known(ctx);
  for (const [prefix, getter] of PREFIXES) if (name.startsWith(prefix)) return getter(ctx, name.slice(prefix.length));
  return undefined;
}

const headerName = (rest: string): string => rest.replaceAll('_', '-').toLowerCase();

const PREFIXES: readonly (readonly [string, (ctx: Ctx, rest: string) => Value])[] = [
  ['arg_', (ctx, rest) => firstArg(ctx, rest)],
  ['http_', (ctx, rest) => requestHeader(ctx, headerName(rest))],
  ['cookie_', (ctx, rest) => cookieOf(ctx, rest)],
  ['sent_http_', (ctx, rest) => ctx.response?.get(headerName(rest))],
  ['upstream_http_', (ctx, rest) => (ctx.local ? undefined : ctx.response?.get(headerName(rest)))],
];

/** All lines of a header: nginx joins those of cookies by `; `, and others by `, `. */
function requestHeader(ctx: Ctx, name: string): Value {
  const lines = ctx.request.getAll(name);
  return lines.length < 2 ? lines[0] : lines.join(name === 'cookie' ? '; ' : ', ');
}

function firstArg(ctx: Ctx, name: string): Value {
  for (const [key, value] of argsOf(ctx.query)) {
    // nginx compares names without case.
    if (key.toLowerCase() === name.toLowerCase()) return value;
  }
  return undefined;
}

/** The arguments of a query, in order; names are decoded, values are as they came. */
export function argsOf(query: string): (readonly [name: string, value: string])[] {
  if (query === '') return [];
  return query
    .split('&')
    .filter((part) => part !== '')
    .map((part) => {
      const equals = part.indexOf('=');
      return equals < 0 ? [unescapeUri(part), ''] : [unescapeUri(part.slice(0, equals)), part.slice(equals + 1)];
    });
}

function cookieOf(ctx: Ctx, name: string): Value {
  for (const pair of ctx.request.getAll('cookie').join(';').split(';')) {
    const equals = pair.indexOf('=');
    if (equals > 0 && pair.slice(0, equals).trim() === name) return pair.slice(equals + 1).trim();
  }
  return undefined;
}

/** Envoy's `address:port`, in two. */
function addressOf(text: string | undefined): readonly [ip: string | undefined, port: string | undefined] {
  const found = /^\[?([^\]]*?)\]?:(\d+)$/.exec(text ?? '');
  return [found?.[1], found?.[2]];
}
const ipOf = (text: string | undefined): string | undefined => addressOf(text)[0];
const portOf = (text: string | undefined): string | undefined => addressOf(text)[1];

const nonEmpty = (text: string | undefined): string | undefined => (text === '' ? undefined : text);
const hostOf = (authority: string): string => authority.replace(/:\d+$/, '').toLowerCase();
const seconds = (ctx: Ctx): string => ((Date.now() - ctx.began) / 1000).toFixed(3);

const KNOWN: Readonly<Record<string, Getter>> = {
  uri: (ctx) => normalizePath(ctx.path),
  document_uri: (ctx) => normalizePath(ctx.path),
  request_uri: (ctx) => ctx.asked.path,
  args: (ctx) => nonEmpty(ctx.query),
  query_string: (ctx) => nonEmpty(ctx.query),
  is_args: (ctx) => (ctx.query === '' ? undefined : '?'),
  host: (ctx) => hostOf(ctx.request.host),
  http_host: (ctx) => nonEmpty(ctx.request.host),
  scheme: (ctx) => ctx.request.scheme,
  https: (ctx) => (ctx.request.scheme === 'https' ? 'on' : undefined),
  request_method: (ctx) => ctx.request.method,
  method: (ctx) => ctx.request.method,
  request: (ctx) => `${ctx.request.method} ${ctx.asked.path} ${ctx.attributes['request.protocol'] ?? ''}`,
  server_protocol: (ctx) => ctx.attributes['request.protocol'],
  content_type: (ctx) => ctx.request.get('content-type'),
  content_length: (ctx) => ctx.request.get('content-length'),
  remote_addr: (ctx) => ipOf(ctx.attributes['source.address']),
  remote_port: (ctx) => portOf(ctx.attributes['source.address']),
  realip_remote_addr: (ctx) => ipOf(ctx.attributes['source.address']),
  realip_remote_port: (ctx) => portOf(ctx.attributes['source.address']),
  server_addr: (ctx) => ipOf(ctx.attributes['destination.address']),
  server_port: (ctx) => portOf(ctx.attributes['destination.address']),
  server_name: (ctx) => hostOf(ctx.request.host),
  hostname: () => gethostname(),
  pid: () => process.pid,
  request_id: (ctx) => ctx.callbacks.requestId,
  msec: () => (Date.now() / 1000).toFixed(3),
  time_iso8601: () => new Date().toISOString(),
  request_time: seconds,
  request_body: (ctx) => ctx.body?.toString('latin1'),
  status: (ctx) => ctx.response?.get(':status'),
  bytes_sent: (ctx) => ctx.entry?.attributes['response.total_size'],
  body_bytes_sent: (ctx) => ctx.entry?.attributes['response.size'],
  upstream_status: (ctx) => ctx.upstream?.status,
  upstream_addr: (ctx) => ctx.upstream?.address,
  balancer_ip: (ctx) => ipOf(ctx.upstream?.address),
  balancer_port: (ctx) => portOf(ctx.upstream?.address),
  route_id: (ctx) => nonEmpty(ctx.attributes['xds.route_name']),
  route_name: (ctx) => nonEmpty(ctx.attributes['xds.route_name']),
  service_id: (ctx) => nonEmpty(ctx.attributes['xds.cluster_name']),
  consumer_name: (ctx) => (ctx.consumer === undefined ? undefined : latin1(ctx.consumer.username)),
  consumer_group_id: (ctx) => ctx.consumer?.group_id,
};
