/**
 * gRPC's own interoperability tests, client and server of grpc-go, through ours; and a stream whose server speaks first.
 * GRPC_RUNS says how often each case runs.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildDir, Child, startEnvoy, type AnyFilter, type Fixture } from '../../fixture/index.js';
import { logsOnFailure } from '../support.js';
import type { ShiftConfig } from '../filters/lib/shift.js';
import { ours } from './support.js';

const RUNS = Number(process.env['GRPC_RUNS'] ?? '6');
const CASES = [
  'ping_pong',
  'empty_stream',
  'client_streaming',
  'server_streaming',
  'large_unary',
  'server_speaks_first',
].map((name) => ({
  name,
  // 270 KB and 310 KB in random pieces take seconds
  runs: name === 'large_unary' ? Math.ceil(RUNS / 3) : RUNS,
}));
/** The bound on one run; a run takes some tens of milliseconds, with random pauses a second. */
const RUN_SECONDS = 10;
const PROGRAM = join(buildDir, 'grpc-interop');

const random: ShiftConfig = { style: 'random', keep: true };
const perChunk: ShiftConfig = { style: 'perChunk', keep: true };
const delegating: ShiftConfig = { style: 'delegating', keep: true };
const go: ShiftConfig = { style: 'go', keep: true };
const list = (...configs: ShiftConfig[]): AnyFilter => ({
  name: 'pair',
  filters: configs.map((plugin_config) => ({ name: 'shift', plugin_config })),
});

const CHAINS: { what: string; filters: AnyFilter[]; edges?: boolean }[] = [
  { what: 'nothing of ours', filters: [] },
  { what: 'messages cut at random, with pauses between the pieces', filters: [ours(1, random)] },
  { what: 'perChunk', filters: [ours(1, perChunk)] },
  { what: 'Go data hooks', filters: [ours(1, go)] },
  { what: 'yield*', filters: [ours(1, delegating)] },
  { what: 'a list of Go data hooks and perChunk', filters: [list(go, perChunk)] },
  { what: 'a list of two that cut at random', filters: [list(random, random)] },
  { what: 'a list of two that cut at random, with edges', filters: [list(random, random)], edges: true },
  { what: 'perChunk, with edges', filters: [ours(1, perChunk)], edges: true },
];

describe.each(CHAINS)('$what', ({ filters, edges = false }) => {
  let server: Child;
  let fx: Fixture | undefined;
  beforeAll(async () => {
    server = new Child('grpc server', PROGRAM, ['server']);
    const [, port] = await server.waitForOutput(/port (\d+)/);
    fx = await startEnvoy({ filters, edges, upstream: { port: Number(port), protocol: 'http2' } });
  });
  afterAll(async () => {
    try {
      await fx?.stop();
    } finally {
      await server.kill();
    }
  });

  it.each(CASES)('$name, $runs runs', { timeout: (RUN_SECONDS + RUNS * 2) * 1_000 }, async ({ name, runs }) => {
    logsOnFailure({ fx: fx! });
    const options = { port: fx!.port, case: name, runs, timeout: `${RUN_SECONDS}s` };
    const client = new Child('grpc client', PROGRAM, [
      'client',
      ...Object.entries(options).map((pair) => `-${pair.join('=')}`),
    ]);
    const { code } = await client.exit;
    // what it says names the run's error
    expect([code, client.output.trim()]).toEqual([0, `${name}: ${runs} runs passed`]);
  });
});
