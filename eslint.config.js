import js from '@eslint/js';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

/** Forbids imports out of one folder into others, so that dependencies keep pointing one way. */
const noImport = (files, patterns, message) => ({
  files,
  ignores: ['**/*.test.ts'],
  rules: { '@typescript-eslint/no-restricted-imports': ['error', { patterns: [{ group: patterns, message }] }] },
});

const room = (name) => `**/${name}/**`;

export default defineConfig(
  globalIgnores(['build/', '.venv/', '**/dist/', '**/node_modules/', 'src/channel/codec/generated/']),
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommended],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/consistent-type-imports': [
        'error',
        { fixStyle: 'inline-type-imports', disallowTypeAnnotations: false },
      ],
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: { arguments: false } }],
      // Indexing is checked by noUncheckedIndexedAccess; `!` says at the place that the index is right.
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/prefer-readonly': 'error',
      eqeqeq: ['error', 'always'],
    },
  },
  { files: ['test/**/*.ts'], rules: { '@typescript-eslint/await-thenable': 'off' } },
  {
    files: ['**/*.js', '**/*.mjs'],
    languageOptions: {
      globals: Object.fromEntries(
        [
          'process',
          'console',
          'Buffer',
          'URL',
          'setTimeout',
          'clearTimeout',
          'setInterval',
          'clearInterval',
          'fetch',
          'setImmediate',
          'performance',
          'AbortController',
          'AbortSignal',
          'TextDecoder',
          'TextEncoder',
        ].map((name) => [name, 'readonly']),
      ),
    },
  },
  noImport(
    ['filters/**/*.ts'],
    ['**/src/**', '**/dist/**', 'sharedarraybuffer-ring'],
    "A filter has the public API only: import from 'envoy-ts-filter' or 'envoy-ts-filter/testing'.",
  ),
  noImport(
    ['packages/**/*.ts'],
    ['envoy-ts-filter', '**/../src/**'],
    'The ring is useful alone: it knows nothing of the filters.',
  ),
  noImport(
    ['src/channel/**/*.ts'],
    ['api', 'headers', 'body', 'stream', 'list', 'registry', 'thread', 'loader', 'host', 'cli'].map(room),
    'The channel and the codec know no filters: the seam to them is wire.ts.',
  ),
  noImport(
    ['src/{headers,body,stream,list,registry}/**/*.ts'],
    [...['channel', 'thread', 'host', 'cli'].map(room), '**/addon.js'],
    'Streams know no bytes and no rings: the seam to them is wire.ts.',
  ),
);
