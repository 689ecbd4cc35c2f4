/** `startEnvoy`: filters in a real Envoy, with requests as `testFilter` takes them. */
import { Agent, request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { HeaderLines } from '../../base/header-block.js';
import { piecesOf, Reader } from '../ends.js';
import { given } from '../lines.js';
import { requestLines, seenRequest, statusOf, withStatus } from '../messages.js';
import type { Answered, Target, TestRequest, Upstream } from '../types.js';
import { TEST_HEADER } from './config.js';
import { type Expected, MockUpstream, pairs, receive } from './mock-upstream.js';
import { isOurs, type EnvoyOptions, type UpstreamPort } from './options.js';
import type { AccessEntry } from './access-log.js';
import { Processes } from './processes.js';
import { eventually } from './wait.js';

/** An Envoy that runs, with a `ts-filter-host` and an upstream. `stop()` ends all of it. */
export class RunningEnvoy extends Processes<EnvoyOptions> implements Target {
  private readonly mock: MockUpstream | undefined;
  private count = 0;

  constructor(options: EnvoyOptions, upstream: UpstreamPort | MockUpstream) {
    super(options, upstream);
    this.mock = upstream instanceof MockUpstream ? upstream : undefined;
  }

  /** Where the filters are: `http://127.0.0.1:<port>`. */
  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /**
   * One request over HTTP/1.1, on a connection of its own. Its `upstream` needs a `startEnvoy` without a port in that place; `calls`,
   * attributes, metadata and filter state are Envoy's here and are not taken.
   */
  async request(path = '/', request: TestRequest = {}): Promise<Answered> {
    const number = String(++this.count);
    const { upstream = this.options.upstream ?? {} } = request;
    const expected: Expected = { upstream: 'port' in upstream ? {} : upstream, seen: undefined };
    this.mock?.expected.set(number, expected);
    const client = new Reader(request.onPiece ?? (() => undefined));
    // Kept until Envoy is through: one that is closed at the answer's end would cut what is still under way.
    const agent = new Agent({ keepAlive: true });
    try {
      await exchange(this.port, agent, requestLines(path, request), number, request, client);
      const entry = await eventually(`the access log has request ${number}`, () =>
        this.accessLog().findLast((one) => one.test === number),
      );
      return answered(client, expected, entry);
    } finally {
      agent.destroy();
      this.mock?.expected.delete(number);
    }
  }

  /** Ends Envoy and the host, says what did not end well, and leaves nothing behind. */
  override async stop(): Promise<void> {
    try {
      await super.stop();
    } finally {
      await this.mock?.close();
    }
  }
}

/**
 * Starts a stock Envoy with the module, and a `ts-filter-host` with your filters, for tests. Both are found by themselves (Envoy:
 * the option `envoy`, `$ENVOY`, or the PATH) and write nothing outside a temporary folder.
 *
 * @example
 * const envoy = await startEnvoy({ filters: [{ name: 'hello' }], hostPaths: ['filters/hello/index.ts'] });
 * try {
 *   const response = await envoy.request('/', { upstream: { body: 'hello' } });
 *   // response.status, response.text …
 * } finally {
 *   await envoy.stop();
 * }
 */
export async function startEnvoy(options: EnvoyOptions): Promise<RunningEnvoy> {
  const { filters = [], upstreamFilters = [], clusterFilters = [], upstream = {} } = options;
  const hasOurs = [...filters, ...upstreamFilters, ...clusterFilters].some(isOurs);
  if (hasOurs && options.host !== false && (options.hostPaths ?? []).length === 0)
    throw new Error('startEnvoy: give `hostPaths`, the files or folders of the filters that `filters` names');
  const mock = 'port' in upstream ? undefined : new MockUpstream(upstream as Upstream);
  await mock?.start();
  try {
    const envoy = new RunningEnvoy(options, mock ?? (upstream as UpstreamPort));
    await envoy.startAll(options.host ?? hasOurs);
    return envoy;
  } catch (error) {
    await mock?.close();
    throw error;
  }
}

async function exchange(
  port: number,
  agent: Agent,
  lines: HeaderLines,
  number: string,
  asked: TestRequest,
  client: Reader,
) {
  const [method, path, host] = [':method', ':path', ':authority'].map((name) => lines.get(name)!);
  const headers = [...lines].filter(([name]) => !name.startsWith(':'));
  const own: [string, string][] = [
    ['host', host!],
    [TEST_HEADER, number],
  ];
  if (asked.body !== undefined && lines.get('content-length') === undefined) own.push(['transfer-encoding', 'chunked']);
  const request = httpRequest({
    host: '127.0.0.1',
    port,
    method,
    path,
    agent,
    headers: [...own, ...headers].flat(),
  });
  const leave = (): void => void request.destroy();
  asked.signal?.addEventListener('abort', leave);
  if (asked.signal?.aborted === true) leave();
  const coming = receiveResponse(request, client);
  void send(request, asked).catch(leave);
  await coming;
  await client.over();
  asked.signal?.removeEventListener('abort', leave);
}

async function receiveResponse(request: ClientRequest, client: Reader): Promise<void> {
  try {
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    request.on('error', () => undefined);
    const lines = HeaderLines.from(pairs(response.rawHeaders));
    client.headers(withStatus(response.statusCode!, lines), false);
    await receive(response, client);
  } catch {
    client.cut();
  }
}

async function send(request: ClientRequest, { body, trailers }: TestRequest): Promise<void> {
  request.flushHeaders();
  for await (const piece of piecesOf(body)) {
    if (request.destroyed) return;
    if (!request.write(piece)) await Promise.race([once(request, 'drain'), once(request, 'close')]);
  }
  if (trailers !== undefined) request.addTrailers([...given(trailers)]);
  request.end();
}

function answered(client: Reader, { seen }: Expected, { details }: AccessEntry): Answered {
  const { text } = client;
  return {
    ...client.seen(),
    status: statusOf(client),
    json: () => JSON.parse(text) as unknown,
    localReply: client.complete && !/^(via_upstream$|downstream_)/.test(details),
    details,
    upstream: seen === undefined ? undefined : seenRequest(seen),
  };
}
