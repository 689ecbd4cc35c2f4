/** `core.response`. In the phases of the request, headers are kept for the response that is to come. */
import type { Json } from 'envoy-ts-filter';
import type { BodyPart } from './body-part.js';
import type { Ctx } from './ctx.js';
import type { Exit } from './plugin.js';
import { headerLines, type HeaderValue, replaceHeader } from './utils.js';

/** What a phase of the request returns to end it. */
export const exit = (status: number, body?: Json | Uint8Array): Exit => (body === undefined ? status : [status, body]);

/** An empty value, or none, removes the header. */
export function set_header(ctx: Ctx, name: string, value: HeaderValue): void {
  ctx.onResponse((headers) => replaceHeader(headers, name, value));
}

export function add_header(ctx: Ctx, name: string, value: HeaderValue): void {
  ctx.onResponse((headers) => {
    for (const line of headerLines(value)) headers.add(name, line);
  });
}

export const get_header = (ctx: Ctx, name: string): string | undefined => ctx.response?.get(name);

export function set_status(ctx: Ctx, status: number): void {
  if (ctx.response !== undefined) ctx.response.status = status;
}

/** What is no longer true of a body that a plugin changes. */
export function clear_header_as_body_modified(ctx: Ctx): void {
  for (const name of ['content-length', 'content-encoding', 'last-modified', 'etag']) set_header(ctx, name, undefined);
}

/** The whole body at its end, and undefined before. */
export const hold_body_chunk = (_ctx: Ctx, part: BodyPart, max?: number): Buffer | undefined => part.hold(max);

export const get_upstream_status = (ctx: Ctx): number | undefined =>
  ctx.upstream?.status === undefined ? undefined : Number(ctx.upstream.status);
