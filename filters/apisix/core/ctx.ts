/** `ctx`: one stream, for the request's and the response's half. */
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
  /** The status that the upstream gave. */
  upstream_status: string | undefined;
  upstream_address: string | undefined;
  /** The request's body, for plugins that ask for it by `needs_body`. */
  body: Buffer | undefined;
  /** While `log` runs. */
  entry: LogEntry | undefined;
  /** As it came. */
  readonly original_method: string;
  /** As it came, with the query. */
  readonly original_path: string;
  /** The path of the request without the query, and the query; what is written here goes upstream. */
  path: string;
  query: string;
  private readonly untouched: string;
  private readonly waiting: WriteHeader[] = [];

  constructor(
    readonly callbacks: FilterCallbacks<CtxAttribute>,
    readonly request: RequestHeaders,
    /** What the configuration says beside the plugins. */
    readonly scope: Scope,
  ) {
    this.original_method = request.method;
    this.original_path = request.path;
    const [path = '', query] = splitOnce(request.path, '?');
    this.path = path;
    this.query = query ?? '';
    this.untouched = this.pathAndQuery;
    this.var = makeVars(this);
  }

  private get pathAndQuery(): string {
    return this.query === '' ? this.path : `${this.path}?${this.query}`;
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
    const { signal } = this.callbacks;
    signal.throwIfAborted();
    this.callbacks.extendTimeout(Math.ceil(ms));
    await new Promise<void>((resolve, reject) => {
      const stop = (): void => {
        clearTimeout(timer);
        reject(signal.reason as Error);
      };
      const timer = setTimeout(() => {
        signal.removeEventListener('abort', stop);
        resolve();
      }, ms);
      signal.addEventListener('abort', stop, { once: true });
    });
  }

  /** Writes to the response's headers, at once or when there are some. */
  onResponse(write: WriteHeader): void {
    if (this.response === undefined) this.waiting.push(write);
    else write(this.response);
  }

  /** The response has come. */
  respond(response: ResponseHeaders): void {
    this.response = response;
    this.upstream_status = response.get(':status');
    for (const write of this.waiting.splice(0)) write(response);
  }

  /** The request goes on: with the path, the query and the host that plugins have chosen. */
  applyRequest(): void {
    const uri = this.var['upstream_uri'];
    if (uri !== undefined) this.request.path = String(uri);
    else if (this.pathAndQuery !== this.untouched) this.request.path = this.pathAndQuery;
    const host = this.var['upstream_host'];
    if (host !== undefined && host !== '') this.request.host = latin1(String(host));
  }
}

function splitOnce(text: string, at: string): [string, string?] {
  const i = text.indexOf(at);
  return i < 0 ? [text] : [text.slice(0, i), text.slice(i + 1)];
}
