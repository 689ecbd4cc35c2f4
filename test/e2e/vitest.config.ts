import { defineConfig } from 'vitest/config';
import { fileURLToPath } from 'node:url';

/** One file after the other: the tests measure time and memory, and two cores serve everything. */
export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  test: {
    include: ['**/*.test.ts'],
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
  },
});
