/** `ctx`: one stream, for the request's and the response's half. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { FilterCallbacks, HeaderMap, LogEntry, Logger, RequestHeaders, ResponseHeaders } from 'envoy-ts-filter';
import type { Consumer } from './plugin.js';
import type { Scope } from './scope.js';
import { latin1 } from './utils.js';
import { makeVars, type Vars } from './vars.js';

/** Sent with each stream; the last four have their values when it is logged. */
export const ATTRIBUTES = [
  'source.address',
  'destination.address',
  'request.protocol',
  'xds.route_name',
  'xds.cluster_name',
  'upstream.address',
  'response.size',
  'response.total_size',
] as const;
export type CtxAttribute = (typeof ATTRIBUTES)[number];

/**
 * What plugins keep in `ctx`. A plugin adds its own by augmenting the interface.
 *
 * @example
 * declare module '../core/ctx.js' {
 *   interface CtxFields {
 *     my_plugin_began?: number;
 *   }
 * }
 */
// eslint-disable-next-line @typescript-eslint/no-empty-object-type
export interface CtxFields {}
// eslint-disable-next-line @typescript-eslint/no-empty-object-type, @typescript-eslint/no-unsafe-declaration-merging
export interface Ctx extends CtxFields {}

type WriteHeader = (headers: HeaderMap) => void;

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export class Ctx {
  readonly var: Vars;
  readonly began = Date.now();
  /** Who the request is from, once a plugin of type `auth` knows. */
  consumer: Consumer | undefined;
  /** The answer is made here and not by the upstream. */
  local = false;
  response: ResponseHeaders | undefined;
  /** Once it has answered, and its address when that is known. */
  upstream: { readonly status: string | undefined; address: string | undefined } | undefined;
  /** The request's body, for plugins that ask for it by `needs_body`. */
  body: Buffer | undefined;
  /** While `log` runs. */
  entry: LogEntry | undefined;
  /** As it came; the path with the query. */
  readonly asked: { readonly method: string; readonly path: string };
  /** The path of the request without the query, and the query; what is written here goes upstream. */
  path: string;
  query: string;
  private readonly waiting: WriteHeader[] = [];

  constructor(
    readonly callbacks: FilterCallbacks<CtxAttribute>,
    readonly request: RequestHeaders,
    /** What the configuration says beside the plugins. */
    readonly scope: Scope,
  ) {
    this.asked = { method: request.method, path: request.path };
    const [path = '', query] = splitOnce(request.path, '?');
    this.path = path;
    this.query = query ?? '';
    this.var = makeVars(this);
  }

  get log(): Logger {
    return this.callbacks.log;
  }

  get attributes(): FilterCallbacks<CtxAttribute>['attributes'] {
    return this.callbacks.attributes;
  }

  /** Waits; ends with an error when the client leaves. */
  async sleep(ms: number): Promise<void> {
    if (ms <= 0) return;
    this.callbacks.extendTimeout(Math.ceil(ms));
    await sleep(ms, undefined, { signal: this.callbacks.signal });
  }

  /** Writes to the response's headers, at once or when there are some. */
  onResponse(write: WriteHeader): void {
    if (this.response === undefined) this.waiting.push(write);
    else write(this.response);
  }

  /** The response has come. */
  respond(response: ResponseHeaders): void {
    this.response = response;
    if (!this.local) this.upstream = { status: response.get(':status'), address: undefined };
    for (const write of this.waiting.splice(0)) write(response);
  }

  /** The request goes on: with the path, the query and the host that plugins have chosen. */
  applyRequest(): void {
    const uri = this.var['upstream_uri'];
    const own = this.query === '' ? this.path : `${this.path}?${this.query}`;
    if (uri !== undefined) this.request.path = String(uri);
    else if (own !== this.asked.path.replace(/\?$/, '')) this.request.path = own;
    const host = this.var['upstream_host'];
    if (host !== undefined && host !== '') this.request.host = latin1(String(host));
  }
}

function splitOnce(text: string, at: string): [string, string?] {
  const i = text.indexOf(at);
  return i < 0 ? [text] : [text.slice(0, i), text.slice(i + 1)];
}
