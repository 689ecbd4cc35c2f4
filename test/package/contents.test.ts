/** What is in the tarball, and what it needs of the machine. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { publint } from 'publint';
import { describe, expect, inject, it } from 'vitest';
import { nodeBinary, root } from '../fixture/index.js';

const own = join(inject('installed'), 'node_modules', 'envoy-ts-filter');
const host = join(inject('installed'), 'node_modules', '.bin', 'ts-filter-host');

/** The newest version of glibc that a symbol of the file is bound to. */
function glibcOf(file: string): string {
  const { stdout } = spawnSync('objdump', ['-T', file], { encoding: 'utf8' });
  const versions = [...stdout.matchAll(/GLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor));
  return `2.${Math.max(...versions)}`;
}

const run = (args: readonly string[], env: Record<string, string> = {}) =>
  spawnSync(nodeBinary, [host, ...args], { encoding: 'utf8', env: { ...process.env, ...env } });

describe('the tarball', () => {
  it('brings the module and the addon, for the oldest glibc that the page about dependencies says', () => {
    const stated = /glibc (2\.\d+) or newer/.exec(readFileSync(join(root, 'docs', 'dependencies.md'), 'utf8'))?.[1];
    for (const file of ['libts_filter.so', 'ts_filter_addon.node'])
      expect(glibcOf(join(own, 'build', file)), file).toBe(stated);
  });

  it('needs no other library than the C library at run time', () => {
    for (const file of ['libts_filter.so', 'ts_filter_addon.node']) {
      const { stdout } = spawnSync('objdump', ['-p', join(own, 'build', file)], { encoding: 'utf8' });
      const needed = [...stdout.matchAll(/NEEDED +(\S+)/g)].map(([, name]) => name!);
      expect(needed.filter((name) => !/^(libc|libm|ld-linux-x86-64)\.so/.test(name))).toEqual([]);
    }
  });

  it('has no tests, nothing unbuilt among what is built, and nothing that npm would compile at once', () => {
    const files = readdirSync(own, { recursive: true, encoding: 'utf8' });
    expect(files.filter((file) => /\.test\.|^dist\/.*(?<!\.d)\.ts$|binding\.gyp$|\.debug$/.test(file))).toEqual([]);
  });

  it('imports nothing but what npm installs with it', () => {
    const { dependencies, peerDependencies } = JSON.parse(readFileSync(join(own, 'package.json'), 'utf8')) as {
      dependencies: object;
      peerDependencies: object;
    };
    const known = [...builtinModules, ...Object.keys({ ...dependencies, ...peerDependencies }), 'envoy-ts-filter'];
    const folder = join(own, 'dist/src');
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
    const { metafile } = buildSync({
      entryPoints: files.filter((file) => file.endsWith('.js')).map((file) => join(folder, file)),
      absWorkingDir: own,
      outdir: join(own, 'unwritten'),
      write: false,
      metafile: true,
      bundle: true,
      platform: 'node',
      format: 'esm',
      packages: 'external',
      logLevel: 'silent',
    });
    const imported = Object.entries(metafile.inputs).flatMap(([file, { imports }]) =>
      imports.filter((one) => one.external === true).map(({ path }) => `${file}: ${path}`),
    );
    expect(imported.length).toBeGreaterThan(0);
    expect(
      imported.filter((one) => !known.some((name) => one.endsWith(`: ${name}`) || one.endsWith(`: node:${name}`))),
    ).toEqual([]);
  });

  it('has every header of others that its sources include, with its licence', () => {
    const sources = ['shm', 'core', 'stock', 'addon'].flatMap((folder) =>
      readdirSync(join(own, 'cpp', folder)).map((name) => readFileSync(join(own, 'cpp', folder, name), 'utf8')),
    );
    sources.push(readFileSync(join(own, 'build/gen/exchange_generated.h'), 'utf8'));
    const included = sources.flatMap((text) =>
      [...text.matchAll(/#include [<"]((?:flatbuffers|nlohmann)\/[^>"]+)/g)].map(([, path]) => path!),
    );
    expect(included.length).toBeGreaterThan(0);
    expect(included.filter((path) => !existsSync(join(own, 'build/include', path)))).toEqual([]);
    for (const name of readdirSync(join(own, 'build/include')))
      expect(readdirSync(join(own, 'build/include', name)).some((file) => file.startsWith('LICENSE'))).toBe(true);
  });

  it('says truly what it exports, as publint sees it', async () => {
    const { messages } = await publint({ pkgDir: own, pack: false });
    expect(messages.filter(({ type }) => type !== 'suggestion')).toEqual([]);
  });
});

describe('ts-filter-host in it', () => {
  it('prints where the module is', () => {
    const { status, stdout } = run(['module-path']);
    expect([status, stdout]).toEqual([0, `${join(own, 'build/libts_filter.so')}\n`]);
  });

  it('builds the addon from what is in it', () => {
    const out = join(inject('installed'), 'addon.node');
    const headers = join(root, 'build/node/default/headers/include/node');
    const { status, stderr } = run(['build-addon', '--out', out, '--node-headers', headers], { CXXFLAGS: '-O0' });
    expect([stderr, status]).toEqual(['', 0]);
    const loaded = spawnSync(nodeBinary, ['-p', `Object.keys(require(${JSON.stringify(out)})).includes('Poller')`]);
    expect(String(loaded.stdout)).toBe('true\n');
    // The compiler has both cores for some ten seconds, where nobody else wants them.
  }, 180_000);

  it('says what to do on a machine that the addon is not for', () => {
    const arm = join(inject('installed'), 'arm.mjs');
    writeFileSync(arm, "Object.defineProperty(process, 'arch', { value: 'arm64' });");
    const { stderr } = run(['module-path'], { NODE_OPTIONS: `--import=${arm}` });
    expect(stderr).toMatch(
      /TSF_MODULE_MISSING: .* is built for x64, and this is arm64; run `ts-filter-host build-module`/,
    );
  });
});
