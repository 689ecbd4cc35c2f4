/** A filter whose file cannot be loaded: its failure_mode decides at once, the other filters serve, and it comes back. */
import { createServer, type AddressInfo, type Server } from 'node:net';
import { describe, expect, it } from 'vitest';
import { eventually, get, type Fixture } from '../fixture/index.js';
import { filterPath } from '../fixture/paths.js';
import { ended, scene } from './support.js';

/** A port that nobody listens on, until told. */
async function freePort(): Promise<number> {
  const server = await listen(0);
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function listen(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.on('error', () => undefined).resume());
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

/** host_wait is long: nobody waits for a filter that cannot be loaded. */
const needy = (failure_mode: string, name = 'needy') => ({
  name,
  options: { failure_mode, host_wait: '20s', message_timeout: '20s' },
});
const touch = { name: 'touch', options: { failure_mode: 'closed', host_wait: '20s' } };

async function timed(fx: Fixture, path: string) {
  const started = performance.now();
  const answer = await get(fx.port, path);
  expect(performance.now() - started).toBeLessThan(1_000);
  return answer;
}

describe.each([1, 2])('what a file needs is gone when the host starts, --workers %i', (hostWorkers) => {
  it('open: it is passed by, the other filter serves; when it is back the file loads', async () => {
    const port = await freePort();
    let server: Server | undefined;
    try {
      await scene(
        [touch, needy('open')],
        async (fx) => {
          await eventually('its line in the log', () =>
            /"code":"TSF_LOAD_FAILED".*filters\/needy\.ts: Error: connect ECONNREFUSED/.test(fx.host.output),
          );
          await eventually('its line in the log', () =>
            /"retryInMs":1000.*Connect in parseConfig or at the first use/.test(fx.host.output),
          );
          for (let i = 0; i < 20; i++) {
            const answer = await timed(fx, `/hello?${i}`);
            expect([answer.status, answer.header('x-touch-response'), answer.header('x-needy')]).toEqual([
              200,
              'on',
              undefined,
            ]);
          }
          expect(fx.envoy.output).toMatch(/filter needy cannot be served now: .*needy\.ts/);
          server = await listen(port);
          await eventually('it serves', async () => (await timed(fx, '/hello')).header('x-needy') === 'on', 8_000);
          // by all threads, and for good
          for (let i = 0; i < 20; i++) expect((await timed(fx, '/hello')).header('x-needy')).toBe('on');
        },
        { hostWorkers, concurrency: 2, hostEnv: { TSF_TEST_NEEDS: String(port) } },
      );
    } finally {
      server?.close();
    }
  });
});

it('closed: 503 ts_filter_no_host at once, until it has loaded', async () => {
  const port = await freePort();
  let server: Server | undefined;
  try {
    await scene(
      [needy('closed')],
      async (fx) => {
        expect((await timed(fx, '/hello?gone')).status).toBe(503);
        expect((await fx.logged('/hello?gone')).details).toContain('ts_filter_no_host');
        server = await listen(port);
        await eventually('it serves', async () => (await timed(fx, '/hello')).status === 200, 8_000);
      },
      { hostEnv: { TSF_TEST_NEEDS: String(port) } },
    );
  } finally {
    server?.close();
  }
});

it('a top-level await that never settles: the same, and the host listens after 2 s', () =>
  scene(
    [touch, needy('open')],
    async (fx) => {
      await eventually('its line in the log', () =>
        /"code":"TSF_LOAD_SLOW".*filters\/needy\.ts still loads after 2000 ms/.test(fx.host.output),
      );
      const answer = await timed(fx, '/hello');
      expect([ended(answer), answer.header('x-touch-response'), answer.header('x-needy')]).toEqual([
        '200',
        'on',
        undefined,
      ]);
    },
    { hostEnv: { TSF_TEST_NEEDS: 'never' } },
  ));

it('a name that is in no file is refused only when every file has loaded', async () => {
  const port = await freePort();
  let server: Server | undefined;
  try {
    await scene(
      [needy('closed', 'nobody')],
      async (fx) => {
        expect((await timed(fx, '/hello?first')).status).toBe(503);
        server = await listen(port);
        await eventually('it is refused', async () => (await timed(fx, '/hello')).status === 500, 8_000);
        expect(fx.envoy.output).toMatch(/refuses the config of filter nobody: .*no filter is named "nobody"/);
      },
      { hostEnv: { TSF_TEST_NEEDS: String(port) }, hostPaths: ['needy', 'counters'].map(filterPath) },
    );
  } finally {
    server?.close();
  }
});
