/** The module of a worker thread in TypeScript, as every Node can run it. */
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { isBuiltin } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build, type Plugin } from 'esbuild';

/** The module's bundle, the only file of a new folder. esbuild is a process: for the thread that owns those. */
export async function bundleWorker(module: string): Promise<string> {
  const built = await build({
    entryPoints: [fileURLToPath(module)],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    sourcemap: 'inline',
    outfile: 'runtime.mjs',
    logLevel: 'silent',
    plugins: [ownPlaces],
  });
  const folder = await mkdtemp(join(tmpdir(), 'ts-calls-'));
  const path = join(folder, 'runtime.mjs');
  await writeFile(path, built.outputFiles[0]!.contents);
  return path;
}

const isResolving = Symbol('resolving');

/** Packages are imported from where they lie, and each file has the URL of its source. */
const ownPlaces: Plugin = {
  name: 'own-places',
  setup(building) {
    building.onResolve({ filter: /^[^./#]/ }, async ({ path, kind, importer, resolveDir, pluginData }) => {
      if (pluginData === isResolving || kind === 'entry-point') return undefined;
      if (isBuiltin(path)) return { path, external: true };
      const found = await building.resolve(path, { kind, importer, resolveDir, pluginData: isResolving });
      if (found.errors.length > 0) return { errors: found.errors };
      return { path: pathToFileURL(found.path).href, external: true };
    });
    building.onLoad({ filter: /\.[cm]?ts$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8');
      const url = JSON.stringify(pathToFileURL(path).href);
      return { contents: source.replaceAll('import.meta.url', () => url), loader: 'ts' };
    });
  },
};
