/** The tarball of `make package`, installed once for all tests of this folder: without a compiler, without install scripts. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { root } from '../fixture/paths.js';

declare module 'vitest' {
  export interface ProvidedContext {
    readonly tarball: string;
    /** A folder that was empty before; the package is in its node_modules. */
    readonly installed: string;
    /** A PATH on which there are Node, npm and a shell, and nothing else. */
    readonly barePath: string;
  }
}

const NEEDED = ['node', 'npm', 'npx', 'sh', 'env'];

function tarball(): string {
  const folder = join(root, 'build', 'package');
  const [name, ...more] = readdirSync(folder).filter((one) => one.endsWith('.tgz'));
  if (name === undefined || more.length > 0) throw new Error(`${folder} must have one tarball: make package`);
  return join(folder, name);
}

function barePath(folder: string): string {
  mkdirSync(folder);
  for (const name of NEEDED) {
    const path = execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim();
    symlinkSync(realpathSync(path), join(folder, name));
  }
  return folder;
}

export default function setup(project: TestProject): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'tsf-package-'));
  const path = barePath(join(folder, 'bin'));
  const installed = join(folder, 'empty');
  mkdirSync(installed);
  execFileSync('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', tarball()], {
    cwd: installed,
    env: { ...process.env, PATH: path },
    stdio: 'pipe',
  });
  project.provide('tarball', tarball());
  project.provide('installed', installed);
  project.provide('barePath', path);
  return () => rmSync(folder, { recursive: true });
}
