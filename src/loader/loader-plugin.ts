/** How esbuild reads filter sources: packages stay outside, and each source file keeps its own `import.meta.url`. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire, isBuiltin } from 'node:module';
import { dirname, extname, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Loader, Plugin } from 'esbuild';

const PACKAGE = 'envoy-ts-filter';
const LOADERS: Record<string, Loader> = { '.ts': 'ts', '.mts': 'ts', '.cts': 'ts', '.tsx': 'tsx', '.jsx': 'jsx' };

/** Filters share the host's own copy of the library, whichever copy lies beside them. From src/ (tests) the built one
 *  is taken: Node itself imports it. */
export function libraryUrl(subpath: string): string {
  const beside = fileURLToPath(new URL('../api/index.js', import.meta.url));
  if (subpath === '') {
    return pathToFileURL(
      existsSync(beside) ? beside : fileURLToPath(new URL('../../dist/src/api/index.js', import.meta.url)),
    ).href;
  }
  return pathToFileURL(createRequire(import.meta.url).resolve(PACKAGE + subpath)).href;
}

export function sourcePlugin(): Plugin {
  return {
    name: 'ts-filter',
    setup(build) {
      // Bare names: neither relative, nor absolute, nor the inside of a package (`#x`).
      build.onResolve({ filter: /^[^./#]/ }, async (args) => {
        if (args.pluginData === resolving || args.kind === 'entry-point') return undefined;
        if (isBuiltin(args.path)) return { path: args.path, external: true };
        if (/^(file|data|https?):/.test(args.path)) return { path: args.path, external: true };
        const inRequire = args.kind === 'require-call' || args.kind === 'require-resolve';
        if (args.path === PACKAGE || args.path.startsWith(`${PACKAGE}/`)) {
          const url = libraryUrl(args.path.slice(PACKAGE.length));
          return { path: inRequire ? fileURLToPath(url) : url, external: true };
        }
        const { errors, path } = await build.resolve(args.path, {
          kind: args.kind,
          importer: args.importer,
          resolveDir: args.resolveDir,
          pluginData: resolving,
        });
        if (errors.length > 0) return { errors };
        // tsconfig `paths` may point a bare name at a source of the author's own.
        if (LOADERS[extname(path)] !== undefined) return { path };
        if (extname(path) === '.node') return { path, namespace: NATIVE };
        return { path: inRequire ? path : pathToFileURL(path).href, external: true };
      });

      build.onLoad({ filter: /\.[cm]?[jt]sx?$/, namespace: 'file' }, async (args) => {
        const source = await readFile(args.path, 'utf8');
        return { contents: withOwnLocation(source, args.path), loader: LOADERS[extname(args.path)] ?? 'js' };
      });
    },
  };
}

/** Native addons: import and require both give what Node's require loads. */
export function nativePlugin(): Plugin {
  return {
    name: 'ts-filter-native',
    setup(build) {
      build.onResolve({ filter: /^\.{0,2}\/.*\.node$/ }, (args) =>
        args.namespace === NATIVE
          ? { path: args.path, external: true }
          : { path: resolve(args.resolveDir, args.path), namespace: NATIVE },
      );
      build.onLoad({ filter: /.*/, namespace: NATIVE }, ({ path }) => ({
        contents: `module.exports = require(${JSON.stringify(path)});`,
        loader: 'js',
      }));
    },
  };
}

const NATIVE = 'native';
const resolving = Symbol('resolving');

/** `define` turns import.meta.url and its kin into these names; each file declares its own. On the first line, so that
 *  line numbers stay. */
function withOwnLocation(source: string, path: string): string {
  const wanted = [
    ['import.meta.url', '__tsf_url', pathToFileURL(path).href],
    ['filename', '__tsf_filename', path],
    ['dirname', '__tsf_dirname', dirname(path)],
  ] as const;
  const names = wanted.filter(([needle]) => source.includes(needle));
  if (names.length === 0) return source;
  const declarations = names.map(([, name, value]) => `${name} = ${JSON.stringify(value)}`).join(', ');
  // A first line that only Unix reads stays first; a directive prologue loses its place, which in modules means nothing.
  const hashbang = /^#![^\n]*\n/.exec(source)?.[0] ?? '';
  return `${hashbang}const ${declarations}; ${source.slice(hashbang.length)}`;
}
