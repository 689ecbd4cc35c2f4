/** Every export resolves, and means what it says, under each way in which TypeScript resolves modules. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, inject, it } from 'vitest';
import { nodeBinary, root } from '../fixture/index.js';
import { COMPILERS, type Compiler } from '../types/compile.js';

const own = join(inject('installed'), 'node_modules', 'envoy-ts-filter');
const { exports } = JSON.parse(readFileSync(join(own, 'package.json'), 'utf8')) as {
  exports: Record<string, { readonly types: string } | string>;
};
/** Those with types whose files are there. */
const names = Object.entries(exports).flatMap(([path, target]) =>
  typeof target === 'object' && existsSync(join(own, target.types)) ? [path.replace(/^\./, 'envoy-ts-filter')] : [],
);

const FILTER = `import { ConfigError, defineFilter, perChunk } from 'envoy-ts-filter';
${names.map((name, i) => `import * as all${i} from '${name}';`).join('\n')}
export const everything = [${names.map((_, i) => `all${i}`).join(', ')}];
export default defineFilter({
  name: 'typed',
  parseConfig(raw): { limit: number } {
    const { limit } = raw as { limit?: unknown };
    if (typeof limit !== 'number') throw new ConfigError('limit', 'must be a number');
    return { limit };
  },
  create: ({ limit }, callbacks) => ({
    async decodeHeaders(headers) {
      // @ts-expect-error a header's value is text: what is imported has types
      headers.set('x-user', 1);
      const answer = await fetch('http://127.0.0.1/', { signal: callbacks.signal });
      headers.set('x-limit', String(limit + answer.status));
    },
    transformResponse: perChunk((chunk) => chunk),
  }),
});
`;

/** TypeScript 7 is quick, and both resolve alike: the older one has one way only. */
const WAYS: readonly (readonly [
  options: { moduleResolution: string; module: string },
  compilers: readonly Compiler[],
])[] = [
  [{ moduleResolution: 'node16', module: 'node16' }, ['typescript-7']],
  [{ moduleResolution: 'nodenext', module: 'nodenext' }, COMPILERS],
  [{ moduleResolution: 'bundler', module: 'preserve' }, ['typescript-7']],
];

function tsc(compiler: string, project: string): Promise<string> {
  const script = join(root, 'node_modules', compiler, 'bin', 'tsc');
  return new Promise((done) => {
    execFile(nodeBinary, [script, '-p', project, '--pretty', 'false'], { encoding: 'utf8' }, (_error, stdout, stderr) =>
      done(stdout + stderr),
    );
  });
}

describe.each(WAYS)('with %j', (way, compilers) => {
  const folder = join(inject('installed'), `types-${way.moduleResolution}`);
  beforeAll(() => {
    mkdirSync(join(folder, 'node_modules', '@types'), { recursive: true });
    symlinkSync(join(root, 'node_modules/@types/node'), join(folder, 'node_modules/@types/node'));
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
    writeFileSync(join(folder, 'filter.ts'), FILTER);
    const compilerOptions = {
      ...way,
      target: 'es2022',
      lib: ['es2023', 'esnext.disposable'],
      types: ['node'],
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['filter.ts'] }));
  });

  it.each(compilers)('%s is content', async (compiler) => {
    // Without skipLibCheck: the declarations themselves are looked at.
    expect(await tsc(compiler, folder)).toBe('');
  });
});

it('there is something to look at', () => expect(names).toContain('envoy-ts-filter'));
