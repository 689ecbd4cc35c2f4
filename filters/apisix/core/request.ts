/** `core.request`. */
import type { Ctx } from './ctx.js';
import { escapeArg, headerLines, type HeaderValue, replaceHeader, unescapeUri } from './utils.js';
import { argsOf } from './vars.js';

/** The first line of that name. */
export const header = (ctx: Ctx, name: string): string | undefined => ctx.request.get(name);

/** All headers, names in lower case; several lines of one name are a list. */
export function headers(ctx: Ctx): Record<string, string | string[]> {
  const found = new Map<string, string | string[]>();
  for (const [name, value] of ctx.request) {
    if (name.startsWith(':')) continue;
    const before = found.get(name);
    found.set(name, before === undefined ? value : [before, value].flat());
  }
  return Object.fromEntries(found);
}

/** An empty value, or none, removes the header. */
export function set_header(ctx: Ctx, name: string, value: HeaderValue): void {
  if (name.toLowerCase() !== 'host') return replaceHeader(ctx.request, name, value);
  const [host] = headerLines(value);
  if (host !== undefined) ctx.request.host = host;
}

export function add_header(ctx: Ctx, name: string, value: HeaderValue): void {
  for (const line of headerLines(value)) ctx.request.add(name, line);
}

export const get_method = (ctx: Ctx): string => ctx.request.method;
export function set_method(ctx: Ctx, method: string): void {
  ctx.request.method = method;
}
export const get_scheme = (ctx: Ctx): string => ctx.request.scheme;
export const get_host = (ctx: Ctx): string | undefined => text(ctx.var['host']);
export const get_path = (ctx: Ctx): string => String(ctx.var['uri']);
/** Envoy's idea of the client, or that of the plugin real-ip. */
export const get_ip = (ctx: Ctx): string | undefined => text(ctx.var['realip_remote_addr']);
export const get_remote_client_ip = (ctx: Ctx): string | undefined => text(ctx.var['remote_addr']);
export const get_remote_client_port = (ctx: Ctx): number | undefined => number(ctx.var['remote_port']);
export const get_port = (ctx: Ctx): number | undefined => number(ctx.var['server_port']);

const text = (value: string | number | undefined): string | undefined =>
  value === undefined ? undefined : String(value);
const number = (value: string | number | undefined): number | undefined =>
  value === undefined ? undefined : Number(value);

/** Decoded; several values of one name are a list, in order. */
export function get_uri_args(ctx: Ctx): Record<string, string | string[]> {
  const found = new Map<string, string | string[]>();
  for (const [name, raw] of argsOf(ctx.query)) {
    const value = unescapeUri(raw.replaceAll('+', ' '));
    const before = found.get(name);
    found.set(name, before === undefined ? value : [before, value].flat());
  }
  return Object.fromEntries(found);
}

export function set_uri_args(ctx: Ctx, args: Readonly<Record<string, string | readonly string[]>>): void {
  ctx.query = Object.entries(args)
    .flatMap(([name, value]) => [value].flat().map((one) => `${escapeArg(name)}=${escapeArg(one)}`))
    .join('&');
}

/** Takes one argument out and leaves the others as they came. */
export function remove_uri_arg(ctx: Ctx, name: string): void {
  ctx.query = ctx.query
    .split('&')
    .filter((part) => unescapeUri(part.split('=')[0] ?? '') !== name)
    .join('&');
}

/** Takes one cookie out and leaves the others as they came. */
export function remove_cookie(ctx: Ctx, name: string): void {
  const rest = ctx.request
    .getAll('cookie')
    .flatMap((line) => line.split(';'))
    .map((pair) => pair.trim())
    .filter((pair) => pair !== '' && pair.split('=')[0]?.trim() !== name);
  set_header(ctx, 'cookie', rest.join('; '));
}

/** The whole body, for plugins with `needs_body`; undefined = the request has none. */
export const get_body = (ctx: Ctx): Buffer | undefined => ctx.body;
