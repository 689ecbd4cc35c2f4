/** What the end-to-end tests share: a fixture for a whole describe block, and its logs when a test fails. */
import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, onTestFailed } from 'vitest';
import {
  eventually,
  startEnvoy,
  startUpstream,
  within,
  type EnvoyOptions,
  type AnyFilter,
  type Fixture,
  type Handler,
  type Response,
  type Upstream,
} from '../fixture/index.js';

export interface Stage {
  readonly fx: Fixture;
  readonly port: number;
  readonly upstream: Upstream;
}

type UpstreamOptions = Parameters<typeof startUpstream>[0];

/** One Envoy, one host and one upstream for the tests of a describe block. */
export function stage(options: Omit<EnvoyOptions, 'upstream'> & { upstream?: UpstreamOptions }): Stage {
  let fx: Fixture | undefined;
  let upstream: Upstream | undefined;
  beforeAll(async () => {
    upstream = await startUpstream(options.upstream);
    fx = await startEnvoy({ ...options, upstream });
  });
  afterAll(async () => {
    try {
      await fx?.stop();
    } finally {
      await upstream?.close();
    }
  });
  return {
    get fx() {
      if (fx === undefined) throw new Error('the stage is not up');
      return fx;
    },
    get port() {
      return this.fx.port;
    },
    get upstream() {
      if (upstream === undefined) throw new Error('the stage is not up');
      return upstream;
    },
  };
}

/** A fixture for one test; stopped, with its checks, whatever the test does. */
export async function withEnvoy<T>(options: EnvoyOptions, run: (fx: Fixture) => Promise<T>): Promise<T> {
  const fx = await startEnvoy(options);
  let result: T;
  try {
    result = await run(fx);
  } catch (error) {
    const logs = fx.logs();
    await fx.stop().catch((also: Error) => console.error(also.message.split('\n')[0]));
    console.error(logs);
    throw error;
  }
  await fx.stop();
  return result;
}

async function withUpstream<T>(options: UpstreamOptions, run: (upstream: Upstream) => Promise<T>): Promise<T> {
  const upstream = await startUpstream(options);
  try {
    return await run(upstream);
  } finally {
    await upstream.close();
  }
}

/** One fixture and one upstream for one test. */
export function scene(
  filters: readonly AnyFilter[],
  run: (fx: Fixture) => Promise<void>,
  { upstream: options, ...more }: Omit<EnvoyOptions, 'filters' | 'upstream'> & { upstream?: UpstreamOptions } = {},
): Promise<void> {
  return withUpstream(options, (upstream) => withEnvoy({ filters, upstream, counters: true, ...more }, run));
}

/**
 * An upstream's answer at /one-by-one: its second piece is sent when the client has the first one, and its end never. A
 * filter that waits in the second has let the first go, however busy the machine is.
 */
export function oneByOne() {
  const begun = new Set<string | undefined>();
  const answer: Handler = async (req, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    res.write('data: one\n\n');
    await eventually('its client has the first piece', () => begun.has(req.url) || res.destroyed, 60_000);
    res.write('data: two\n\n');
  };
  return { upstream: { paths: { '/one-by-one': answer } }, begins: (path: string) => void begun.add(path) };
}

function isStopped(pid: number): boolean {
  const threads = readdirSync(`/proc/${pid}/task`);
  return threads.every((thread) => /\) T /.test(readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8')));
}

/** The signal takes its time: what is answered meanwhile has another row of docs/failure.md. */
export async function stopHost(fx: Fixture): Promise<void> {
  fx.host.signal('SIGSTOP');
  await eventually('every thread of it has stopped', () => isStopped(fx.host.pid));
}

/** How long an answer may take once its host is gone. */
const END_MS = 3_000;

/** Kills the host; gives what was waiting for it, which has to end then. */
export async function killHost<T>(fx: Fixture, waiting: Promise<T>): Promise<T> {
  await fx.host.kill();
  return within(END_MS, 'what waited for a host that was killed', waiting);
}

/** The status of a whole answer, or `cut`. */
export function ended(answer: Response | Error): string {
  if (answer instanceof Error) return answer.message;
  return answer.complete ? String(answer.status) : 'cut';
}

/** Prints the logs of the stage when the running test fails. */
export function logsOnFailure(at: { readonly fx: Fixture }): void {
  onTestFailed(() => console.error(at.fx.logs().slice(-6000)));
}
