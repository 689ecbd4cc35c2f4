import js from '@eslint/js';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

/** Forbids imports out of one folder into others, so that dependencies keep pointing one way. */
const noImport = (files, patterns, message) => ({
  files,
  ignores: ['**/*.test.ts'],
  rules: { '@typescript-eslint/no-restricted-imports': ['error', { patterns: [{ group: patterns, message }] }] },
});

const MAX_FIELDS = 15;
/** A class that holds more than that has more than one reason to exist. */
const classSize = {
  create: (context) => ({
    ClassBody({ body }) {
      const fields = body.filter(
        ({ type, static: isStatic, value }) =>
          type === 'PropertyDefinition' && !isStatic && value?.type !== 'ArrowFunctionExpression',
      );
      if (fields.length > MAX_FIELDS)
        context.report({ node: fields[MAX_FIELDS], message: `${fields.length} fields; at most ${MAX_FIELDS}` });
    },
  }),
};

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
  {
    files: ['src/**/*.ts'],
    ignores: ['**/*.test.ts'],
    plugins: { sizes: { rules: { class: classSize } } },
    rules: {
      'sizes/class': 'error',
      'max-lines-per-function': ['error', { max: 70 }],
      'max-lines': ['error', { max: 350, skipBlankLines: true, skipComments: true }],
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
);
