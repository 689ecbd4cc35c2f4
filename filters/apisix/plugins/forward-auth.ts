import { Agent as HttpAgent, type IncomingMessage, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { core, type Ctx, type Plugin } from '../core/index.js';

interface Conf {
  readonly uri: string;
  readonly allow_degradation: boolean;
  readonly status_on_error: number;
  readonly ssl_verify: boolean;
  readonly request_method: 'GET' | 'POST';
  readonly max_req_body_size: number;
  readonly request_headers?: readonly string[];
  readonly upstream_headers?: readonly string[];
  readonly client_headers?: readonly string[];
  readonly extra_headers?: Readonly<Record<string, string>>;
  readonly timeout: number;
  readonly keepalive: boolean;
  readonly keepalive_timeout: number;
  readonly keepalive_pool: number;
}
type Headers = Record<string, string>;
/** A refusal goes to the client whole. */
const MAX_ANSWER_BYTES = 16 << 20;
interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

const names = { type: 'array', items: { type: 'string' } };
const targetOf = core.lrucache.per_conf((conf: Conf) => {
  const url = new URL(conf.uri);
  const options = { keepAlive: conf.keepalive, timeout: conf.keepalive_timeout, maxFreeSockets: conf.keepalive_pool };
  const agent =
    url.protocol === 'https:'
      ? new HttpsAgent({ ...options, rejectUnauthorized: conf.ssl_verify })
      : new HttpAgent(options);
  return { url, agent };
});

export const forwardAuth: Plugin<Conf> = {
  version: 0.1,
  priority: 2002,
  name: 'forward-auth',
  schema: {
    type: 'object',
    properties: {
      uri: { type: 'string' },
      allow_degradation: { type: 'boolean', default: false },
      status_on_error: { type: 'integer', minimum: 200, maximum: 599, default: 403 },
      ssl_verify: { type: 'boolean', default: true },
      request_method: { type: 'string', enum: ['GET', 'POST'], default: 'GET' },
      max_req_body_size: { type: 'integer', minimum: 1, default: 67108864 },
      request_headers: names,
      extra_headers: { type: 'object', minProperties: 1, additionalProperties: { type: 'string' } },
      upstream_headers: names,
      client_headers: names,
      timeout: { type: 'integer', minimum: 1, maximum: 60000, default: 3000 },
      keepalive: { type: 'boolean', default: true },
      keepalive_timeout: { type: 'integer', minimum: 1000, default: 60000 },
      keepalive_pool: { type: 'integer', minimum: 1, default: 5 },
    },
    required: ['uri'],
  },

  check_schema(conf) {
    const wrong = core.schema.check(this.schema, conf);
    if (wrong !== undefined) return wrong;
    return /^https?:$/.test(protocolOf(conf.uri)) ? undefined : `invalid uri "${conf.uri}"`;
  },

  needs_body: (conf) => conf.request_method === 'POST',

  async access(conf, ctx) {
    const body = conf.request_method === 'POST' ? core.request.get_body(ctx) : undefined;
    if (body !== undefined && body.length > conf.max_req_body_size) return 413;
    let answer: Answer;
    try {
      answer = await ask(conf, ctx, body);
    } catch (error) {
      ctx.log.error(`failed to process forward auth, err: ${(error as Error).message}`);
      return conf.allow_degradation ? undefined : conf.status_on_error;
    }
    if (answer.status < 300) {
      // Also those that the service leaves out: a client must not claim them for itself.
      for (const name of conf.upstream_headers ?? []) core.request.set_header(ctx, name, linesOf(answer, name));
      return undefined;
    }
    for (const name of conf.client_headers ?? []) {
      const lines = linesOf(answer, name);
      if (lines !== undefined) core.response.set_header(ctx, name, lines);
    }
    return [answer.status, answer.body];
  },
};

const protocolOf = (uri: string): string => (URL.canParse(uri) ? new URL(uri).protocol : '');
const linesOf = ({ headers }: Answer, name: string): string | string[] | undefined => headers[name.toLowerCase()];

function headersFor(conf: Conf, ctx: Ctx, body: Buffer | undefined): Headers {
  const headers: Headers = {
    'x-forwarded-proto': core.request.get_scheme(ctx),
    'x-forwarded-method': core.request.get_method(ctx),
    'x-forwarded-host': core.request.get_host(ctx) ?? '',
    'x-forwarded-uri': String(ctx.var['request_uri']),
    'x-forwarded-for': core.request.get_remote_client_ip(ctx) ?? '',
  };
  if (body !== undefined) {
    headers['content-length'] = String(body.length);
    for (const name of ['content-type', 'content-encoding', 'expect']) {
      const value = core.request.header(ctx, name);
      if (value !== undefined) headers[name] = value;
    }
  }
  for (const [name, value] of Object.entries(conf.extra_headers ?? {})) {
    headers[name.toLowerCase()] = core.utils.resolve_var(value, ctx.var);
  }
  for (const name of conf.request_headers ?? []) {
    const value = core.request.header(ctx, name);
    if (value !== undefined) headers[name.toLowerCase()] ??= value;
  }
  for (const value of Object.values(headers)) {
    // eslint-disable-next-line no-control-regex
    if (/[\r\n\x00]/.test(value)) throw new Error('invalid characters found in header value');
  }
  return headers;
}

async function ask(conf: Conf, ctx: Ctx, body: Buffer | undefined): Promise<Answer> {
  const { url, agent } = targetOf(conf);
  const headers = headersFor(conf, ctx, body);
  ctx.callbacks.extendTimeout(conf.timeout);
  const signal = AbortSignal.any([AbortSignal.timeout(conf.timeout), ctx.callbacks.signal]);
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const request = send(url, { method: conf.request_method, headers, agent, signal }, (response) => {
      const pieces: Buffer[] = [];
      let length = 0;
      response.on('data', (piece: Buffer) => {
        length += piece.length;
        if (length > MAX_ANSWER_BYTES) response.destroy(new Error('the answer is too large'));
        else pieces.push(piece);
      });
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(pieces) }),
      );
    });
    request.on('error', reject);
    request.end(body);
  });
}
