import { defineConfig } from 'vitest/config';

const minutes = (n: number) => n * 60_000;
const LIMITS = { testTimeout: minutes(1), hookTimeout: minutes(1) };

/** They load Envoy as far as it goes, keep a core busy, count what is left of memory, or time each event. */
const ALONE = [
  'apisix-cost',
  'calls-load',
  'dev',
  'mixed',
  'disconnects',
  'hostile-host',
  'host-replay',
  'host-threads',
  'kills',
  'redeploy-load',
  'slow-logs',
  'soak',
  'sse',
].map((name) => `test/e2e/${name}.test.ts`);

// Nothing is retried: a test that fails now and then shows a fault.
export default defineConfig({
  test: {
    pool: 'forks',
    retry: 0,
    teardownTimeout: 20_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts', 'packages/**/*.test.ts', 'test/**/*.test.ts'],
          exclude: ['**/node_modules/**', '**/dist/**', 'test/e2e/**', 'test/package/**'],
          testTimeout: 10_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'package',
          include: ['test/package/**/*.test.ts'],
          globalSetup: ['test/package/install.ts'],
          maxWorkers: 2,
          sequence: { groupOrder: 3 },
          ...LIMITS,
        },
      },
      {
        extends: true,
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts', 'filters/**/*.test.ts'],
          exclude: ALONE,
          // Most of their time is waiting: three keep two cores at four fifths. With more, what is to come within
          // 100 ms is late.
          maxWorkers: 3,
          sequence: { groupOrder: 1 },
          ...LIMITS,
        },
      },
      {
        extends: true,
        test: {
          name: 'e2e-alone',
          include: ALONE,
          maxWorkers: 1,
          sequence: { groupOrder: 2 },
          ...LIMITS,
        },
      },
    ],
  },
});
