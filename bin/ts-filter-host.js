#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const main = new URL('../dist/src/cli/main.js', import.meta.url);
if (existsSync(main)) {
  void import(main.href);
} else {
  // A clone, or a git address as dependency.
  const mend = '`make build` builds it in a clone; to install it, take the tarball of `make package`';
  process.stderr.write(`ts-filter-host: ${fileURLToPath(main)} is missing: this copy is not built. ${mend}\n`);
  process.exitCode = 1;
}
