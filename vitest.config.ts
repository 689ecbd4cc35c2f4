import { defineConfig } from 'vitest/config';

const minutes = (n: number) => n * 60_000;

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
          exclude: ['**/node_modules/**', '**/dist/**', 'test/e2e/**'],
          testTimeout: 10_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts', 'filters/**/*.test.ts'],
          testTimeout: minutes(1),
          hookTimeout: minutes(1),
          // They measure time and memory, and two cores serve Envoy, host, upstream and client.
          fileParallelism: false,
        },
      },
    ],
  },
});
