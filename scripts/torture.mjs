// `make torture`, `make framing-torture`: bundles test/torture or test/framing, which are TypeScript, and runs it. The
// bundle lies as deep as its sources, which find the project's root from where they are.
import { build } from 'esbuild';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const torture = process.argv[2] === 'framing' ? 'framing' : 'torture';
const outfile = here(`../build/${torture}/main.mjs`);
await build({
  entryPoints: [here(`../test/${torture}/main.ts`)],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'esm',
  packages: 'external',
  sourcemap: 'inline',
  logLevel: 'warning',
});
process.setSourceMapsEnabled(true);
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130));
await import(outfile);
