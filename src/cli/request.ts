/** `ts-filter-host request`: one request through a filter, without an Envoy; the upstream answers with what it got. */
import { isUtf8 } from 'node:buffer';
import inspector from 'node:inspector';
import { STATUS_CODES } from 'node:http';
import { describeError } from '../api/errors.js';
import type { Filter } from '../api/types-definition.js';
import type { HeaderView, Json } from '../api/types-data.js';
import { HostError, messageOf } from '../base/host-errors.js';
import { createLog } from '../base/log.js';
import { Watcher } from '../host/watcher.js';
import { bundleFilters } from '../loader/loader.js';
import { filtersIn, importBundle, loadFailure, placeOf } from '../loader/loader-import.js';
import { type TestRequest, type TestResponse, testFilter, type Upstream } from '../testing/index.js';

const FOREVER_MS = 2 ** 31 - 1;

export interface RequestOptions {
  /** Its file, or its folder. */
  readonly filter: string;
  /** With the query. */
  readonly path: string;
  readonly method: string | undefined;
  /** `name: value` each. */
  readonly headers: readonly string[];
  readonly body: string | undefined;
  /** plugin_config as JSON text. */
  readonly config: string | undefined;
  readonly json: boolean;
  /** Again at each save, until it is ended. */
  readonly watch: boolean;
}

/** Prints the answer, or what went wrong with the author's line first; true when nothing did. */
export async function request(options: RequestOptions): Promise<boolean> {
  process.setSourceMapsEnabled(true);
  const asked = { config: configOf(options.config), request: requestOf(options) };
  if (!options.watch) return (await once(options, asked)).ok;
  await watching(options, asked);
  return true;
}

interface Asked {
  readonly config: Json | undefined;
  readonly request: TestRequest;
}

interface Ran {
  readonly ok: boolean;
  /** What the filter is made of; where that is not known, why. */
  readonly inputs?: readonly string[];
  readonly failure?: unknown;
}

async function once(options: RequestOptions, { config, request: asked }: Asked): Promise<Ran> {
  let inputs: readonly string[];
  let filter: Filter;
  try {
    const bundle = await bundleFilters([options.filter]);
    inputs = bundle.inputs;
    filter = await onlyFilter(options.filter, bundle.url);
  } catch (failure) {
    process.stderr.write(`${loadFailure(failure)}\n`);
    return { ok: false, failure };
  }
  // Whoever stands at a breakpoint takes more than the 5 s of message_timeout.
  const test = testFilter(filter, config, inspector.url() === undefined ? {} : { messageTimeoutMs: FOREVER_MS });
  try {
    const response = await test.request(options.path, asked);
    if (options.json) process.stdout.write(`${JSON.stringify(toJson(response))}\n`);
    else print(response);
    return { ok: tellFailure(response), inputs };
  } catch (error) {
    // The config was refused.
    process.stderr.write(`${messageOf(error)}\n`);
    return { ok: false, inputs };
  } finally {
    test.close();
  }
}

/** Until SIGINT or SIGTERM. */
function watching(options: RequestOptions, asked: Asked): Promise<void> {
  return new Promise((resolve) => {
    let running = Promise.resolve();
    const again = (): void => {
      running = running.then(async () => {
        const { inputs, failure } = await once(options, asked);
        if (inputs !== undefined) watcher.follow(inputs);
        else watcher.failed(failure);
        process.stderr.write('--- waiting for a save\n');
      });
    };
    const watcher = new Watcher({ paths: [options.filter], inputs: [], log: createLog('warn'), onChange: again });
    // Watching alone does not keep a process alive.
    const alive = setInterval(() => undefined, 2 ** 30);
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => {
        clearInterval(alive);
        watcher.close();
        resolve();
      });
    }
    again();
  });
}

async function onlyFilter(path: string, url: string): Promise<Filter> {
  const found: Filter[] = [];
  for (const { file, load } of await importBundle(url))
    found.push(...filtersIn(file, await load()).map(({ filter }) => filter));
  if (found.length === 1) return found[0]!;
  const names = found.map(({ name }) => `"${name}"`).join(', ');
  throw new HostError('TSF_USAGE', `${path} has the filters ${names}; give the file of one of them`);
}

