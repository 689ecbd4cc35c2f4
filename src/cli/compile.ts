/** Compiles one of the package's two native files from its own sources, for machines that it brings none for. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { HostError, messageOf } from '../base/host-errors.js';
import { packageFile } from '../base/package-root.js';

export interface NativeBuild {
  /** Folders of the package, all of whose `.cc` files go in. */
  readonly folders: readonly string[];
  /** Files of the package with flags, as the Makefile reads them too. */
  readonly compileFlags: readonly string[];
  readonly linkFlags: readonly string[];
  readonly exportsMap: string;
  /** Where headers of others are. */
  readonly systemIncludes: readonly string[];
  readonly out: string;
}

/** Of the compiler's complaints; the first of them tells. */
const SHOWN = 4000;

/** Makes the file, compiled by $CXX (default: g++) with $CXXFLAGS and $LDFLAGS behind the flags of ours. */
export async function compileNative(build: NativeBuild): Promise<void> {
  const out = resolve(build.out);
  const objects = await mkdtemp(join(tmpdir(), 'ts-filter-build-'));
  try {
    const sources = (await Promise.all(build.folders.map(sourcesIn))).flat();
    const flags = [
      '-O2',
      ...(await flagsIn(build.compileFlags)),
      `-I${packageFile('cpp')}`,
      ...build.systemIncludes.flatMap((folder) => ['-isystem', folder]),
      ...words(process.env['CXXFLAGS'] ?? ''),
    ];
    const compiled = sources.map((source, i) => ({ source, object: join(objects, `${i}-${basename(source)}.o`) }));
    await inParallel(compiled, ({ source, object }) => run([...flags, '-c', source, '-o', object]));
    await mkdir(dirname(out), { recursive: true });
    await run([
      ...(await flagsIn(build.linkFlags)),
      `-Wl,--version-script=${packageFile(build.exportsMap)}`,
      '-Wl,--strip-debug',
      ...compiled.map(({ object }) => object),
      '-o',
      `${out}.new`,
      ...words(process.env['LDFLAGS'] ?? ''),
    ]);
    // A process that has the old file mapped keeps it.
    await rename(`${out}.new`, out);
  } finally {
    await rm(objects, { recursive: true });
  }
}

async function sourcesIn(folder: string): Promise<string[]> {
  const names = await readdir(packageFile(folder));
  return names.filter((name) => name.endsWith('.cc')).map((name) => packageFile(join(folder, name)));
}

const flagsIn = async (files: readonly string[]): Promise<string[]> =>
  (await Promise.all(files.map((file) => readFile(packageFile(file), 'utf8')))).flatMap(words);
const words = (text: string): string[] => text.split(/\s+/).filter((word) => word !== '');

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = [...items];
  const lane = async (): Promise<void> => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) {
      try {
        await work(item);
      } catch (error) {
        left.length = 0;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, lane));
}

function run(args: readonly string[]): Promise<void> {
  const [compiler = 'g++', ...first] = words(process.env['CXX'] ?? '');
  return new Promise((done, reject) => {
    execFile(compiler, [...first, ...args], { maxBuffer: 64 << 20, encoding: 'utf8' }, (error, _stdout, stderr) => {
      if (error === null) done();
      else if (error.code === 'ENOENT') {
        const mend = 'install one (Debian: apt-get install g++, Alpine: apk add g++), or name yours in CXX';
        reject(new HostError('TSF_COMPILER_MISSING', `there is no C++ compiler ${compiler}; ${mend}`));
      } else {
        const said = stderr.trim() === '' ? messageOf(error) : stderr.slice(0, SHOWN);
        reject(new HostError('TSF_BUILD_FAILED', `${compiler} failed:\n${said}`));
      }
    });
  });
}
