/** The request of an httpCall: what the author gave, checked, as it goes out. */
import { FilterError } from '../api/errors.js';
import type { Phase } from '../api/types.js';
import type { CallRequest } from '../api/types-callbacks.js';
import type { Chunk, HeaderInit } from '../api/types-data.js';
import { HeaderType } from '../base/wire.js';
import { ownBytes } from '../body/buffer.js';
import { headerLines } from '../headers/header-lines.js';
import { checkValue, HeaderRules, HOP_BY_HOP } from '../headers/header-rules.js';

const MAX_TIMEOUT_MS = 0x7fffffff;
const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const PATH = /^[/*][\x21-\x7e\x80-\xff]*$/;
/** The operator's rules are about the headers of the stream, not about these. */
const GRAMMAR = new HeaderRules([], []);

/** What goes out. */
export interface CallPlan {
  /** For messages. */
  readonly name: string;
  readonly cluster: string;
  readonly method: string;
  /** name, value … */
  readonly lines: readonly string[];
  readonly timeout: number;
  readonly body: Uint8Array | AsyncIterable<Chunk> | undefined;
  readonly trailers: readonly string[] | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Throws for a request that cannot be made. */
export function planOf(cluster: string, request: Request | CallRequest, phase: Phase | undefined): CallPlan {
  const bad = (why: string): FilterError =>
    new FilterError('TSF_ARGUMENT_INVALID', `httpCall(${JSON.stringify(cluster)}): ${why}`, phase);
  if (typeof cluster !== 'string' || cluster === '') throw bad('the cluster is a name');
  if (typeof request !== 'object' || request === null) throw bad('the request is a Request or { path, … }');
  const given = 'path' in request ? request : fromWeb(request, bad);
  const { path, body, timeoutMs = 0, signal } = given;
  const method = given.method ?? (body === undefined ? 'GET' : 'POST');
  if (typeof path !== 'string' || !PATH.test(path)) {
    throw bad(`${JSON.stringify(path)} is no path: it begins with / and is percent-encoded`);
  }
  if (typeof method !== 'string' || !METHOD.test(method)) throw bad(`${JSON.stringify(method)} is no method`);
  if (!(timeoutMs >= 0 && timeoutMs <= MAX_TIMEOUT_MS)) {
    throw bad(`timeoutMs ${String(timeoutMs)}: milliseconds from 0 (none) to 2^31 - 1`);
  }
  const streamed = typeof body === 'object' && body !== null && Symbol.asyncIterator in body;
  const whole = body === undefined || streamed ? undefined : ownBytes(body);
  let authority = cluster;
  const rest: string[] = [];
  for (const [name, value] of requestLines(given.headers)) {
    if (name === 'host') authority = value;
    else if (!HOP_BY_HOP.has(name) && (name !== 'content-length' || streamed)) rest.push(name, value);
  }
  const trailers = given.trailers === undefined ? undefined : requestLines(given.trailers).flat();
  // A length and trailers exclude each other in HTTP/1.
  if (whole !== undefined && trailers === undefined) rest.push('content-length', String(whole.length));
  return {
    name: `httpCall(${JSON.stringify(cluster)}) ${method} ${path}`,
    cluster,
    method,
    lines: [':method', method, ':path', path, ':authority', authority, ...rest],
    timeout: Math.ceil(timeoutMs),
    body: streamed ? body : whole,
    trailers: trailers?.length === 0 ? undefined : trailers,
    signal,
  };
}

function fromWeb(request: Request, bad: (why: string) => FilterError): CallRequest {
  if (typeof request.url !== 'string') throw bad('the request is a Request or { path, … }');
  const url = new URL(request.url);
  const headers: [string, string][] = [['host', url.host], ...request.headers];
  const given: CallRequest = {
    path: url.pathname + url.search,
    method: request.method,
    headers,
    signal: request.signal,
  };
  if (request.body !== null) given.body = request.body;
  return given;
}

/** Checked, names in lower case. */
function requestLines(init: HeaderInit | undefined): [string, string][] {
  return headerLines(init).map(([name, value]) => {
    const lower = name.toLowerCase() === 'host' ? 'host' : GRAMMAR.name(HeaderType.RequestTrailers, 'add', name);
    checkValue(lower, value);
    return [lower, value];
  });
}