/** What came, as text. */
const upstream: Upstream = async (got) => {
  const lines = [...got].filter(([name]) => !name.startsWith(':')).map(([name, value]) => `${name}: ${value}\n`);
  const head = `${got.method} ${got.path} HTTP/1.1\nhost: ${got.host}\n${lines.join('')}\n`;
  const body = Buffer.concat([Buffer.from(head, 'latin1'), await got.bytes()]);
  return { headers: { 'content-type': 'text/plain' }, body };
};

function requestOf({ method, headers, body }: RequestOptions): TestRequest {
  const lines = headers.map((line): [string, string] => {
    const colon = line.indexOf(':');
    if (colon <= 0) throw new HostError('TSF_USAGE', `-H ${JSON.stringify(line)}: give a header as 'name: value'`);
    return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
  });
  return {
    headers: lines,
    upstream,
    ...(method === undefined ? {} : { method }),
    ...(body === undefined ? {} : { body }),
  };
}

function configOf(text: string | undefined): Json | undefined {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    throw new HostError('TSF_USAGE', `--config is no JSON: ${messageOf(error)}`);
  }
}

// ---- what comes out ----

/** As `curl -i`. */
function print(response: TestResponse): void {
  for (const { level, message, fields } of response.logs) {
    if (fields['err'] !== undefined) continue;
    const own = ownFields(fields);
    const rest = Object.keys(own).length === 0 ? '' : ` ${JSON.stringify(own)}`;
    process.stderr.write(`[${level}] ${message}${rest}\n`);
  }
  const { status, headers, body, trailers } = response;
  if (status === 0) return;
  process.stdout.write(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\n${textOf(headers)}\n`);
  process.stdout.write(body);
  if (body.length > 0 && body.at(-1) !== 0x0a) process.stdout.write('\n');
  if (trailers !== undefined) process.stdout.write(`\n${textOf(trailers)}`);
}

/** What every line says besides, and errors, which are told apart. */
const COMMON = ['requestId', 'filter', 'envoyWorker', 'err'];

const ownFields = (fields: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([name]) => !COMMON.includes(name)));

const textOf = (lines: HeaderView): string => [...lines].map(([name, value]) => `${name}: ${value}\n`).join('');

/** The author's line first. True: there is nothing to tell. */
function tellFailure({ error, complete, details }: TestResponse): boolean {
  if (error !== undefined) {
    const place = placeOf(error);
    const code = (error as { code?: unknown } | null)?.code;
    const text = error instanceof Error ? `${error.name}${codeText(code)}: ${error.message}` : describeError(error);
    process.stderr.write(`${place === undefined ? '' : `${place}: `}${text}\n`);
  }
  if (!complete) process.stderr.write(`the answer was cut: ${details ?? 'the stream was reset'}\n`);
  return error === undefined && complete;
}

const codeText = (code: unknown): string => (typeof code === 'string' ? ` ${code}` : '');

function toJson(response: TestResponse): object {
  const { status, localReply, details, complete, error, logs, metrics, metadata } = response;
  const { upstream: got } = response;
  const place = error === undefined ? undefined : placeOf(error);
  return {
    status,
    ...messageJson(response),
    complete,
    localReply,
    details,
    ...(error === undefined ? {} : { error: { at: place, message: describeError(error) } }),
    upstream: got && { method: got.method, path: got.path, host: got.host, ...messageJson(got) },
    logs: logs.map(({ level, message, fields }) => ({ level, message, fields: ownFields(fields) })),
    metrics,
    metadata,
  };
}

function messageJson({ headers, body, trailers }: Pick<TestResponse, 'headers' | 'body' | 'trailers'>): object {
  const shown = isUtf8(body)
    ? { body: Buffer.from(body).toString() }
    : { bodyBase64: Buffer.from(body).toString('base64') };
  return { headers: [...headers], ...shown, ...(trailers === undefined ? {} : { trailers: [...trailers] }) };
}
