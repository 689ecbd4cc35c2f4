/** Type-checks sources as an author's editor would: strict, against the package's declarations, with both compilers. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Packages of the two compilers. */
export const COMPILERS = ['typescript', 'typescript-7'] as const;
export type Compiler = (typeof COMPILERS)[number];

export interface Diagnostic {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  readonly text: string;
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** What each compiler has against the files (path → source). The package they import is the built one: `make ts`. */
export async function typecheck(files: ReadonlyMap<string, string>): Promise<Map<Compiler, Diagnostic[]>> {
  // Inside the package, so that its own name resolves to it, and its dependencies as well.
  await mkdir(join(ROOT, 'build'), { recursive: true });
  const folder = await mkdtemp(join(ROOT, 'build', 'typecheck-'));
  try {
    for (const [name, source] of files) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), source);
    }
    const config = {
      extends: join(ROOT, 'tsconfig.base.json'),
      // A filter's types may be those of a JavaScript file beside it.
      compilerOptions: { noEmit: true, pretty: false, allowJs: true },
      include: ['**/*.ts'],
    };
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config));
    const found = new Map<Compiler, Diagnostic[]>();
    for (const compiler of COMPILERS) found.set(compiler, parse(await run(compiler, folder)));
    return found;
  } finally {
    await rm(folder, { recursive: true });
  }
}

function run(compiler: Compiler, folder: string): Promise<string> {
  const tsc = join(ROOT, 'node_modules', compiler, 'bin', 'tsc');
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [tsc, '-p', folder],
      { cwd: folder, maxBuffer: 64 << 20, encoding: 'utf8' },
      (error, stdout, stderr) => {
        // 1 and 2 say that there are diagnostics; anything else is the compiler's own failure.
        if (error === null || error.code === 1 || error.code === 2) resolve(stdout);
        else reject(new Error(`${compiler} failed: ${stderr}${stdout.slice(0, 2000)}`, { cause: error }));
      },
    );
  });
}

function parse(output: string): Diagnostic[] {
  const found: Diagnostic[] = [];
  for (const line of output.split('\n')) {
    const match = /^([^(\s]+)\((\d+),\d+\): (error .*)$/.exec(line);
    if (match !== null) found.push({ file: match[1]!, line: Number(match[2]), text: match[3]! });
    else if (line.startsWith('error ')) throw new Error(`the compiler refuses its configuration: ${line}`);
  }
  return found;
}
